"""Every refusal names what it is about: each documented message, with each of its fields wrong, or as broken text."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.errors import InvalidMessage
from node.wire.codec import decode
from node.wire.heads import Head
from node.wire.messages import ConflictResolution, DataSync
from node.wire.outgoing import LONGEST_ERROR, sync_error
from node.wire.subject import ABOUT
from tests.limits import LIMITS
from tests.wire.test_codec import LOCK, OPERATION, RESOLUTION

BULK = {
    "id": "op-7",
    "entity_type": "products",
    "operation": "BULK_UPDATE",
    "data": {"updates": [{"entity_id": "p-1", "data": {"stock": 1}}]},
}
MESSAGES: dict[str, dict[str, Any]] = {
    "operation": {"type": "data_sync", "operation": {**OPERATION, "lock_id": "l-1"}},
    "deletion": {
        "type": "data_sync",
        "operation": {**OPERATION, "operation": "DELETE", "data": {"deleted_at": None}},
    },
    "bulk": {"type": "data_sync", "operation": BULK},
    "resolution": {**RESOLUTION, "id": "op-9"},
    "lock": LOCK,
    "release": {"type": "release_lock", "lock_id": "l-1", "terminal_id": "pos-001"},
    "confirmation": {"type": "sync_confirmation", "operation_id": "op-8", "terminal_id": "kds-1", "seq": 4},
    "ping": {"type": "ping", "timestamp": "2026-01-15T10:30:00.000Z", "performance": {"response_time": 3}},
}
"""One of each, with every member that a terminal may send."""

PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "data_sync": {"operation_id": ("operation", "id")}
    | {name: ("operation", name) for name in ("entity_type", "entity_id")},
    "conflict_resolution": {"operation_id": ("id",), "conflict_id": ("conflict_id",)},
    "acquire_lock": {name: (name,) for name in ("lock_id", "entity_type", "entity_id")},
    "release_lock": {"lock_id": ("lock_id",)},
    "sync_confirmation": {"operation_id": ("operation_id",)},
    "ping": {},
}
"""Where a message says what it is about."""

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, 2**63, 10**30, "", " ", "x", "é", "a b", "a/b", "x" * 129, "x" * 5_000),
    *(
        "\x1b[31mred",
        "line\nline",
        "\u202egnp",
        "\x00",
        "2026-13-45",
        "9999-12-31T23:59:59.999Z",
        "1969-01-01T00:00:00Z",
    ),
    *([], [[]], [1, "a"], {}, {"a": {}}, {"$inc": 1}, {"version": "2"}, {"@group": 1}, {"updates": []}, {"": 1}),
    {"updates": [{"entity_id": "p-1", "data": {"deleted_at": "x"}}]},
    {"deleted_at": "\x1b" * 500_000},
    {"deleted_at": 7},
]
MISSING = object()


def fields(message: dict[str, Any]) -> list[tuple[str, ...]]:
    """The path of each member, those of `operation` and of its data too."""
    found: list[tuple[str, ...]] = []
    for name, value in message.items():
        found.append((name,))
        if name in ("operation", "data", "resolved_data", "performance") and isinstance(value, dict):
            found += [(name, *rest) for rest in fields(value)]
    return found


def put(message: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(message))
    holder = changed
    for name in path[:-1]:
        holder = holder[name]
    if value is MISSING:
        holder.pop(path[-1], None)
    else:
        holder[path[-1]] = value
    return changed


def carried(message: Any) -> dict[str, str]:
    """What the message says that it is about, where its type is known and the names are valid."""
    found = {}
    kind = message.get("type")
    for name, path in PLACES.get(kind if isinstance(kind, str) else "", {}).items():
        holder = message
        for step in path:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, str) and 1 <= len(holder) <= 128 and holder.isprintable():
            found[name] = holder
    return found


def refusal(text: str | bytes) -> InvalidMessage | None:
    try:
        decode(text, LIMITS)
    except InvalidMessage as error:
        return error
    return None


def named(error: InvalidMessage) -> dict[str, str]:
    return {name: value for name in ABOUT if (value := getattr(error, name)) is not None}


def check_answer(error: InvalidMessage) -> None:
    """What the terminal is sent says where, and holds nothing raw or unbounded."""
    answer = sync_error(error.operation_id, error.reason, None, None, "pos-001", error.code, where=error.where)
    said = orjson.loads(answer)
    assert said["code"] == 4006
    assert said["where"].startswith("$")
    assert len(answer) < 10 * LONGEST_ERROR
    assert all(text.isprintable() for text in said.values() if isinstance(text, str))


WALK = [(kind, path) for kind, message in MESSAGES.items() for path in fields(message)]


@pytest.mark.parametrize(("kind", "path"), WALK, ids=lambda v: v if isinstance(v, str) else ".".join(v))
def test_whatever_is_wrong_with_a_field_the_refusal_names_what_the_message_carries(
    kind: str, path: tuple[str, ...]
) -> None:
    for value in [MISSING, *VALUES]:
        message = put(MESSAGES[kind], path, value)
        error = refusal(json.dumps(message))
        if error is None:
            continue
        expected = carried(message)
        assert expected.items() <= named(error).items(), (value, error.reason)
        check_answer(error)


TAMPERED = [
    "1e400",
    "-1e999",
    "NaN",
    "[" * 2_000 + "]" * 2_000,
    '{"\\ud83d":1}',
    '"\\x"',
    "tru",
    "}",
    "1" * 5_000,
    '"\x01"',
]
"""What no JSON reader of the node takes in one go."""


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("value", TAMPERED, ids=lambda text: text[:8])
@pytest.mark.parametrize("last", [True, False])
def test_a_text_that_does_not_read_is_refused_by_name_wherever_its_fault_stands(
    kind: str, value: str, last: bool
) -> None:
    text = json.dumps(MESSAGES[kind])
    fault = f'"unread":{value}'
    error = refusal(f"{text[:-1]},{fault}}}" if last else f"{{{fault},{text[1:]}")
    if error is None:  # a long integer in what nobody reads
        assert value.isdigit()
        return
    # A bracket too many or a string without its end leaves nothing that can be told of what follows.
    if last or value not in ("}", '"\\x"'):
        assert carried(MESSAGES[kind]).items() <= named(error).items(), error.reason
    check_answer(error)


@pytest.mark.parametrize("kind", ["operation", "bulk", "resolution"])
def test_a_number_that_no_double_holds_is_refused_where_it_stands(kind: str) -> None:
    message = MESSAGES[kind]
    member = "resolved_data" if kind == "resolution" else "operation"
    text = json.dumps({**message, member: {**message[member], "far": [{"n": 0}]}}).replace('"n": 0', '"n": 1e400')
    error = refusal(text)
    assert error is not None
    assert error.where == f"$.{member}.far[0].n"
    assert "1e400" in error.reason


@pytest.mark.parametrize("text", ["ol\ud83d", "\ude00", "\ud83d\ud83d x", "\ude00\ud83d"])
def test_half_a_surrogate_pair_in_a_value_becomes_a_placeholder_and_is_told(text: str) -> None:
    message = json.loads(json.dumps(MESSAGES["operation"]))
    message["operation"]["data"] |= {"note": text, "items": [{"id": "1", "name": text}], "whole": "\U0001f600"}
    found = decode(json.dumps(message), LIMITS)
    assert isinstance(found, DataSync)
    placed = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert found.operation.data["note"] == placed
    assert found.operation.data["items"] == [{"id": "1", "name": placed}]
    assert found.operation.data["whole"] == "\U0001f600"
    assert found.operation.replaced == ("$.operation.data.note", "$.operation.data.items[0].name")
    resolution = decode(json.dumps({**RESOLUTION, "resolved_data": {"note": text}}), LIMITS)
    assert isinstance(resolution, ConflictResolution)
    assert (resolution.resolved_data, resolution.replaced) == ({"note": placed}, ("$.resolved_data.note",))


@pytest.mark.parametrize("path", [("operation", "id"), ("operation", "entity_id"), ("operation", "data", "\ud83d")])
def test_half_a_surrogate_pair_in_a_name_is_refused(path: tuple[str, ...]) -> None:
    error = refusal(json.dumps(put(MESSAGES["operation"], path, "a\ud83d")))
    assert error is not None
    assert (error.where or "").startswith(f"$.operation.{path[1]}")
    assert error.entity_type == "orders"


# ------------------------------------------------------------------ what is not read at all


def of_pieces(text: bytes, length: int) -> dict[str, str]:
    head = Head(32)
    for at in range(0, len(text), length):
        head.feed(text[at : at + length])
    return head.names()


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_head_that_is_fed_in_pieces_finds_what_the_message_carries(kind: str) -> None:
    text = json.dumps(MESSAGES[kind]).encode()
    for length in (*range(1, 40), len(text)):
        assert of_pieces(text, length) == carried(MESSAGES[kind]), length


nested = st.recursive(
    st.one_of(st.text(), st.integers(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.text(max_size=5), st.sampled_from(["id", "operation", "type"])), inner, max_size=4
        ),
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text drawn makes a table of all characters
@given(st.sampled_from(sorted(MESSAGES)), nested, st.integers(1, 300), st.randoms(use_true_random=False))
def test_a_head_finds_names_before_and_after_whatever_else_is_there(
    kind: str, value: object, length: int, draw: Any
) -> None:
    message = json.loads(json.dumps(MESSAGES[kind]))
    inner = message.get("operation", message)
    inner["data"] = {"deep": value}
    members = list(inner.items())
    draw.shuffle(members)
    if inner is not message:
        message["operation"] = dict(members)
    else:
        message = dict(members)
    text = json.dumps(message, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, 1])).encode()
    assert of_pieces(text, length) == carried(message)


@pytest.mark.parametrize(
    "filler", ['"' + "A" * 9_000_000 + '"', "[" + "[1]," * 250_000 + "1]", "[" + '"\\\\",' * 250_000 + "1]"]
)
def test_an_id_behind_megabytes_is_found_and_nothing_of_them_is_kept(filler: str) -> None:
    text = f'{{"operation":{{"data":{{"photo":{filler}}},"id":"op-1"}},"type":"data_sync"}}'.encode()
    head = Head(32)
    for at in range(0, len(text), 65_536):
        head.feed(text[at : at + 65_536])
        assert head.held() < 2_000
    assert head.names() == {"operation_id": "op-1"}
