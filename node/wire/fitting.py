"""What is sent to a terminal is cut to its largest message: an operation in several, others without large values.

An operation that a terminal sent grows on its way to others: nodes add members to it. So an entity may have fewer
bytes than a message, by HEADROOM at least. A delivery can be larger than a message all the same, where two nodes
accepted two halves, or a BULK_UPDATE touches many entities. It then goes out in parts that a plain client applies one
after the other. The last one has the operation's id, so its confirmation stands for all.

A field that is larger than any message cannot be sent. A `sync_error` names it in its place.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from node.errors import InvalidMessage
from node.wire import outgoing
from node.wire.codec import ENVELOPE_BYTES
from node.wire.subject import LONGEST_NAME
from storage.records import key64

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LONGEST_USER_ID = 256

_ESCAPED = "\x01"
"""A character that takes most bytes in JSON: six."""

_LONGEST: Mapping[str, object] = {
    "terminal_id": "x" * LONGEST_NAME,
    "user_id": _ESCAPED * LONGEST_USER_ID,
    "version": 2**63,
    "timestamp": "2026-01-15T10:00:00.000000+00:00",
    "requires_lock": False,
    "priority": "critical",
    "operation": "BULK_UPDATE",
    "data": {},
}
"""The members that a node adds to an operation or replaces, at their longest."""

NUMBERED_BYTES = len(b'"seq":9223372036854775807,')
"""What a row's number adds to its last message."""

HEADROOM = ENVELOPE_BYTES + len(outgoing.data_sync(_LONGEST)) + NUMBERED_BYTES
"""Bytes by which a delivered operation may be larger than the `data` that it shows."""

MOST_CUT = 8
"""How many times the largest message a message may have that is cut. One with more would take too long to read."""


def fitting(message: bytes, most: int) -> list[bytes]:
    """The message, or what is sent in its place: messages of at most `most` bytes, in order."""
    if len(message) <= most:
        return [message]
    if len(message) > MOST_CUT * most:
        return [_too_large(_head(message), len(message), most)]
    read = orjson.loads(message)
    if read["type"] != "data_sync":
        return [_without_values(read, len(message), most)]
    return _parts(read["operation"], most)


def _head(message: bytes) -> dict[str, Any]:
    """Of a message that is not read: nothing but its type is known."""
    return {"type": message[:64].partition(b'"type":"')[2].partition(b'"')[0].decode(errors="replace")}


# ------------------------------------------------------------------ operations


def _parts(operation: dict[str, Any], most: int) -> list[bytes]:
    room = most - NUMBERED_BYTES
    beside = {name: value for name, value in operation.items() if name != "data"}
    if len(orjson.dumps(beside)) > ENVELOPE_BYTES:
        return [_too_large(operation, len(orjson.dumps(operation)), most)]
    pieces: list[dict[str, Any]] = []
    errors: list[bytes] = []
    if operation["operation"] == "BULK_UPDATE":
        one = {**beside, "operation": "UPDATE"}
        for item in operation["data"]["updates"]:
            whole = {**one, "entity_id": item["entity_id"], "data": item["data"]}
            pieces += _by_fields(whole, room, most, errors)
    else:
        pieces += _by_fields(operation, room, most, errors)
    for number, piece in enumerate(pieces[:-1]):
        piece["id"] = f"part-{key64(str(operation['id'])) & 2**64 - 1:016x}-{number}"
    return [*errors, *map(outgoing.data_sync, pieces)]


def _by_fields(operation: dict[str, Any], room: int, most: int, errors: list[bytes]) -> Iterator[dict[str, Any]]:
    """An operation of one entity as several, each with some of its fields. Only the first creates.

    errors: takes the messages about fields that are left out.
    """
    empty = len(outgoing.data_sync({**operation, "id": "x" * LONGEST_NAME, "data": {}}))
    fields: dict[str, object] = {}
    size, kind = empty, operation["operation"]
    for name, value in operation["data"].items():
        length = len(orjson.dumps({name: value}))
        if empty + length > room:
            errors.append(_too_large(operation, length, most, f"$.operation.data.{name}"))
            continue
        if fields and size + length > room:
            yield {**operation, "operation": kind, "data": fields}
            fields, size = {}, empty
            kind = "UPDATE" if kind == "CREATE" else kind
        fields[name] = value
        size += length
    yield {**operation, "operation": kind, "data": fields}


def _too_large(about: Mapping[str, Any], length: int, most: int, where: str | None = None) -> bytes:
    """A `sync_error` in the place of what is too large to be sent. It names no operation: none is refused."""
    what = about.get("type") or "an operation" if where is None else "a field"
    extra: dict[str, object] = {} if where is None else {"where": where}
    if "conflict_id" in about:
        extra["conflict_id"] = about["conflict_id"]
    return outgoing.sync_error(
        None,
        f"{what} of {length} bytes is more than a message may have ({most}); it is not sent, read it over HTTP",
        about.get("entity_type"),
        about.get("entity_id"),
        str(about.get("terminal_id") or ""),
        InvalidMessage.code,
        **extra,
    )


# ------------------------------------------------------------------ what is no operation

LARGE_VALUE = 1_024
"""A value of fewer bytes is never left out."""

VALUES_DEEP = 4
"""How deep in a message a field's value is at most: `entry.changes.before.photo`."""


def _without_values(message: dict[str, Any], length: int, most: int) -> bytes:
    """A conflict, its end, or an audit entry without its largest values. `omitted` says where they were."""
    omitted: list[str] = []
    message["omitted"] = omitted
    for size, where, holder, name in sorted(_places(message), key=itemgetter(0), reverse=True):
        if length + len('"omitted":[],') <= most:
            break
        if where.count(".") > 2:
            del holder[name]
        else:
            holder[name] = type(holder[name])()  # the document has this member in every such message
        omitted.append(where)
        length -= size - len(orjson.dumps(where)) - len(",[]")
    text = orjson.dumps(message)
    return text if len(text) <= most else _too_large(_subject(message), len(text), most)


def _subject(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a message that is no operation is about."""
    conflict, entry = message.get("conflict", {}), message.get("entry", {})
    found = {"type": message["type"], "entity_type": None, "entity_id": None}
    for name in ("entity_type", "entity_id"):
        found[name] = conflict.get(name) or entry.get(name)
    if conflict_id := conflict.get("id") or message.get("conflict_id"):
        found["conflict_id"] = conflict_id
    return found


def _places(
    value: dict[str, Any], where: str = "$", depth: int = 1
) -> Iterator[tuple[int, str, dict[str, Any], str]]:
    """The values that may be left out: size, place, and the object that holds it under which name."""
    for name, child in value.items():
        place, within = f"{where}.{name}", False
        if isinstance(child, dict) and depth < VALUES_DEEP:
            for found in _places(child, place, depth + 1):
                within = True
                yield found
        if not within and isinstance(child, dict | list | str) and name != "omitted":
            length = len(orjson.dumps(child))
            if length > LARGE_VALUE:
                yield length, place, value, name


def shows(messages: Iterable[bytes]) -> bool:
    """Whether one of these messages shows something, so that a client confirms it."""
    return any(message.startswith(b'{"type":"data_sync"') for message in messages)
