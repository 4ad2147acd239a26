"""A whole entity on its way to a node that has nothing yet: a `data_sync` CREATE with the document's snapshot.

While a class's entities go out, each frame's `log_position` says which was the last of them, so that a link that
comes back goes on there.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import frozen

from node.errors import InvalidMessage
from node.wire.codec import ID, LONGEST_ID
from node.wire.json_text import is_count
from node.wire.links.conflicts import closed_fields, read_closed
from storage.packed import RECORD_BYTES, acceptances
from storage.records import CLASSES, ConflictRow, Key

CLASS_NAMES = tuple(map(str, range(CLASSES)))


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


def state_message(operation: bytes, snapshot_b64: bytes) -> bytes:
    return b"".join((b'{"type":"data_sync","operation":', operation, b',"link":{"state":"', snapshot_b64, b'"}}'))


def snapshot_b64(snapshot: bytes) -> bytes:
    return b64encode(snapshot)


def is_state(message: Mapping[str, Any]) -> bool:
    link = message.get("link")
    return isinstance(link, dict) and "state" in link


def remote_state(message: Mapping[str, Any]) -> RemoteState:
    """Raises InvalidMessage."""
    operation, text = message.get("operation"), message["link"]["state"]
    closed: Sequence[ConflictRow] = ()
    match operation:
        case {"entity_type": str(entity_type), "entity_id": str(entity_id), **rest} if ID.match(entity_id):
            named, closed = rest.get("archived", ""), read_closed(rest.get("closed"), (entity_type, entity_id))
        case _:
            raise InvalidMessage("expected an entity", "$.operation")
    if not 1 <= len(entity_type) <= LONGEST_ID or not isinstance(text, str) or not isinstance(named, str):
        raise InvalidMessage("expected an entity and its snapshot", "$.link.state")
    try:
        encoded, archived = text.encode("ascii"), b64decode(named, validate=True)
        if len(archived) % RECORD_BYTES:
            raise ValueError("its archived operations are cut")
        if archived and min(acceptances(archived)) < 0:
            raise ValueError("an archived operation was accepted at no time")
        return RemoteState((entity_type, entity_id), b64decode(encoded, validate=True), encoded, archived, closed)
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
