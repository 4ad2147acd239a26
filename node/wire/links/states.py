"""A whole entity on its way to a node that has nothing yet: a `data_sync` CREATE with the document's snapshot.

A large document comes in parts, one message each, in order and with no other entity between them. So it fills no
frame, and both sides do something else between two of them.

While a class's entities go out, each frame's `log_position` says which was the last of them, so that a link that
comes back goes on there.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from attrs import field

from crdt.classes import define, frozen
from node.errors import InvalidMessage
from node.wire.codec import ID, LONGEST_ID
from node.wire.json_text import is_count
from node.wire.links.conflicts import closed_fields, read_closed
from storage.packed import RECORD_BYTES, acceptances
from storage.records import CLASSES, ConflictRow, Key

CLASS_NAMES = tuple(map(str, range(CLASSES)))


PART_BYTES = 48 * 1024
"""Bytes of a document that one message carries. A multiple of three: the base64 of parts is put together."""

LARGEST_STATE = 64 * 1024 * 1024
"""Largest document that is sent or taken whole. Of a larger one only the operations travel."""


@frozen
class RemoteState:
    """An entity's whole document. b64: the snapshot as it travels. archived: operations in it that are in nobody's
    log (storage.packed). closed: conflicts that it had."""

    key: Key
    snapshot: bytes
    b64: bytes
    archived: bytes = b""
    closed: Sequence[ConflictRow] = ()


@frozen
class StateProgress:
    """How far a first synchronisation is. after: by priority class, the last entity that went out.
    sent, total: entities."""

    after: Mapping[int, Key]
    sent: int
    total: int


def state_operation(operation_id: str, key: Key, archived: bytes = b"", closed: Sequence[ConflictRow] = ()) -> bytes:
    """The operation of a state row."""
    entity_type, entity_id = key
    operation: dict[str, object] = {"id": operation_id, "entity_type": entity_type, "entity_id": entity_id}
    operation |= {"operation": "CREATE", "data": {}}
    if archived:
        operation["archived"] = b64encode(archived).decode()
    if closed:
        operation["closed"] = closed_fields(closed)
    return orjson.dumps(operation)


def state_messages(operation: bytes, snapshot: bytes) -> Iterator[bytes]:
    """An entity whole, as the messages that its document takes."""
    head, length = b'{"type":"data_sync","operation":' + operation + b',"link":{"state":"', len(snapshot)
    if length <= PART_BYTES:
        yield b"".join((head, b64encode(snapshot), b'"}}'))
        return
    for at in range(0, length, PART_BYTES):
        part = b64encode(snapshot[at : at + PART_BYTES])
        yield b"".join((head, part, b'","at":%d,"of":%d}}' % (at, length)))


def is_state(message: Mapping[str, Any]) -> bool:
    link = message.get("link")
    return isinstance(link, dict) and "state" in link


@define(eq=False)
class Parts:
    """What has come of an entity that comes in parts. Raises nothing for what does not fit: it is dropped."""

    _key: Key | None = field(default=None, init=False)
    _came: list[str] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)

    @property
    def size(self) -> int:
        """Bytes of the document that are here."""
        return self._size

    def take(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """The message of a whole entity, put together from its parts; None while parts are missing.

        A part that does not follow the one before ends that entity, and so does one of a document that is too large.
        Raises InvalidMessage for what is no part.
        """
        match message:
            case {
                "operation": {"entity_type": str(entity_type), "entity_id": str(entity_id)},
                "link": {"state": str(text), "at": int(at), "of": int(of)},
            } if 0 <= at < of:
                key = (entity_type, entity_id)
            case _:
                raise InvalidMessage("expected a part of an entity", "$.link")
        if at == 0:
            self._forget(key)
        length = min(PART_BYTES, of - at)
        if key != self._key or at != self._size or of > LARGEST_STATE or len(text) != (length + 2) // 3 * 4:
            self._forget(None)
            return None
        self._came.append(text)
        self._size += length
        if self._size < of:
            return None
        whole = {**message, "link": {"state": "".join(self._came)}}
        self._forget(None)
        return whole

    def _forget(self, key: Key | None) -> None:
        self._key, self._size = key, 0
        self._came.clear()


def is_part(message: Mapping[str, Any]) -> bool:
    """Whether a message with a state has only a part of it."""
    return "of" in message["link"]


def remote_state(message: Mapping[str, Any]) -> RemoteState:
    """Raises InvalidMessage."""
    # Types are compared and not matched: every entity of a first synchronisation passes here.
    operation, text = message.get("operation"), message["link"]["state"]
    if type(operation) is not dict:
        raise InvalidMessage("expected an entity", "$.operation")
    entity_type, entity_id, named = (
        operation.get("entity_type"),
        operation.get("entity_id"),
        operation.get("archived", ""),
    )
    if type(entity_type) is not str or type(entity_id) is not str or ID.match(entity_id) is None:
        raise InvalidMessage("expected an entity", "$.operation")
    if not 1 <= len(entity_type) <= LONGEST_ID or type(text) is not str or type(named) is not str:
        raise InvalidMessage("expected an entity and its snapshot", "$.link.state")
    closed = read_closed(operation["closed"], (entity_type, entity_id)) if "closed" in operation else ()
    try:
        encoded, archived = text.encode("ascii"), b64decode(named, validate=True) if named else b""
        if len(archived) % RECORD_BYTES:
            raise ValueError("its archived operations are cut")
        if archived and min(acceptances(archived)) < 0:
            raise ValueError("an archived operation was accepted at no time")
        snapshot = a2b_base64(encoded, strict_mode=True)
        if b2a_base64(snapshot, newline=False) != encoded:
            raise ValueError("padded more than it needs")  # the text is kept as it came
        return RemoteState((entity_type, entity_id), snapshot, encoded, archived, closed)
    except (ValueError, binascii.Error) as error:
        raise InvalidMessage(f"unreadable snapshot: {error}", "$.link.state") from None


def progress_fields(progress: StateProgress) -> dict[str, object]:
    return {"after": after_fields(progress.after), "sent": progress.sent, "total": progress.total}


def read_progress(message: Mapping[str, Any]) -> StateProgress | None:
    """Of a `log_position`; None where no state is on its way. Raises InvalidMessage."""
    match message.get("state"):
        case None:
            return None
        case {"after": after, "sent": sent, "total": total} if is_count(sent, 2**53) and is_count(total, 2**53):
            return StateProgress(read_after(after), sent, total)
    raise InvalidMessage("expected the progress of a first synchronisation", "$.state")


def after_fields(after: Mapping[int, Key]) -> dict[str, Key]:
    return {str(priority): key for priority, key in after.items()}


def read_after(value: object) -> dict[int, Key]:
    """The last entity of each class. Raises InvalidMessage."""
    if not isinstance(value, dict):
        raise InvalidMessage("expected entities by class", "$.state")
    after: dict[int, Key] = {}
    for name, key in value.items():
        match key:
            case [str(entity_type), str(entity_id)] if name in CLASS_NAMES and ID.match(entity_id):
                after[int(name)] = (entity_type[:LONGEST_ID], entity_id)
            case _:
                raise InvalidMessage("expected an entity of a class", "$.state")
    return after
