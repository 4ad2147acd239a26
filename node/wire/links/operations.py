"""What two nodes say to each other under the subprotocol `comanda.v1`: the documented messages with added fields.

A frame is one message or a JSON array of them. `data_sync` carries beside the authored operation what the other
node needs to apply it (`link`); `sync_confirmation` confirms by position. Everything here is checked as strictly
as what terminals send: a peer's bytes are hostile too.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Generator, Iterable, Mapping
from decimal import Decimal
from typing import Any

import orjson
from attrs import field

from crdt.classes import define
from crdt.decimals import decimal_of, is_total
from crdt.edits import NOTHING_COUNTED
from crdt.records import name_of
from crdt.update_format import MAX_CLIENT, MAX_CLOCK
from node.errors import InvalidMessage
from node.wire.codec import ID, LONGEST_ID, TERMINAL_ID
from node.wire.json_text import is_number
from node.wire.messages import KINDS, BulkItem, Operation
from node.wire.outgoing import compact_json
from storage.records import LogRow, link_key

OWN_ID = re.compile(r"(?:resolution,[0-9a-f]{16}|repair,[0-9]{1,10}-[0-9]{1,16})\Z")
"""Ids that nodes give to operations. No terminal can: ids of theirs have no comma."""

_TWO_NUMBERS = [int, int]
_OBJECTS, _LISTS, _TEXTS, _NUMBERS = [dict] * 4, [list] * 3, [str] * 6, [int] * 6
_OF_ONE = tuple(kind for kind in KINDS if kind != "BULK_UPDATE")
_THREE_NUMBERS = [int, int, int]

AT_ONCE = 32
"""Registers of an operation that are read in one step."""

ENTRIES_A_STEP = 4
"""Of its updates."""

LOCK_STATES = ("none", "unlocked", "held", "held_local", "overlapping", "expired")


@define
class RemoteUpdate:
    """What an operation did to one entity. before: clocks a receiver must hold. [first, end): its writer's clocks.
    counts: what it moved counters by."""

    entity_type: str
    entity_id: str
    update: bytes
    before: Mapping[int, int]
    writer: int
    first: int
    end: int
    counts: Mapping[str, Decimal] = field(factory=dict)


@define
class RemoteOperation:
    """An operation accepted by another node. stamp, accepted: HLCs. entries: `updates` as it travels, in JSON."""

    operation: Operation
    updates: tuple[RemoteUpdate, ...]
    entries: bytes
    stamp: int
    accepted: int
    origin: str
    terminal_id: str
    user_id: str | None
    lock_status: str
    link_key: int
    authored: bytes
    """The operation's JSON text."""
    name: str
    """The operation's (crdt.records.name_of), whichever node it came from."""
    proof: bytes
    """Of its origin (storage/proofs.py); b"" where it did not sign."""


def operation_message(row: LogRow) -> bytes:
    """A log row as one message; the authored operation goes out byte for byte."""
    rest = orjson.dumps(
        {
            "hlc": (row.stamp, row.accepted),
            "origin": row.origin,
            "terminal_id": row.terminal_id,
            "user_id": row.user_id,
            "lock_status": row.lock_status,
            "key": row.link_key,
            "proof": b2a_base64(row.proof, newline=False).decode(),
        }
    )
    return b"".join(
        (
            b'{"type":"data_sync","operation":',
            row.operation,
            b',"link":{"updates":',
            row.updates,
            b",",
            rest[1:],
            b"}",
        )
    )


def remote_operation(message: Mapping[str, Any]) -> RemoteOperation:
    """A linked node's `data_sync`. Raises InvalidMessage for anything our own nodes would not send."""
    reading = remote_operation_in_steps(message)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            found: RemoteOperation = end.value
            return found


