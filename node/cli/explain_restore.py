"""Bring a discarded value back: a new operation of a terminal, over the documented messages."""

from __future__ import annotations

import os
import uuid
from typing import Any

import click
import trio

from node.cli.asking import TOKEN
from node.cli.terminal import Terminal, timestamp


def bring_back(url: str, found: dict[str, Any], operation_id: str, terminal_id: str, kind: str, user: str) -> str:
    """Write a value of an explanation again; what the node says to it. The node knows that the terminal has read
    the explanation, so the write supersedes what is shown now. Raises ClickException."""
    writing = _find(found, operation_id)
    terminal = Terminal(terminal_id, kind, user, lambda _, message: None)
    message = restoring(found, writing, terminal_id, user)
    answer = trio.run(_send, f"ws{url.removeprefix('http')}", terminal, message)
    if answer is None:
        raise click.ClickException(f"{url}: conexão encerrada / connection closed {terminal.ended}")
    if answer["type"] == "sync_error":
        said = " ".join(str(answer[name]) for name in ("error", "reason", "locked_by") if answer.get(name))
        raise click.ClickException(f"recusado / refused {answer.get('code')}: {said}")
    return (
        f"confirmado / confirmed {answer['operation_id']}  versão / version {answer['version']}  {answer['status']}"
    )


def _find(found: dict[str, Any], operation_id: str) -> dict[str, Any]:
    """The value that an operation wrote. Raises ClickException."""
    refused = [{**act, "state": "refused"} for act in found["refused"]]
    writing: dict[str, Any]
    for writing in (*found["candidates"], *found["superseded"], *refused):
        if writing["operation_id"] == operation_id:
            if writing.get("absent"):
                raise click.ClickException(f"{operation_id} não tem esse campo / does not hold that field")
            if writing["state"] == "shown" and _conflict(found, writing) is None:
                raise click.ClickException(f"o valor de {operation_id} já aparece / is shown already")
            return writing
    raise click.ClickException(f"{operation_id} não escreveu esse campo / did not write that field")


def _conflict(found: dict[str, Any], writing: dict[str, Any]) -> dict[str, Any] | None:
    """The open conflict that bringing a value back decides: its own, or one that freezes the whole entity."""
    live = writing["state"] in ("shown", "candidate")
    for conflict in found["conflicts"]:
        if conflict["state"] == "open" and (conflict["freezes"] or (live and conflict["path"] == writing["path"])):
            return dict(conflict)
    return None


def restoring(found: dict[str, Any], writing: dict[str, Any], terminal_id: str, user: str) -> dict[str, Any]:
    """The documented message: a `conflict_resolution` for a candidate of an open conflict, and for whatever is frozen
    by one; else a `data_sync`."""
    name, conflict, data = found["field"], _conflict(found, writing), writing["data"]
    new_id = f"restore-{uuid.uuid4()}"
    if conflict is not None:
        sides = {conflict["local"]: "accept_local", conflict["remote"]: "accept_remote"}
        return {
            "type": "conflict_resolution",
            "conflict_id": conflict["id"],
            "resolution": sides.get(writing["operation_id"], "accept_remote" if name == "deleted_at" else "merge"),
            "resolved_data": data,
            "id": new_id,
        }
    operation = {
        "id": new_id,
        "entity_type": found["entity_type"],
        "entity_id": found["entity_id"],
        "operation": "DELETE" if name == "deleted_at" else "UPDATE",
        "data": data,
        "timestamp": timestamp(),
        "terminal_id": terminal_id,
        "user_id": user or None,
        "restores": writing["operation_id"],
    }
    return {"type": "data_sync", "operation": operation}


async def _send(url: str, terminal: Terminal, message: dict[str, Any]) -> dict[str, Any] | None:
    """The answer; None where the node closed the connection instead, or there is none. Raises ClickException."""
    resolution = message["type"] == "conflict_resolution"
    new_id = message["id"] if resolution else message["operation"]["id"]
    failure = None

    def answers() -> list[dict[str, Any]]:
        about = [heard for heard in terminal.inbox if heard["type"] in ("sync_confirmation", "sync_error")]
        return [answer for answer in about if answer.get("operation_id") == new_id or "conflict_id" in answer]

    async with trio.open_nursery() as nursery:
        try:
            if not resolution:
                terminal.pending[new_id] = message["operation"]  # flushed as it comes online
            await terminal.come_online(url, nursery, os.environ.get(TOKEN))
            if resolution:
                more = {"resolved_data": message["resolved_data"], "id": new_id}
                terminal.resolve(message["conflict_id"], message["resolution"], **more)
            await terminal.until(lambda: bool(answers()) or not terminal.online)
            await terminal.go_offline()
        except (ValueError, trio.TooSlowError) as error:  # out of the nursery as text, not as a group
            failure = str(error) or "o nó não respondeu / the node did not answer"
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise click.ClickException(f"{url}: {failure}")
    return answers()[0] if answers() else None
