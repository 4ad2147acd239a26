"""What is refused by the codec: with its code, its place and its subject."""

from __future__ import annotations

from typing import Any

import pytest

from crdt.records import INTERNAL_STEPS
from node.wire.codec import MARKS, decode
from node.wire.json_text import MOST_VALUES
from node.wire.messages import DataSync
from tests.limits import LIMITS
from tests.wire.test_codec import ABSENT, LOCK, RESOLUTION, changed, refused, refused_operation


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("this is not json", "line 1, column 1"),
        ("", "line 1, column 1"),
        ('{\n  "type": }', "line 2, column 11"),
        (b"\xff\xfe", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ('{"type":"\ud800"}', "not JSON"),
        ("[" * 100_000, "nested deeper"),
    ],
)
def test_what_is_not_json_is_refused_with_the_place(text: str | bytes, said: str) -> None:
    error = refused(text)
    assert said in error.reason
    assert error.where == "$"


def filled(data: str) -> str:
    """An operation with these members of `data`, as JSON text."""
    about = '"id":"op-1","entity_type":"orders","entity_id":"mesa-1","operation":"UPDATE"'
    return f'{{"type":"data_sync","operation":{{{about},"data":{{{data}}}}}}}'


@pytest.mark.parametrize("value", ["[]", "1", '{"a":[]}', '"x"', '"\\""'])
def test_who_sends_more_values_than_are_read_is_told_of_which_operation(value: str) -> None:
    """They are counted before they are read, which takes long."""
    error = refused(filled(f'"a":[{",".join([value] * MOST_VALUES)}]'))
    assert (error.reason, error.where) == (f"at most {MOST_VALUES} values in a message", "$")
    assert (error.operation_id, error.entity_id) == ("op-1", "mesa-1")


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("text", [",[{" * 60_000, '\\",' * 90_000, "ã," * 90_000])
def test_what_stands_in_strings_is_no_value(text: str, *, as_bytes: bool) -> None:
    said = filled(f'"a":"{text}"')
    assert isinstance(decode(said.encode() if as_bytes else said, LIMITS), DataSync)


def test_as_many_values_as_may_be_are_read() -> None:
    beside = filled('"a":[0]')
    values = ",".join(["1"] * (MOST_VALUES - beside.count(",") - beside.count("{") - beside.count("[") + 1))
    assert isinstance(decode(filled(f'"a":[{values}]'), LIMITS), DataSync)
    assert "values" in refused(filled(f'"a":[{values},1]')).reason


@pytest.mark.parametrize(("text", "got"), [("[]", "array"), ("7", "integer"), ('"ping"', "string"), ("null", "null")])
def test_json_that_is_no_object_is_refused(text: str, got: str) -> None:
    error = refused(text)
    assert (error.reason, error.where) == (f"expected an object, got {got}", "$")


@pytest.mark.parametrize("kind", [ABSENT, None, 7, ["ping"], {"a": 1}, True])
def test_a_type_that_is_no_string_is_refused(kind: object) -> None:
    assert refused(changed({"type": kind})).where == "$.type"


@pytest.mark.parametrize("kind", ["no_such_message", "", "PING", "pong", "x" * 100_000])
def test_an_unknown_type_is_named_but_not_echoed_at_length(kind: str) -> None:
    error = refused({"type": kind})
    assert error.where == "$.type"
    assert repr(kind[:64]) in error.reason
    assert len(error.reason) < 300


@pytest.mark.parametrize("operation", [ABSENT, None, [], "x", 7])
def test_a_data_sync_without_an_operation_object_is_refused(operation: object) -> None:
    assert refused(changed({"type": "data_sync", "operation": operation})).where == "$.operation"


