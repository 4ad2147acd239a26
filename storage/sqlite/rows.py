"""From database rows (as sqlite-utils yields them) to records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.records import (
    ConflictRow,
    CursorRow,
    EntityRow,
    FollowerRow,
    LockRow,
    LogRow,
    ParkedRow,
    PeerRow,
    TokenRow,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_NULL = type(None)
LOG_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("kind", "entity_type", "operation_id", "terminal_id", "targets", "status", "lock_status", "origin", "via"),
        (str,),
    ),
    **dict.fromkeys(("entity_id", "user_id"), (str, _NULL)),
    **dict.fromkeys(("seq", "priority", "monitors", "stamp", "accepted", "version", "echo"), (int,)),
    **dict.fromkeys(("op_key", "link_key"), (int, _NULL)),
    **dict.fromkeys(("operation", "message", "changes", "updates", "hash"), (bytes,)),
}
"""What each column of the log holds. SQLite does not hold others to it: an edit by hand leaves text in a BLOB."""


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n")) if text else ()


def log_of(row: Mapping[str, Any]) -> LogRow:
    return LogRow(
        row["seq"],
        row["kind"],
        row["priority"],
        row["entity_type"],
        row["entity_id"],
        row["operation_id"],
        row["terminal_id"],
        row["user_id"],
        _lines(row["targets"]),
        bool(row["monitors"]),
        row["stamp"],
        row["accepted"],
        row["version"],
        row["status"],
        row["lock_status"],
        bool(row["echo"]),
        row["operation"],
        row["message"],
        row["changes"],
        row["updates"],
        row["origin"],
        row["via"],
        row["link_key"],
        row["hash"],
    )


def entity_of(row: Mapping[str, Any]) -> EntityRow:
    return EntityRow(
        row["entity_type"],
        row["entity_id"],
        row["version"],
        bool(row["deleted"]),
        row["view"],
        row["snapshot"],
        row["seen"],
        row["seq"],
    )


def conflict_of(row: Mapping[str, Any]) -> ConflictRow:
    return ConflictRow(
        row["conflict_id"],
        row["entity_type"],
        row["entity_id"],
        row["path"],
        _lines(row["operations"]),
        row["type"],
        row["state"],
        row["body"],
        row["created_at"],
        row["closed_by"],
        row["outcome"],
        row["seq"],
    )


def lock_of(row: Mapping[str, Any]) -> LockRow:
    return LockRow(**{**row, "released": bool(row["released"])})


def cursor_of(row: Mapping[str, Any]) -> CursorRow:
    positions = tuple(int(position) for position in row["positions"].split(","))
    return CursorRow(row["terminal_id"], row["terminal_type"], row["user_id"], positions, row["last_seen_ms"])


def peer_of(row: Mapping[str, Any]) -> PeerRow:
    positions = tuple(int(position) for position in row["positions"].split(","))
    return PeerRow(row["node_id"], row["epoch"], positions, row["mark"], row["mark_hash"], row["last_seen_ms"])


def follower_of(row: Mapping[str, Any]) -> FollowerRow:
    positions = tuple(int(position) for position in row["positions"].split(","))
    return FollowerRow(row["node_id"], row["epoch"], positions, row["last_seen_ms"])


def parked_of(row: Mapping[str, Any]) -> ParkedRow:
    return ParkedRow(**row)


def token_of(row: Mapping[str, Any]) -> TokenRow:
    return TokenRow(**row)