def remote_operation_in_steps(message: Mapping[str, Any]) -> Generator[int, None, RemoteOperation]:
    """The same, read in several turns where it is large (node/core/steps.py)."""
    raw, link = message.get("operation"), message.get("link")
    if type(raw) is not dict or type(link) is not dict:
        raise InvalidMessage("expected objects", "$.operation, $.link")
    try:
        authored = orjson.dumps([[[[raw]]]])[4:-4]  # deeper than it will ever be written again
    except orjson.JSONEncodeError as error:
        raise InvalidMessage(f"cannot be written again: {error}", "$.operation") from None
    operation = _operation(raw)
    large = operation.registers > AT_ONCE
    if large:
        yield operation.registers // AT_ONCE
    entries = link.get("updates")
    if type(entries) is not list or not entries:
        raise InvalidMessage("expected updates", "$.link.updates")
    try:
        as_sent = compact_json(entries)
    except orjson.JSONEncodeError as error:
        raise InvalidMessage(f"cannot be written again: {error}", "$.link.updates") from None
    read = []
    for place, entry in enumerate(entries):
        read.append(_update(entry, place))
        if large and not (place + 1) % ENTRIES_A_STEP:
            yield 1
    updates, entity_type = tuple(read), operation.entity_type
    if [u.entity_id for u in updates] != _written(operation) or any(u.entity_type != entity_type for u in updates):
        raise InvalidMessage("updates are of other entities than the operation", "$.link.updates")
    hlc = link.get("hlc")
    if type(hlc) is not list or [*map(type, hlc)] != _TWO_NUMBERS or not 0 <= hlc[0] | hlc[1] < 2**63:
        raise InvalidMessage("expected two stamps", "$.link.hlc")
    terminal_id, origin, user_id = link.get("terminal_id"), link.get("origin"), link.get("user_id")
    if type(terminal_id) is not str or TERMINAL_ID.match(terminal_id) is None:
        raise InvalidMessage("expected a terminal id", "$.link.terminal_id")
    if type(origin) is not str or len(origin) > LONGEST_ID:
        raise InvalidMessage("expected a node id", "$.link.origin")
    if user_id is not None and (type(user_id) is not str or len(user_id) > 256):
        raise InvalidMessage("expected a user id", "$.link.user_id")
    lock_status = link.get("lock_status")
    if lock_status not in LOCK_STATES:
        raise InvalidMessage(f"lock status is none of {', '.join(LOCK_STATES)}", "$.link.lock_status")
    name = name_of(terminal_id, operation.id)
    if large:
        yield operation.registers // AT_ONCE
    key = link_key(name, entries)
    if link.get("key") != key:
        raise InvalidMessage("its updates are not those of its key", "$.link.key")
    return RemoteOperation(
        operation,
        updates,
        as_sent,
        hlc[0],
        hlc[1],
        origin,
        terminal_id,
        user_id,
        lock_status,
        key,
        authored,
        name,
        _proof(link.get("proof")),
    )


def plain_row(message: Mapping[str, Any], via: str) -> tuple[LogRow, RemoteUpdate] | None:
    """The row of an operation of one entity, as `remote_operation` reads it, and what it did to the entity; None
    where that has to say what the message is.

    Nothing is made here that only deciding needs. What this node finds of the operation is not in the row yet, and
    whether the ids are ids of entities is left to whoever finds the entity. May raise anything that says as much as
    None.
    """
    raw, link = message["operation"], message["link"]
    entries, hlc, terminal_id, origin = link["updates"], link["hlc"], link["terminal_id"], link["origin"]
    user_id, lock_status, proof, operation_id = link.get("user_id"), link["lock_status"], link.get("proof"), raw["id"]
    if type(entries) is not list or len(entries) != 1 or len(entries[0]) != 5:
        return None
    entity_type, entity_id, text, before, span = entries[0]
    (writer, first, end), (stamp, accepted) = span, hlc
    own, said = before.get(str(writer)), raw.get("terminal_id")
    if not (
        [*map(type, (raw, link, before, raw.get("data", before)))] == _OBJECTS
        and [*map(type, (entries[0], span, hlc))] == _LISTS
        and [*map(type, (entity_type, entity_id, text, terminal_id, origin, operation_id))] == _TEXTS
        and [*map(type, (writer, first, end, own, stamp, accepted))] == _NUMBERS
        and raw.get("entity_type") == entity_type
        and raw.get("entity_id") == entity_id
        and raw.get("operation") in _OF_ONE
        and len(before) == 1
        and own == first
        and 0 < writer <= MAX_CLIENT
        and 0 <= first < end <= MAX_CLOCK
        and 0 <= stamp | accepted < 2**63
        and (user_id is None or (type(user_id) is str and len(user_id) <= 256))
        and (said is None or said == terminal_id)
        and lock_status in LOCK_STATES
        and len(origin) <= LONGEST_ID
        and ID.match(operation_id) is not None
        and TERMINAL_ID.match(terminal_id) is not None
    ):
        return None
    key = link_key(name_of(terminal_id, operation_id), entries)
    if key != link["key"]:
        return None
    row = LogRow(
        0,
        "operation",
        0,
        entity_type,
        entity_id,
        operation_id,
        terminal_id,
        user_id,
        (),
        False,
        stamp,
        accepted,
        0,
        "applied",
        lock_status,
        True,
        orjson.dumps([[[[raw]]]])[4:-4],  # deeper than it will ever be written again
        b"",
        b"",
        compact_json(entries),
        origin,
        via,
        key,
        _proof(proof),
    )
    update = a2b_base64(text, strict_mode=True)
    return row, RemoteUpdate(entity_type, entity_id, update, {writer: first}, writer, first, end, NOTHING_COUNTED)