WRONG: dict[str, list[Any]] = {
    "id": [None, 7, True, 1.5, [], {}],
    "entity_type": [None, 7, []],
    "operation": [None, 7, {}],
    "entity_id": [7, False, []],
    "data": [7, "x", [], True],
    "version": ["2", 2.0, True, [], {}],
    "timestamp": [7, True, 1705314600000],
    "terminal_id": [7, True],
    "user_id": [7, False],
    "requires_lock": ["false", 0, 1, []],
    "priority": [1, True],
    "lock_id": [7, []],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_no_field_of_an_operation_is_coerced(name: str, value: object) -> None:
    error = refused_operation(**{name: value})
    assert error.where == f"$.operation.{name}"
    assert error.reason.startswith("expected ")
    assert error.operation_id == (None if name == "id" else "op-123456")
    assert error.entity_type == (None if name == "entity_type" else "orders")
    assert error.entity_id == (None if name == "entity_id" else "order-789")


@pytest.mark.parametrize("name", ["id", "entity_type", "operation", "entity_id", "data"])
def test_a_missing_field_of_an_operation_is_named(name: str) -> None:
    error = refused_operation(**{name: ABSENT})
    assert error.where == f"$.operation.{name}"
    assert error.operation_id == (None if name == "id" else "op-123456")


@pytest.mark.parametrize(
    ("message", "name", "value"),
    [
        ({"type": "ping"}, "performance", []),
        (LOCK, "entity_type", None),
        (LOCK, "entity_id", 7),
        (LOCK, "terminal_id", 7),
        (LOCK, "timeout", "30000"),
        (LOCK, "timeout", 30.5),
        (LOCK, "timeout", True),
        (LOCK, "lock_id", 7),
        ({"type": "release_lock"}, "lock_id", None),
        ({"type": "release_lock", "lock_id": "l"}, "terminal_id", []),
        (RESOLUTION, "conflict_id", None),
        (RESOLUTION, "resolution", None),
        (RESOLUTION, "resolved_data", []),
        (RESOLUTION, "terminal_id", 1),
        (RESOLUTION, "id", 1),
        ({"type": "sync_confirmation"}, "operation_id", 7),
        ({"type": "sync_confirmation"}, "operation_id", None),
        ({"type": "sync_confirmation", "operation_id": "op"}, "terminal_id", 7),
        ({"type": "sync_confirmation", "operation_id": "op"}, "seq", "7"),
        ({"type": "sync_confirmation"}, "seq", True),
        ({"type": "sync_confirmation"}, "seq", -1),
        ({"type": "sync_confirmation"}, "seq", 2**63),
    ],
)
def test_no_field_of_another_message_is_coerced(message: dict[str, Any], name: str, value: object) -> None:
    assert refused({**message, name: value}).where == f"$.{name}"


@pytest.mark.parametrize("first", sorted(INTERNAL_STEPS))
@pytest.mark.parametrize("kind", ["CREATE", "UPDATE", "DELETE"])
def test_a_field_is_not_named_like_an_internal_register(first: str, kind: str) -> None:
    error = refused_operation(operation=kind, data={"status": "ready", first: {"stock": 5_000}})
    assert (error.code, error.where) == (4006, f"$.operation.data.{first}")
    items = [{"entity_id": "p-1", "data": {"stock": 1}}, {"entity_id": "p-2", "data": {first: 1}}]
    error = refused_operation(operation="BULK_UPDATE", data={"updates": items})
    assert error.where == f"$.operation.data.updates[1].data.{first}"
    error = refused(changed(RESOLUTION, resolved_data={first: 1}))
    assert error.where == f"$.resolved_data.{first}"


@pytest.mark.parametrize("mark", MARKS)
def test_a_terminal_does_not_say_what_nodes_tell_of_an_operation(mark: str) -> None:
    error = refused_operation(**{mark: "op-1"})
    assert (error.code, error.where) == (4006, f"$.operation.{mark}")


@pytest.mark.parametrize(
    "item",
    [
        7,
        {"data": {"a": 1}},
        {"entity_id": 7, "data": {"a": 1}},
        {"entity_id": "p 2", "data": {"a": 1}},
        {"entity_id": "p-2", "data": [1]},
        {"entity_id": "p-2", "data": {"@a": 1}},
        {"entity_id": "p-2", "data": {"": 1}},
        {"entity_id": "p-2", "data": {"a": 1, "version": -1}},
        {"entity_id": "p-2", "data": {"a": 1, "version": True}},
        {"entity_id": "p-2", "data": {"a": 1, "deleted_at": "2026-01-15T10:00:00Z"}},
        {"entity_id": "p-2", "data": {f"{n}": n for n in range(1_001)}},
    ],
)
def test_a_wrong_update_is_refused_alike_behind_others_that_have_its_fields(item: Any) -> None:
    fields: dict[str, Any] = {"a": 1, "version": 2, **{f"{n}": n for n in range(900)}}
    others = [{"entity_id": f"q-{number}", "data": fields} for number in range(2)]
    others.append({"entity_id": "q-3", "data": {f"{n}": n for n in range(100, 1_001)}})
    found = []
    for place in (0, 3):
        updates = [*others[:place], item, *others[place:]]
        error = refused_operation(operation="BULK_UPDATE", entity_id=ABSENT, data={"updates": updates})
        assert error.where is not None
        assert f"updates[{place}]" in error.where
        found.append((error.reason, error.where.replace(f"[{place}]", "")))
    assert found[0] == found[1]


def test_several_wrong_fields_are_counted() -> None:
    assert refused_operation(version="2", user_id=7, priority=1).reason == "expected integer, got string (and 2 more)"


def test_a_refused_lock_request_names_its_entity() -> None:
    error = refused({**LOCK, "timeout": "x"})
    assert (error.operation_id, error.entity_type, error.entity_id) == (None, "orders", "order-789")


def test_a_refused_resolution_names_its_operation() -> None:
    assert refused({**RESOLUTION, "id": "op-9", "resolution": "toss a coin"}).operation_id == "op-9"


def test_an_id_too_long_to_be_one_is_not_sent_back() -> None:
    error = refused_operation(id="a" * 129, entity_id="b" * 129)
    assert (error.operation_id, error.entity_id) == (None, None)
