"""From a text frame to a message, or an InvalidMessage that says what is wrong and where.

orjson, then our own dispatch on `type`, then cattrs with strict primitives: cattrs' defaults turn null into
"None" and "false" into true.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from cattrs import ClassValidationError, Converter, transform_error

from crdt.classes import define, frozen
from crdt.hlc import UTC_ZONE, Zone, read_iso
from crdt.records import INTERNAL
from node.errors import InvalidMessage
from node.wire.json_text import MOST_VALUES, too_many_values
from node.wire.messages import (
    KINDS,
    LONGEST_REASON,
    RESOLUTIONS,
    SHORT,
    AcquireLock,
    BulkItem,
    ConflictResolution,
    DataSync,
    Message,
    Operation,
    Ping,
    ReleaseLock,
    SyncConfirmation,
    tell_replaced,
    tell_size,
)
from node.wire.numbers import LARGEST, SMALLEST, check_exact, is_suspect
from node.wire.subject import LONGEST_NAME, say_which
from node.wire.tolerant import read_tolerantly, unread
from strategies.policy import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ID_ALPHABET = r"[A-Za-z0-9._:@#/+=~|-]"
"""Characters of entity, operation, lock and conflict ids. Terminal ids take the same without the slash."""

LONGEST_ID = LONGEST_NAME
"""Characters of an id, and of an entity type's name."""

ENVELOPE_BYTES = 16 * 1024
"""Most bytes of an operation beside its `data`."""

FIGURES_BYTES = 1_024
"""Most bytes of a ping's `performance`: each status repeats them, for every terminal."""

MARKS = ("resolves", "resolution", "repairs", "archived", "closed")
"""Members of an operation by which nodes tell what they made of it. A terminal does not say them."""

BEGIN = 16_384
"""Characters of a message with too many values in which it is looked for what it is about."""

ID = re.compile(rf"{ID_ALPHABET}{{1,128}}\Z")
TERMINAL_ID = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:@#+=~|-]{1,128}\Z")
"""Not `.` and `..`, which no client leaves in a URL's path."""


@frozen
class CodecLimits:
    """Bounds of one message, and where it was written.

    depth: nested arrays and objects. field_name: characters of a data field's name.
    where: the zone of a timestamp that names none.
    """

    depth: int
    bulk_items: int
    fields: int
    where: Zone = UTC_ZONE
    field_name: int = 128
    bulk_fields: int = 4_000


# ------------------------------------------------------------------ strict primitives

_converter = Converter(prefer_attrib_converters=False)


def _strict(kind: type, name: str, *, optional: bool) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind and not (optional and value is None):
            raise InvalidMessage(f"expected {name}, got {_json_type(value)}")
        return value

    return structure


def _register(annotation: Any, kind: type, called: str) -> None:
    required, optional = _strict(kind, called, optional=False), _strict(kind, called, optional=True)
    if annotation is kind:
        _converter.register_structure_hook(annotation, required)
    else:
        _converter.register_structure_hook_func(lambda cls: cls == annotation, required)
    # Registered of its own, an optional field takes one call instead of a union's two.
    _converter.register_structure_hook_func(lambda cls: cls == (annotation | None), optional)


_register(str, str, "string")
_register(int, int, "integer")
_register(bool, bool, "boolean")
_register(dict[str, Any], dict, "object")


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    names = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}
    return names[type(value)]


@define
class _RawOperation:
    """The documented fields of an operation, typed; checked further by `_operation`. Not frozen: half the time."""

    id: str
    entity_type: str
    operation: str
    entity_id: str | None = None
    data: dict[str, Any] | None = None
    version: int | None = None
    timestamp: str | None = None
    terminal_id: str | None = None
    user_id: str | None = None
    requires_lock: bool | None = None
    priority: str | None = None
    lock_id: str | None = None


_HOOKS: dict[str, Callable[[Any, Any], Any]] = {}
for _name, _cls in (
    ("ping", Ping),
    ("conflict_resolution", ConflictResolution),
    ("acquire_lock", AcquireLock),
    ("release_lock", ReleaseLock),
):
    _HOOKS[_name] = _converter.get_structure_hook(_cls)
