"""What a node answers over HTTP, as rows of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from node.cli.asking import ask, pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from node.cli.exports.days import Days

Row = dict[str, Any]

OPERATIONS = (
    "seq",
    "business_day",
    "local_time",
    "accepted_at",
    "timestamp",
    "entity_type",
    "entity_id",
    "operation",
    "terminal_id",
    "user_id",
    "status",
    "sync_status",
    "version",
    "before",
    "after",
    "reason",
    "origin",
    "operation_id",
)
CONFLICTS = (
    "id",
    "business_day",
    "local_time",
    "created_at",
    "entity_type",
    "entity_id",
    "field",
    "type",
    "state",
    "shown",
    "other",
    "shown_by",
    "other_by",
    "decided_how",
    "decided_at",
    "decided_by",
    "reason",
)
"""Columns in their order, for formats that need them beforehand."""


def entity_types(url: str) -> list[str]:
    """Those that the node knows. Raises ClickException."""
    return [policy["entity_type"] for policy in ask(url, "/api/v1/policies")["policies"]]


def entities(url: str, entity_type: str, at: str | None) -> Iterator[Row]:
    """The living entities of a type, now or as they were: `entity_id` and their fields. Raises ClickException."""
    for page in pages(url, f"/api/v1/entities/{quote(entity_type, safe='')}", at=at):
        for entity in page["entities"]:
            fields = {name: value for name, value in entity["data"].items() if name != "version"}
            yield {"entity_id": entity["entity_id"], **fields}


def operations(url: str, entity_type: str | None, days: Days, since: str | None, until: str | None) -> Iterator[Row]:
    """What was written, in the order of the node's log, by when it was accepted. Raises ClickException."""
    for page in pages(url, "/api/v1/audit", entity_type=entity_type, since=since, until=until):
        for entry in page["entries"]:
            yield _operation(entry, days)


def _operation(entry: Row, days: Days) -> Row:
    accepted = entry["accepted_at"]
    row = {name: entry.get(name) for name in OPERATIONS}
    row |= {"business_day": days.day_of(accepted).isoformat(), "local_time": days.local(accepted)}
    return row | {side: entry["changes"].get(side) for side in ("before", "after")}


def conflicts(
    url: str, entity_type: str | None, days: Days, since: str | None, until: str | None, at: str | None
) -> Iterator[Row]:
    """Conflicts, those that are decided too, by when they came. Raises ClickException.

    at: only those that there were then; one that was decided later is open.
    """
    last = min(filter(None, (until, at)), default=None)
    for page in pages(url, "/api/v1/conflicts"):
        for conflict in page["conflicts"]:
            created = conflict["created_at"]
            if entity_type not in (None, conflict["entity_type"]):
                continue
            if (since is None or created >= since) and (last is None or created <= last):
                yield _conflict(conflict, days, at)


def _conflict(conflict: Row, days: Days, at: str | None) -> Row:
    decided = conflict.get("decided") or {}
    state = conflict["state"]
    if at is not None and decided.get("how") != "rule" and (decided.get("at") or "") > at:
        decided, state = {}, "open"
    created, candidates = conflict["created_at"], conflict.get("candidates", [])
    authors = [f"{candidate['terminal_id']}/{candidate['operation_id']}" for candidate in candidates[:2]]
    row = {name: conflict.get(name) for name in CONFLICTS}
    return row | {
        "business_day": days.day_of(created).isoformat(),
        "local_time": days.local(created),
        "field": " ".join(map(str, conflict.get("path", ()))),
        "state": state,
        "shown": conflict["local_data"],
        "other": conflict["remote_data"],
        "shown_by": authors[0] if authors else None,
        "other_by": authors[1] if len(authors) > 1 else None,
        "decided_how": decided.get("how"),
        "decided_at": decided.get("at"),
        "decided_by": _who(decided.get("by")),
        "reason": decided.get("reason"),
    }


def _who(by: Any) -> Any:
    """Who decided: the person, else the terminal."""
    return (by.get("user_id") or by.get("terminal_id")) if isinstance(by, dict) else by


def columns_of(rows: list[Row]) -> list[str]:
    """Every column that any row has, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def as_text(value: object) -> object:
    """A list or an object as JSON text, for a table."""
    return orjson.dumps(value).decode() if isinstance(value, list | dict) else value


def in_days(days: Days, first: date | None, last: date | None) -> tuple[str | None, str | None]:
    """From when to when: whole business days."""
    return (
        None if first is None else days.first_moment(first),
        None if last is None else days.last_moment(last),
    )
