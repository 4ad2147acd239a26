"""The words of a client: what it is told and tells. Pure."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from attrs import define, field, frozen

Message = dict[str, Any]
"""One message of the protocol, as JSON."""

Fields = dict[str, Any]
"""The fields of an entity."""

Key = tuple[str, str]
"""Entity type and entity id."""

STAYS_AWAY = {4001: "invalid terminal id", 4002: "invalid terminal type", 4003: "authentication failed"}
"""Close codes after which dialling again would not help: somebody has to change something first."""


class State(Enum):
    """Where an operation stands. The last three are final, but that a refused one may be tried again."""

    SAVED = "saved"
    """In the queue here. A crash of this machine does not lose it, where the queue is a file."""
    SENT = "sent"
    CONFIRMED = "confirmed"
    """On the node's disk."""
    CONFLICT = "conflict"
    """On the node's disk, as one side of a conflict that somebody must decide."""
    REFUSED = "refused"

    @property
    def final(self) -> bool:
        return self not in (State.SAVED, State.SENT)


@frozen
class Waits:
    """How long a client waits for what, in seconds.

    ping: between two pings. silence: with nothing heard, after which the connection counts as dead. answer: for an
    operation's answer before it is sent again (the double each time). retry: before what the node could not take now
    is sent again. first_delay, longest_delay: what a delay before dialling is drawn from, at first and at most.
    connect: for a handshake. goodbye: for the closing handshake.
    """

    ping: float = 15.0
    silence: float = 35.0
    answer: float = 15.0
    retry: float = 2.0
    first_delay: float = 1.0
    longest_delay: float = 30.0
    connect: float = 10.0
    goodbye: float = 2.0


@define(eq=False)
class Operation:
    """Something that this terminal wrote or decided, and what became of it.

    message: the `data_sync` or `conflict_resolution` as it is sent, each time the same. label: the program's own name
    for it, kept with it. code, error: why it was refused. kept: the node keeps the refused write. answer: the message
    that settled it. sent_at: monotonic seconds, of the last time.
    """

    id: str
    message: Message
    label: str | None = None
    state: State = State.SAVED
    code: int | None = None
    error: str | None = None
    kept: bool = False
    answer: Message | None = None
    sent_at: float = 0.0

    @property
    def writes(self) -> list[tuple[Key, str, Fields]]:
        """Entity by entity, what it writes: key, kind and data. Nothing of a resolution."""
        return writes_of(self.message["operation"]) if self.message["type"] == "data_sync" else []


def writes_of(operation: Message) -> list[tuple[Key, str, Fields]]:
    """The same of an `operation` as JSON; the items of a BULK_UPDATE are UPDATEs."""
    entity_type, kind, data = operation["entity_type"], operation["operation"], operation.get("data") or {}
    if kind == "BULK_UPDATE":
        return [((entity_type, item["entity_id"]), "UPDATE", item["data"]) for item in data["updates"]]
    return [((entity_type, operation["entity_id"]), kind, data)]


def text_of(message: Message) -> str:
    """Its JSON. Raises ValueError for what is no JSON: NaN, half a surrogate pair."""
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text.encode()
    return text


# ---------------------------------------------------------------------- events


@frozen
class Row:
    """The node sent an operation: somebody else's, or an own one whose outcome is not what was written."""

    entity_type: str
    entity_ids: tuple[str, ...]
    operation: Message


@frozen
class Progress:
    """An operation of this terminal is in another state. state: as it was when this happened."""

    operation: Operation
    state: State


@frozen
class Contact:
    """The node is there (after its greeting), or not. code: how the connection ended, or None where none came about.

    reason: for people. stays_away: the client does not dial again by itself; see `reconnect`. server_time: the node's
    clock, by which a program may warn that this machine's is wrong.
    """

    up: bool
    code: int | None = None
    reason: str = ""
    stays_away: bool = False
    server_time: str | None = None


@frozen
class Conflict:
    """Two writes collided. conflict: as in `sync_conflict`; open until `closed`."""

    conflict: Message
    closed: bool = False


@frozen
class LockChange:
    """Something became of a lock. lock: with what is known of it now."""

    lock: Lock


@frozen
class Heard:
    """Any other message: figures for monitors, the audit, an error about nothing that this client sent."""

    message: Message


Event = Row | Progress | Contact | Conflict | LockChange | Heard


@define(eq=False)
class Lock:
    """A lock asked for. until: monotonic seconds until which this terminal surely has it, by its own clock.

    state: asked | held | refused | released | lost | abandoned (released before the answer). asked_at: for the first
    time on this connection. ask_again_at: if nothing is answered. locked_by, locked_until, error, code: why it was
    refused or lost.
    """

    id: str
    key: Key
    message: Message = field(repr=False)
    state: str = "asked"
    until: float = 0.0
    asked_at: float | None = None
    ask_again_at: float = 0.0
    scope: str | None = None
    token: Message | None = None
    locked_by: str | None = None
    locked_until: str | None = None
    error: str | None = None
    code: int | None = None

    def held(self, now: float) -> bool:
        return self.state == "held" and now < self.until