_operation_hook = _converter.get_structure_hook(_RawOperation)
TYPES = ("ping", "data_sync", "sync_confirmation", "conflict_resolution", "acquire_lock", "release_lock")


# ------------------------------------------------------------------ decoding


def decode(text: str | bytes, limits: CodecLimits) -> Message:
    """One message. Raises InvalidMessage (4006) and nothing else, whatever the text; of a key given twice the last
    counts, as in every browser."""
    message, replaced = _load(text, limits)
    try:
        decoded = _decoded(message, text, limits)
    except InvalidMessage as error:
        say_which(error, message)
        raise
    if replaced:
        tell_replaced(decoded, replaced)
    if len(text) > SHORT:
        tell_size(decoded, len(text))
    return decoded


def _decoded(message: dict[str, Any], text: str | bytes, limits: CodecLimits) -> Message:
    kind = message.get("type")
    if kind == "sync_confirmation":
        return _confirmation(message)
    if kind == "data_sync":
        raw = message.get("operation")
        if type(raw) is not dict:
            raise InvalidMessage(f"expected object, got {_json_type(raw)}", "$.operation")
        return DataSync(_operation(raw, text, limits))
    if not isinstance(kind, str):
        raise InvalidMessage(f"expected a message type, got {_json_type(kind)}", "$.type")
    hook = _HOOKS.get(kind)
    if hook is None:
        raise InvalidMessage(f"unknown message type {kind[:64]!r}; known are {', '.join(TYPES)}", "$.type")
    return _checked_other(_structured(hook, message, "$"), text, limits)


def _load(text: str | bytes, limits: CodecLimits) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The JSON object, and the places of what was replaced in it."""
    if too_many_values(text, MOST_VALUES):
        begin = text[:BEGIN] if isinstance(text, bytes) else text[:BEGIN].encode(errors="surrogatepass")
        raise unread(begin, f"at most {MOST_VALUES} values in a message", limits.depth)
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        said = f"{error.msg} (line {error.lineno}, column {error.colno})"
        return read_tolerantly(text, said, limits.depth)
    except ValueError as error:  # a lone surrogate in a str
        return read_tolerantly(text, str(error), limits.depth)
    if type(message) is not dict:
        raise InvalidMessage(f"expected an object, got {_json_type(message)}", "$")
    return message, ()


def _confirmation(message: dict[str, Any]) -> SyncConfirmation:
    """The message there is most of: the shortest path."""
    operation_id = message.get("operation_id")
    seq = message.get("seq")
    if seq is not None and (type(seq) is not int or not 0 <= seq <= LARGEST):
        raise InvalidMessage("expected a log position, an integer of 0 to 2^63-1", "$.seq")
    if type(operation_id) is not str and not (operation_id is None and seq is not None):
        raise InvalidMessage(f"expected string, got {_json_type(operation_id)}", "$.operation_id")
    terminal_id = message.get("terminal_id")
    if terminal_id is not None and (type(terminal_id) is not str or len(terminal_id) > LONGEST_ID):
        raise InvalidMessage(f"expected a terminal id, got {_json_type(terminal_id)}", "$.terminal_id")
    return SyncConfirmation(operation_id, terminal_id, seq, message.get("timestamp"))


def _structured(hook: Callable[[Any, Any], Any], value: Mapping[str, Any], path: str) -> Any:
    try:
        return hook(value, None)
    except ClassValidationError as error:
        if not _blames_message(error, value):
            raise  # a fault of this code: the message may be as good as any
        wrong = transform_error(error, path=path, format_exception=_say)
        first, _, where = wrong[0].rpartition(" @ ")
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InvalidMessage((first or wrong[0]) + more, where or path) from None


def _blames_message(error: ClassValidationError, value: Mapping[str, Any]) -> bool:
    """Whether all that was raised is a check's refusal, or a field that is not there."""
    noted, others = error.group_exceptions()
    return not others and all(
        isinstance(cause, InvalidMessage)
        or (isinstance(cause, KeyError) and cause.args == (note.name,) and note.name not in value)
        for cause, note in noted
    )


