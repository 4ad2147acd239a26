"""`comanda explain --restore`: a discarded value is written again, as a new operation of a terminal."""

from __future__ import annotations

import uuid
from typing import Any

import click

from node.cli.exchange import exchange
from node.clock import timestamp

OVERRULED = "overruled"
"""What became of a write that a deletion had not seen and prevailed over."""


def restore_value(
    url: str, explained: dict[str, Any], operation_id: str, terminal_id: str, kind: str, user: str
) -> str:
    """Write a value of an explanation again; returns a line with the node's answer.

    The operation says up to which row its author has read, so it supersedes what the explanation shows.
    url: as `node_option` gives it. explained: the answer of `GET /api/v1/explain`. kind, user: the terminal's. Raises
    ClickException.
    """
    write = find_write(explained, operation_id)
    answer = exchange(url, terminal_id, kind, user, restore_message(explained, write, terminal_id, user))
    assert answer is not None
    if answer["type"] == "sync_error":
        reason = " ".join(str(answer[name]) for name in ("error", "reason", "locked_by") if answer.get(name))
        raise click.ClickException(f"recusado / refused {answer.get('code')}: {reason}")
    return (
        f"confirmado / confirmed {answer['operation_id']}  versão / version {answer['version']}  {answer['status']}"
    )


def find_write(explained: dict[str, Any], operation: str) -> dict[str, Any]:
    """The value that an operation wrote. operation: its id, or its author's id, a slash and its id.

    Raises ClickException, also where several terminals gave that id.
    """
    refused = [{**act, "state": "refused"} for act in explained["refused"]]
    overruled = (explained.get("deletion") or {}).get("over", ()) if explained["deleted"] else ()
    writes: list[dict[str, Any]] = [*explained["candidates"], *explained["superseded"], *refused]
    writes += [{**write, "state": OVERRULED, "path": ["deleted_at"]} for write in overruled]
    found = [write for write in writes if operation in (write["operation_id"], _name(write))]
    names = dict.fromkeys(map(_name, found))
    if not found:
        raise click.ClickException(f"{operation} não escreveu esse campo / did not write that field")
    if len(names) > 1:
        raise click.ClickException(
            f"{operation} é de vários terminais, diga qual / is of several terminals, say which: {', '.join(names)}"
        )
    write = found[0]
    if write.get("absent"):
        raise click.ClickException(f"{operation} não tem esse campo / does not hold that field")
    if write["state"] == "shown" and not _revives(explained, write) and _conflict(explained, write) is None:
        raise click.ClickException(f"o valor de {operation} já aparece / is shown already")
    return write


def _name(write: dict[str, Any]) -> str:
    """What names an operation: its author and its id."""
    return f"{write['terminal_id']}/{write['operation_id']}"


def _revives(explained: dict[str, Any], write: dict[str, Any]) -> bool:
    """Whether a deleted entity comes back with this value: any but the time of its deletion."""
    return bool(explained["deleted"]) and (explained["field"] != "deleted_at" or write["state"] == OVERRULED)


def _conflict(explained: dict[str, Any], write: dict[str, Any]) -> dict[str, Any] | None:
    """The conflict that is decided when this value is restored: its own, or one about the whole entity."""
    if _revives(explained, write):
        deleted = (c for c in explained["conflicts"] if c["path"] == ["deleted_at"])
        return next(deleted, None)
    live = write["state"] in ("shown", "candidate")
    for conflict in explained["conflicts"]:
        if conflict["state"] == "open" and (conflict["freezes"] or (live and conflict["path"] == write["path"])):
            return dict(conflict)
    return None


def restore_message(explained: dict[str, Any], write: dict[str, Any], terminal_id: str, user: str) -> dict[str, Any]:
    """The message that restores a value.

    A `conflict_resolution` for a candidate of an open conflict, for whatever is frozen by one, and for what a
    deletion prevailed over; else a `data_sync`. A deleted entity comes back as it was, with this value.
    """
    name, conflict, data = explained["field"], _conflict(explained, write), write["data"]
    new_id = f"restore-{uuid.uuid4()}"
    revives = _revives(explained, write)
    if conflict is not None:
        otherwise = "accept_remote" if name == "deleted_at" else "merge"
        sides = {_name(conflict["local"]): "accept_local", _name(conflict["remote"]): "accept_remote"}
        return {
            "type": "conflict_resolution",
            "conflict_id": conflict["id"],
            "resolution": "accept_remote" if revives else sides.get(_name(write), otherwise),
            "resolved_data": data,
            "id": new_id,
        }
    operation = {
        "id": new_id,
        "entity_type": explained["entity_type"],
        "entity_id": explained["entity_id"],
        "operation": "CREATE" if revives else "DELETE" if name == "deleted_at" else "UPDATE",
        "data": {**explained["deletion"]["entity"], **data} if revives else data,
        "timestamp": timestamp(),
        "terminal_id": terminal_id,
        "user_id": user or None,
        "restores": _name(write),
        "read_upto": explained["seq"],
    }
    return {"type": "data_sync", "operation": operation}
