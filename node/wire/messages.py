"""Every message a client may send, one class each. The codec makes them; nothing past it handles raw dicts.

Headings in quotation marks are those of protocol.md. Messages to clients are built as bytes in outgoing.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field

from crdt.classes import define, frozen
from crdt.json_values import canonical
from storage.records import key64

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("CREATE", "UPDATE", "DELETE", "BULK_UPDATE")
SHORT = 4_096
"""Characters that a message is taken to have where nothing else is noted."""

RESOLUTIONS = ("accept_local", "accept_remote", "merge")

LONGEST_REASON = 500
"""Characters of the reason that somebody gives for a decision."""


@frozen
class Ping:
    """Client -> server, every 30 s ("ping, pong"). performance: optional figures of the terminal itself.

    timestamp: read where it is a time as text. Whatever else it is, the ping is answered.
    """

    timestamp: Any = None
    performance: dict[str, Any] | None = None


@frozen
class BulkItem:
    """One entity of a BULK_UPDATE."""

    entity_id: str
    data: dict[str, Any]


@define
class Write:
    """What an operation writes to one entity. version: the one it claims, if it does (`effective_version`)."""

    key: tuple[str, str]
    data: dict[str, Any]
    version: int | None


@define
class Operation:
    """What a `data_sync` carries ("Operations").

    kind: the field `operation`. version: the top-level one, as sent. timestamp_us: microseconds since the epoch.
    assumed_zone: the zone in which the timestamp was read, where it names none.
    lock_id: an addition; the lock a write claims to hold. raw: the whole object, unknown fields included.
    replaced: see `tell_replaced`. size: see `tell_size`.
    """

    id: str
    entity_type: str
    entity_id: str | None
    kind: str
    data: dict[str, Any]
    version: int | None
    timestamp: str | None
    timestamp_us: int | None
    terminal_id: str | None
    user_id: str | None
    requires_lock: bool | None
    priority: str | None
    lock_id: str | None
    raw: dict[str, Any]
    updates: tuple[BulkItem, ...] = ()
    assumed_zone: str | None = None
    replaced: tuple[str, ...] = field(default=(), init=False, eq=False)
    size: int = field(default=SHORT, init=False, eq=False)

    @cached_property
    def writes(self) -> tuple[Write, ...]:
        """Entity by entity, also of a BULK_UPDATE. Most that links bring as history is never asked for them."""
        if self.kind == "BULK_UPDATE":
            return tuple(
                Write((self.entity_type, item.entity_id), item.data, effective_version(item.data, None, "UPDATE"))
                for item in self.updates
            )
        version = effective_version(self.data, self.version, self.kind)
        return (Write((self.entity_type, self.entity_id or ""), self.data, version),)

    @cached_property
    def registers(self) -> int:
        """About how many it writes. An entity counts for two more."""
        writes = self.writes
        return 2 * len(writes) + sum([len(write.data) for write in writes])


@define
class DataSync:
    """Client -> server -> other clients, when somebody changed something."""

    operation: Operation


@frozen
class SyncConfirmation:
    """Client -> server, for each `data_sync` it received ("sync_confirmation from the terminal").

    timestamp: optional; as a ping's.
    seq: from a client that speaks the subprotocol, the last row that it took.
    """

    operation_id: str | None
    terminal_id: str | None = None
    seq: int | None = None
    timestamp: Any = None


@frozen
class ConflictResolution:
    """Client -> server, when a person decided ("conflict_resolution from the terminal").

    id: optional operation id. reason: why, in the person's words (an addition). replaced: see `tell_replaced`.
    size: see `tell_size`.
    """

    conflict_id: str
    resolution: str
    resolved_data: dict[str, Any] | None = None
    terminal_id: str | None = None
    id: str | None = None
    reason: str | None = None
    replaced: tuple[str, ...] = field(default=(), init=False, eq=False)
    size: int = field(default=SHORT, init=False, eq=False)

    def operation_id(self, terminal_id: str) -> str:
        """The id of the operation that it becomes as a decision of this terminal.

        Its own; or one of the author and the content, so that a resend is a duplicate. No terminal can give such an
        id, as it has a comma.
        """
        if self.id is not None:
            return self.id
        content = canonical([self.conflict_id, self.resolution, self.resolved_data or {}])
        return f"resolution,{key64(terminal_id, content.decode()) & 2**64 - 1:016x}"


@frozen
class AcquireLock:
    """Client -> server ("Locks"). timeout in milliseconds. breaks: the terminal from which the lock is taken (an
    addition)."""

    entity_type: str
    entity_id: str
    terminal_id: str | None = None
    timeout: int | None = None
    lock_id: str | None = None
    breaks: str | None = None


@frozen
class ReleaseLock:
    """Client -> server ("Locks")."""

    lock_id: str
    terminal_id: str | None = None


Message = Ping | DataSync | SyncConfirmation | ConflictResolution | AcquireLock | ReleaseLock


def resolution_of(operation: Operation) -> ConflictResolution | None:
    """The `conflict_resolution` that an operation of the log was; None where it was none."""
    raw = operation.raw
    conflict_id, side = raw.get("resolves"), raw.get("resolution")
    if not (isinstance(conflict_id, str) and isinstance(side, str)):
        return None
    data, terminal_id = operation.data or None, operation.terminal_id
    return ConflictResolution(conflict_id, side, data, terminal_id, operation.id, reason_of(raw))


def reason_of(raw: Mapping[str, Any]) -> str | None:
    """Why somebody decided as he did, where an operation is a decision and says so.

    raw: the operation, as whatever node sent it.
    """
    reason = raw.get("reason") if "resolves" in raw else None
    return reason[:LONGEST_REASON] or None if isinstance(reason, str) else None


def tell_replaced(message: Message, places: tuple[str, ...]) -> None:
    """Note where text of a message that is no Unicode was replaced; its confirmation says so."""
    target = message.operation if isinstance(message, DataSync) else message
    if isinstance(target, Operation | ConflictResolution):
        object.__setattr__(target, "replaced", places)


def tell_size(message: Message, characters: int) -> None:
    """Note how long a message was that is not SHORT."""
    target = message.operation if isinstance(message, DataSync) else message
    if isinstance(target, Operation | ConflictResolution):
        object.__setattr__(target, "size", characters)


def effective_version(data: Mapping[str, Any], version: int | None, kind: str) -> int | None:
    """The version an operation claims: `data.version`, else the top-level one.

    Some clients send a top-level `version: 1` when `data.version` is missing. On anything but CREATE that means "no
    version" (protocol.md, "Versions").
    """
    inner = data.get("version")
    if isinstance(inner, int) and not isinstance(inner, bool):
        return inner
    if version == 1 and kind != "CREATE":
        return None
    return version