def _say(error: BaseException, _: type | None) -> str:
    return error.reason if isinstance(error, InvalidMessage) else f"required field missing: {error.args[0]}"


def _operation(raw: dict[str, Any], text: str | bytes, limits: CodecLimits) -> Operation:
    """The types by cattrs, then what types cannot say: alphabets, ranges, times, what each kind needs."""
    typed: _RawOperation = _structured(_operation_hook, raw, "$.operation")
    _check_id(typed.id, "$.operation.id")
    if typed.operation not in KINDS:
        raise InvalidMessage(
            f"operation {typed.operation[:32]!r} is none of {', '.join(KINDS)}", "$.operation.operation"
        )
    if typed.priority is not None and typed.priority not in PRIORITIES:
        raise InvalidMessage(
            f"priority {typed.priority[:32]!r} is none of {', '.join(PRIORITIES)}", "$.operation.priority"
        )
    _check_entity_type(typed.entity_type, "$.operation.entity_type")
    if typed.user_id is not None and len(typed.user_id) > 256:
        raise InvalidMessage("a user id has at most 256 characters", "$.operation.user_id")
    _check_terminal_id(typed.terminal_id, "$.operation.terminal_id")
    _check_id(typed.lock_id, "$.operation.lock_id")
    _check_version(typed.version, "$.operation.version")
    for name in MARKS:
        if name in raw:
            raise InvalidMessage(f"{name} is not for a terminal to say", f"$.operation.{name}")
    _check_values(raw, "operation", text, limits)
    if len(text) > SHORT:
        _check_beside(raw)
    timestamp_us = assumed = None
    if typed.timestamp is not None:
        timestamp_us, without = _time(typed.timestamp, "$.operation.timestamp", limits)
        assumed = limits.where.name if without else None
    data = typed.data if typed.data is not None else {}
    updates: tuple[BulkItem, ...] = ()
    if typed.operation == "BULK_UPDATE":
        if typed.data is None:
            raise InvalidMessage("BULK_UPDATE needs data", "$.operation.data")
        updates = _bulk_items(data, limits)
    else:
        if typed.entity_id is None:
            raise InvalidMessage(f"{typed.operation} needs an entity_id", "$.operation.entity_id")
        if typed.data is None and typed.operation != "DELETE":
            raise InvalidMessage(f"{typed.operation} needs data", "$.operation.data")
        _check_id(typed.entity_id, "$.operation.entity_id")
        _check_data(data, "$.operation.data", limits)
        _check_names(data, "$.operation.data")
        _check_version(data.get("version"), "$.operation.data.version")
        _check_deletion(data, typed.operation, "$.operation.data.deleted_at", limits)
    return Operation(
        typed.id,
        typed.entity_type,
        typed.entity_id if typed.operation != "BULK_UPDATE" else None,
        typed.operation,
        data,
        typed.version,
        typed.timestamp,
        timestamp_us,
        typed.terminal_id,
        typed.user_id,
        typed.requires_lock,
        typed.priority,
        typed.lock_id,
        raw,
        updates,
        assumed,
    )


def _check_beside(raw: dict[str, Any]) -> None:
    """What an operation says beside its `data` is passed on with it, so it is short."""
    beside = len(orjson.dumps({name: value for name, value in raw.items() if name != "data"}))
    if beside > ENVELOPE_BYTES:
        what = f"an operation has at most {ENVELOPE_BYTES} bytes beside its data, this one has {beside}"
        raise InvalidMessage(what, "$.operation")


def _check_names(fields: dict[str, Any], where: str) -> None:
    """No field of an entity is named like an internal register (crdt/records.py)."""
    for name in fields:
        if name.startswith(INTERNAL):
            raise InvalidMessage(f"a field name does not begin with {INTERNAL}", f"{where}.{name[:LONGEST_ID]}")