def _written(operation: Operation) -> list[str | None]:
    """The ids of the entities that an operation writes."""
    if operation.kind == "BULK_UPDATE":
        return [item.entity_id for item in operation.updates]
    return [operation.entity_id]


def _operation(raw: dict[str, Any]) -> Operation:
    """The authored operation, as far as this node needs it; its values were checked where it was accepted."""
    operation_id, kind, data = raw.get("id"), raw.get("operation"), raw.get("data", {})
    entity_type, entity_id = raw.get("entity_type"), raw.get("entity_id")
    if type(operation_id) is not str or (ID.match(operation_id) or OWN_ID.match(operation_id)) is None:
        raise InvalidMessage("expected an id", "$.operation.id")
    if kind not in KINDS or type(data) is not dict or type(entity_type) is not str:
        raise InvalidMessage("expected an operation of an entity type, with data", "$.operation")
    updates: tuple[BulkItem, ...] = ()
    if kind == "BULK_UPDATE":
        items = data.get("updates")
        if type(items) is not list or not all(
            type(i) is dict and type(i.get("data")) is dict and _is_id(i.get("entity_id")) for i in items
        ):
            raise InvalidMessage("expected updates", "$.operation.data.updates")
        updates = tuple({i["entity_id"]: BulkItem(i["entity_id"], i["data"]) for i in items}.values())
    elif not _is_id(entity_id):
        raise InvalidMessage("expected an id", "$.operation.entity_id")
    timestamp = raw.get("timestamp")
    return Operation(
        operation_id,
        entity_type,
        entity_id if kind != "BULK_UPDATE" else None,
        kind,
        data,
        None,
        timestamp if type(timestamp) is str else None,
        None,
        None,
        None,
        None,
        None,
        None,
        raw,
        updates,
    )


def _proof(text: Any) -> bytes:
    if text is None:
        return b""
    try:
        return a2b_base64(text, strict_mode=True)
    except (TypeError, ValueError):
        raise InvalidMessage("expected base64", "$.link.proof") from None


def _is_id(value: Any) -> bool:
    return type(value) is str and ID.match(value) is not None


def _update(entry: Any, place: int) -> RemoteUpdate:
    # Types are compared and not matched: every operation passes here, and `match` takes twice the time.
    counts: Any = None
    if type(entry) is list and len(entry) >= 5:
        entity_type, entity_id, text, before, span = entry[:5]
        if type(entity_type) is type(entity_id) is type(text) is str and type(before) is dict and type(span) is list:
            counts = entry[5] if len(entry) > 5 else {}
    if (
        type(counts) is not dict
        or [*map(type, span)] != _THREE_NUMBERS
        or (counts and not all(map(is_total, counts.values())))
    ):
        wanted = "[type, id, base64, before, [writer, first, end], counts]"
        raise InvalidMessage(f"expected {wanted}", f"$.link.updates[{place}]")
    writer, first, end = span
    if not (0 < writer <= MAX_CLIENT and 0 <= first < end <= MAX_CLOCK):
        raise InvalidMessage("writer or clocks out of range", f"$.link.updates[{place}][4]")
    try:
        update = a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise InvalidMessage(f"unreadable update: {error}", f"$.link.updates[{place}]") from None
    own = before.get(str(writer))
    # Nearly all build on what their writer wrote before, and on nothing else.
    clocks = {writer: own} if len(before) == 1 and type(own) is int and own == first else _clocks(before, place)
    amounts = {name: decimal_of(total) for name, total in counts.items()} if counts else NOTHING_COUNTED
    return RemoteUpdate(entity_type, entity_id, update, clocks, writer, first, end, amounts)


def _clocks(before: Mapping[str, Any], place: int) -> dict[int, int]:
    clocks: dict[int, int] = {}
    for name, clock in before.items():
        if not (is_number(name) and type(clock) is int and 0 <= clock <= MAX_CLOCK):
            raise InvalidMessage("writer or clock out of range", f"$.link.updates[{place}][3]")
        clocks[int(name)] = clock
    return clocks


def entities_of(messages: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(type, id) of the entities that the messages of a frame touch, as far as they can be read."""
    keys: list[tuple[str, str]] = []
    for message in messages:
        link = message.get("link")
        if type(link) is not dict:
            continue
        if "state" in link:
            match message.get("operation"):
                case {"entity_type": str(entity_type), "entity_id": str(entity_id)}:
                    keys.append((entity_type, entity_id))
            continue
        updates = link.get("updates")
        for entry in updates if type(updates) is list else ():
            if type(entry) is list and len(entry) > 1 and type(entry[0]) is type(entry[1]) is str:
                keys.append((entry[0], entry[1]))
    return keys
