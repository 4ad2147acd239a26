"""Nodes that are wrong in one way each, and the rule that must catch it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.conformance.proxy import Fault, Message, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[Message, Seen], list[Message]]


def without(kind: str) -> Change:
    """Messages of this type never arrive."""
    return lambda message, _: [] if message["type"] == kind else [message]


def changing(kind: str, change: Callable[[Message], object]) -> Change:
    """Messages of this type are changed in place."""

    def changed(message: Message, _: Seen) -> list[Message]:
        if message["type"] == kind:
            change(message)
        return [message]

    return changed


def rows(change: Callable[[Message], object]) -> Change:
    """Operations of data_sync are changed in place."""
    return changing("data_sync", lambda message: change(message["operation"]))


def dropping(kind: str, *path: str) -> Change:
    """A field is missing. path: where it is."""

    def drop(message: Message) -> None:
        for step in path[:-1]:
            message = message[step]
        message.pop(path[-1], None)

    return changing(kind, drop)


def setting(kind: str, *path: str, value: object) -> Change:
    """A field has this value. path: where it is."""

    def put(message: Message) -> None:
        for step in path[:-1]:
            message = message[step]
        message[path[-1]] = value

    return changing(kind, put)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def every_second(kind: str) -> Change:
    def halved(message: Message, seen: Seen) -> list[Message]:
        if message["type"] != kind:
            return [message]
        seen.kept.append(None)
        return [message] if len(seen.kept) % 2 else []

    return halved


def twice(message: Message, _: Seen) -> list[Message]:
    return [message, message] if message["type"] == "data_sync" else [message]


def in_swapped_pairs(message: Message, seen: Seen) -> list[Message]:
    if message["type"] != "data_sync":
        return [message]
    if seen.kept:
        return [message, seen.kept.pop()]
    seen.kept.append(message)
    return []


def not_to(kind: str) -> Change:
    return lambda message, seen: [] if seen.kind == kind and message["type"] == "data_sync" else [message]


class Forgetful:
    """What was written before a terminal connected does not reach it."""

    def __init__(self) -> None:
        self._written: set[str] = set()

    def to_node(self, message: Message, _: Seen) -> list[Message]:
        if message["type"] == "data_sync":
            self._written.add(message["operation"]["id"])
        return [message]

    def to_terminal(self, message: Message, seen: Seen) -> list[Message]:
        if message["type"] == "connection_established":
            seen.kept.append(set(self._written))
        if message["type"] != "data_sync":
            return [message]
        operation_id = message["operation"]["id"]
        return [] if operation_id in seen.kept[0] or operation_id.startswith("state-") else [message]


FORGETFUL = Forgetful()


def numbers_as_texts(operation: Message) -> None:
    data = operation["data"]
    data.update({name: str(value) for name, value in data.items() if isinstance(value, float)})


def delete_as_update(operation: Message) -> None:
    if operation["operation"] == "DELETE":
        operation["operation"] = "UPDATE"


def update_as_create(operation: Message) -> None:
    if operation["operation"] == "UPDATE":
        operation["operation"] = "CREATE"


def first_of_bulk(operation: Message) -> None:
    if operation["operation"] == "BULK_UPDATE":
        del operation["data"]["updates"][1:]


def long_lease(message: Message) -> None:
    message["timeout"] = 20_000


def everybody_gets_it(message: Message, _: Seen) -> list[Message]:
    if message["type"] != "lock_failed":
        return [message]
    names = ("entity_type", "entity_id", "lock_id")
    return [{"type": "lock_acquired", "expires_at": now(), **{name: message[name] for name in names}}]


def confirmations_are_errors(message: Message) -> list[Message]:
    if message["type"] != "sync_confirmation":
        return []
    return [{"type": "sync_error", "operation_id": message["operation_id"], "error": "thank you"}]


def one_more(stats: Message) -> Message:
    return {**stats, "total_connections": stats["total_connections"] + 1}


CONFLICT = ("conflict",)

FAULTS = (
    Fault("no greeting", "connection.greeting", "connection_established", without("connection_established")),
    Fault(
        "a greeting without a session",
        "connection.greeting",
        "session_id",
        dropping("connection_established", "session_id"),
    ),
    Fault(
        "one session for all",
        "connection.sessions_differ",
        "two session ids",
        setting("connection_established", "session_id", value="s"),
    ),
    Fault("a pong without the time", "heartbeat.pong", "server_time", dropping("pong", "server_time")),
    Fault("every second ping answered", "heartbeat.every_ping", "21 pongs", every_second("pong")),
    Fault("kitchens left out", "data_sync.every_type_of_terminal", "reaches kds", not_to("kds")),
    Fault(
        "operations without priority", "data_sync.fields", "priority", dropping("data_sync", "operation", "priority")
    ),
    Fault(
        "the author's name lost", "data_sync.unchanged", "terminal_id", rows(lambda op: op.update(terminal_id="?"))
    ),
    Fault(
        "the node's own timestamps",
        "data_sync.timestamp",
        "the timestamp",
        rows(lambda op: op.update(timestamp=now())),
    ),
    Fault("everything twice", "data_sync.once", "one data_sync", twice),
    Fault("pairs swapped", "data_sync.order", "in order", in_swapped_pairs),
    Fault("numbers as texts", "data_sync.numbers", "total", rows(numbers_as_texts)),
    Fault("a thank-you that is an error", "confirmation.silent", "no error", answers=confirmations_are_errors),
    Fault("updates that replace", "operations.update_merges", "total", rows(update_as_create)),
    Fault("versions that stand still", "operations.version_grows", "growing", rows(lambda op: op.update(version=1))),
    Fault("deletions that are updates", "operations.delete", "does not show", rows(delete_as_update)),
    Fault("half a bulk update", "operations.bulk", "price", to_node=rows(first_of_bulk)),
    Fault("no catching up", "delivery.away", "while-away", FORGETFUL.to_terminal, FORGETFUL.to_node),
    Fault(
        "last arrival wins", "strategies.last_write_first", "'A'", to_node=rows(lambda op: op.update(timestamp=now()))
    ),
    Fault("nobody told of conflicts", "conflicts.sides", "sync_conflict", without("sync_conflict")),
    Fault("undated conflicts", "conflicts.fields", "created_at", dropping("sync_conflict", *CONFLICT, "created_at")),
    Fault(
        "one side of a conflict twice",
        "conflicts.sides",
        "the amounts",
        changing("sync_conflict", lambda m: m["conflict"].update(remote_data=m["conflict"]["local_data"])),
    ),
    Fault("decisions lost", "resolutions.reach_the_other", "444", to_node=without("conflict_resolution")),
    Fault("everybody gets the lock", "locks.one_of_eight", "seven lock_failed", everybody_gets_it),
    Fault("a secret holder", "locks.failed", "locked_by", dropping("lock_failed", "locked_by")),
    Fault("locks that are kept", "locks.released", "lock_acquired", to_node=without("release_lock")),
    Fault(
        "leases longer than said",
        "fencing.expires",
        "lock_acquired",
        changing("lock_acquired", lambda message: message.update(expires_at=now())),
        changing("acquire_lock", long_lease),
    ),
    Fault(
        "nameless errors", "fencing.error_fields", "operation_id", setting("sync_error", "operation_id", value=None)
    ),
    Fault(
        "terminals without pings",
        "monitors.status",
        "last_ping",
        changing("terminal_status_update", lambda m: [entry.pop("last_ping") for entry in m["terminals"].values()]),
    ),
    Fault(
        "nobody online",
        "monitors.total_online",
        "monitor",
        setting("terminal_status_update", "total_online", value=0),
    ),
    Fault(
        "no queue size", "monitors.metrics", "queue_size", dropping("performance_metrics", "metrics", "queue_size")
    ),
    Fault("no audit", "audit.fields", "audit_log", without("audit_log")),
    Fault(
        "audit without before",
        "audit.before_and_after",
        "before",
        dropping("audit_log", "entry", "changes", "before"),
    ),
    Fault("anonymous audit", "audit.who_and_what", "user_id", setting("audit_log", "entry", "user_id", value=None)),
    Fault("counts that do not add up", "stats.sum", "a total", stats=one_more),
    Fault("no uptime", "stats.fields", "uptime_seconds", stats=lambda said: {**said, "uptime_seconds": None}),
    Fault("a close code for everything", "errors.4001_empty", "close 4001", close_code=lambda _: 1008),
    Fault("nonsense ignored", "errors.4006_not_json", "an error", without("sync_error")),
    Fault("everything slow", "figures.latency", "below 10 ms", pong_delay_s=0.02),
)