def _bulk_items(data: dict[str, Any], limits: CodecLimits) -> tuple[BulkItem, ...]:
    items = data.get("updates")
    if type(items) is not list:
        raise InvalidMessage(f"expected array, got {_json_type(items)}", "$.operation.data.updates")
    if not 1 <= len(items) <= limits.bulk_items:
        raise InvalidMessage(
            f"a BULK_UPDATE has 1 to {limits.bulk_items} updates, not {len(items)}", "$.operation.data.updates"
        )
    found: dict[str, BulkItem] = {}
    known: set[str] = set()
    """Names of fields that were found well: mostly all items have the same ones."""
    for place, item in enumerate(items):
        if not _is_like_others(item, known, limits):
            _check_item(item, f"$.operation.data.updates[{place}]", limits)
            known.update(name for name in item["data"] if name != "deleted_at")
        entity_id = item["entity_id"]
        if entity_id in found:
            raise InvalidMessage(f"entity {entity_id} twice", f"$.operation.data.updates[{place}].entity_id")
        found[entity_id] = BulkItem(entity_id, item["data"])
    if (count := sum(len(item.data) for item in found.values())) > limits.bulk_fields:
        said = f"the updates have {count} fields, at most {limits.bulk_fields} in one message"
        raise InvalidMessage(said, "$.operation.data.updates")
    return tuple(found.values())


def _is_like_others(item: Any, known: set[str], limits: CodecLimits) -> bool:
    """Whether an update of a BULK_UPDATE is well, and has no other fields than those before it."""
    if type(item) is not dict:
        return False
    entity_id, fields = item.get("entity_id"), item.get("data")
    if type(entity_id) is not str or type(fields) is not dict or not fields.keys() <= known:
        return False
    version = fields.get("version", 0)
    return (
        len(fields) <= limits.fields
        and ID.match(entity_id) is not None
        and (version is None or (type(version) is int and 0 <= version <= LARGEST))
    )


def _check_item(item: Any, where: str, limits: CodecLimits) -> None:
    """One update of a BULK_UPDATE."""
    if type(item) is not dict:
        raise InvalidMessage(f"expected object, got {_json_type(item)}", where)
    entity_id, fields = item.get("entity_id"), item.get("data")
    if type(entity_id) is not str:
        raise InvalidMessage(f"expected string, got {_json_type(entity_id)}", f"{where}.entity_id")
    if type(fields) is not dict:
        raise InvalidMessage(f"expected object, got {_json_type(fields)}", f"{where}.data")
    _check_id(entity_id, f"{where}.entity_id")
    _check_data(fields, f"{where}.data", limits)
    _check_names(fields, f"{where}.data")
    _check_version(fields.get("version"), f"{where}.data.version")
    _check_deletion(fields, "BULK_UPDATE", f"{where}.data.deleted_at", limits)


def _checked_other(message: Message, text: str | bytes, limits: CodecLimits) -> Message:
    """What types cannot say of the messages that are no operation."""
    match message:
        case Ping(performance=dict(figures)):
            _check_values(figures, "performance", text, limits)
            _check_data(figures, "$.performance", limits)
            if len(text) > FIGURES_BYTES and len(orjson.dumps(figures)) > FIGURES_BYTES:
                raise InvalidMessage(f"figures have at most {FIGURES_BYTES} bytes", "$.performance")
        case ConflictResolution():
            _check_resolution(message, text, limits)
        case AcquireLock():
            _check_entity_type(message.entity_type, "$.entity_type")
            _check_id(message.entity_id, "$.entity_id")
            _check_id(message.lock_id, "$.lock_id")
            _check_terminal_id(message.terminal_id, "$.terminal_id")
            _check_terminal_id(message.breaks, "$.breaks")
        case ReleaseLock():
            _check_id(message.lock_id, "$.lock_id")
            _check_terminal_id(message.terminal_id, "$.terminal_id")
    return message


def _check_resolution(message: ConflictResolution, text: str | bytes, limits: CodecLimits) -> None:
    _check_id(message.conflict_id, "$.conflict_id")
    _check_id(message.id, "$.id")
    if message.reason is not None and len(message.reason) > LONGEST_REASON:
        raise InvalidMessage(f"a reason has at most {LONGEST_REASON} characters", "$.reason")
    _check_terminal_id(message.terminal_id, "$.terminal_id")
    if message.resolution not in RESOLUTIONS:
        raise InvalidMessage(
            f"resolution {message.resolution[:32]!r} is none of {', '.join(RESOLUTIONS)}", "$.resolution"
        )
    if message.resolved_data is not None:
        _check_values(message.resolved_data, "resolved_data", text, limits)
        _check_data(message.resolved_data, "$.resolved_data", limits)
        _check_names(message.resolved_data, "$.resolved_data")
        _check_version(message.resolved_data.get("version"), "$.resolved_data.version")
        _check_deletion(message.resolved_data, "DELETE", "$.resolved_data.deleted_at", limits)


# ------------------------------------------------------------------ checks


def _check_id(value: str | None, where: str) -> None:
    if value is not None and ID.match(value) is None:
        raise InvalidMessage(f"an id is 1 to {LONGEST_ID} characters of {ID_ALPHABET}", where)


def _check_terminal_id(value: str | None, where: str) -> None:
    if value is not None and TERMINAL_ID.match(value) is None:
        raise InvalidMessage(f"a terminal id is 1 to {LONGEST_ID} characters of {ID_ALPHABET}, no slash", where)


def _check_entity_type(value: str, where: str) -> None:
    if not 1 <= len(value) <= LONGEST_ID:
        raise InvalidMessage(f"an entity type has 1 to {LONGEST_ID} characters", where)


def _check_version(value: Any, where: str) -> None:
    if value is None:
        return
    if type(value) is not int:
        raise InvalidMessage(f"expected integer, got {_json_type(value)}", where)
    if not 0 <= value <= LARGEST:
        raise InvalidMessage("a version is not negative and below 2^63", where)


def _time(text: str, where: str, limits: CodecLimits) -> tuple[int, bool]:
    """Microseconds since the epoch, and whether the zone had to be assumed."""
    try:
        return read_iso(text, limits.where.zone)
    except (ValueError, OverflowError) as error:
        raise InvalidMessage(f"not an ISO 8601 time: {str(error)[:80]}", where) from None


def _check_deletion(data: dict[str, Any], kind: str, where: str, limits: CodecLimits) -> None:
    """`deleted_at` is a time, and only of what deletes."""
    value = data.get("deleted_at")
    if value is None:
        return
    if kind != "DELETE":
        raise InvalidMessage("deleted_at is written by DELETE", where)
    if type(value) is not str:
        raise InvalidMessage(f"expected an ISO 8601 time, got {_json_type(value)}", where)
    _time(value, where, limits)


def _check_data(data: dict[str, Any], where: str, limits: CodecLimits) -> None:
    if len(data) > limits.fields:
        raise InvalidMessage(f"at most {limits.fields} fields, not {len(data)}", where)
    for name in data:
        if not 1 <= len(name) <= limits.field_name:
            raise InvalidMessage(f"a field name has 1 to {limits.field_name} characters", where)


def _check_values(value: dict[str, Any], member: str, text: str | bytes, limits: CodecLimits) -> None:
    """Of one member of the message: nesting (the message itself is the first level), and numbers that survive.

    orjson reads every integer of 64 bits exactly, so only a float, or an integer of 2^63 and more, sends us back to
    the text. A long one is looked through before: it may have many values, and hardly ever such a number.
    """
    exact, looked = True, len(text) > SHORT and not is_suspect(text)
    level: list[Any] = [value]
    for _ in range(limits.depth - 1):
        below: list[Any] = []
        for node in level:
            children = node.values() if type(node) is dict else node
            kinds = set(map(type, children))
            if dict in kinds or list in kinds:
                if len(kinds) == 1:
                    below += children
                else:
                    below += [child for child in children if type(child) is dict or type(child) is list]
            if looked or not exact:
                continue
            if float in kinds:
                exact = False
            elif int in kinds:
                exact = all(SMALLEST <= child <= LARGEST for child in children if type(child) is int)
        if not below:
            break
        level = below
    else:
        raise InvalidMessage(f"nested deeper than {limits.depth}", f"$.{member}")
    if not exact:
        check_exact(text, member)
