"""What clients send, as messages; and that everything else is refused with its code, its place and its subject."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from attrs import evolve

from node.errors import InvalidMessage
from node.wire.codec import decode
from node.wire.messages import (
    LONGEST_REASON,
    AcquireLock,
    BulkItem,
    ConflictResolution,
    DataSync,
    Message,
    Operation,
    Ping,
    ReleaseLock,
    SyncConfirmation,
)
from node.wire.numbers import DEEPEST
from tests.limits import LIMITS

ABSENT = object()

OPERATION: dict[str, Any] = {
    "id": "op-123456",
    "entity_type": "orders",
    "entity_id": "order-789",
    "operation": "UPDATE",
    "data": {"id": "order-789", "status": "preparing", "items": [{"sku": "a", "n": 2}], "version": 2},
    "version": 2,
    "timestamp": "2024-01-15T10:30:00.000Z",
    "terminal_id": "pos-001",
    "user_id": "user123",
    "requires_lock": True,
    "priority": "high",
}
LOCK: dict[str, Any] = {
    "type": "acquire_lock",
    "entity_type": "orders",
    "entity_id": "order-789",
    "terminal_id": "pos-001",
    "timeout": 30000,
    "lock_id": "lock-123456",
}
RESOLUTION: dict[str, Any] = {
    "type": "conflict_resolution",
    "conflict_id": "conflict-456",
    "resolution": "accept_remote",
    "resolved_data": {"status": "preparing", "version": 4},
    "terminal_id": "pos-001",
}


def changed(message: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**message, **changes}.items() if value is not ABSENT}


def read(message: object) -> Message:
    return decode(orjson.dumps(message), LIMITS)


def read_operation(**changes: Any) -> Operation:
    message = read({"type": "data_sync", "operation": changed(OPERATION, **changes)})
    assert isinstance(message, DataSync)
    return message.operation


def refused(message: object) -> InvalidMessage:
    text = message if isinstance(message, str | bytes) else orjson.dumps(message)
    with pytest.raises(InvalidMessage) as caught:
        decode(text, LIMITS)
    assert caught.value.code == 4006
    assert caught.value.reason
    return caught.value


def refused_operation(**changes: Any) -> InvalidMessage:
    return refused({"type": "data_sync", "operation": changed(OPERATION, **changes)})


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


# ------------------------------------------------------------------ the documented messages


def test_documented_ping_is_read() -> None:
    stamp = "2024-01-15T10:30:00.000Z"
    assert read({"type": "ping", "timestamp": stamp}) == Ping(stamp)
    assert read({"type": "ping"}) == Ping()
    assert read({"type": "ping", "performance": {"memory_usage": 45.2}}) == Ping(None, {"memory_usage": 45.2})


def test_documented_data_sync_is_read_field_by_field() -> None:
    assert read_operation() == Operation(
        id="op-123456",
        entity_type="orders",
        entity_id="order-789",
        kind="UPDATE",
        data=OPERATION["data"],
        version=2,
        timestamp="2024-01-15T10:30:00.000Z",
        timestamp_us=1_705_314_600_000_000,
        terminal_id="pos-001",
        user_id="user123",
        requires_lock=True,
        priority="high",
        lock_id=None,
        raw=OPERATION,
    )


def test_what_is_optional_in_an_operation_may_be_absent_or_null() -> None:
    names = ("version", "timestamp", "terminal_id", "user_id", "requires_lock", "priority", "lock_id")
    absent = read_operation(**dict.fromkeys(names, ABSENT))
    null = read_operation(**dict.fromkeys(names))
    for name in names:
        assert getattr(absent, name) is None
        assert getattr(null, name) is None
    assert absent.timestamp_us is None


@pytest.mark.parametrize("kind", ["CREATE", "UPDATE", "DELETE"])
def test_documented_operations_on_one_entity_are_read(kind: str) -> None:
    operation = read_operation(operation=kind)
    assert (operation.kind, operation.entity_id, operation.updates) == (kind, "order-789", ())


def test_a_delete_needs_no_data() -> None:
    assert read_operation(operation="DELETE", data=ABSENT).data == {}


@pytest.mark.parametrize("entity_id", [ABSENT, None])
def test_documented_bulk_update_names_its_entities_in_its_items(entity_id: object) -> None:
    items = [
        {"entity_id": "product-1", "data": {"stock": 10, "version": 2}},
        {"entity_id": "product-2", "data": {"stock": 5, "version": 3}},
    ]
    operation = read_operation(
        operation="BULK_UPDATE", entity_type="products", entity_id=entity_id, data={"updates": items}
    )
    assert operation.entity_id is None
    assert operation.updates == (
        BulkItem("product-1", {"stock": 10, "version": 2}),
        BulkItem("product-2", {"stock": 5, "version": 3}),
    )


def test_documented_confirmation_is_read_with_and_without_its_timestamp() -> None:
    message = {"type": "sync_confirmation", "operation_id": "op-123456", "terminal_id": "kds-001"}
    assert read(message) == SyncConfirmation("op-123456", "kds-001")
    at = "2024-01-15T10:30:01.000Z"
    assert read({**message, "timestamp": at}) == SyncConfirmation("op-123456", "kds-001", timestamp=at)


def test_a_confirmation_by_position_needs_no_operation_id() -> None:
    assert read({"type": "sync_confirmation", "seq": 17}) == SyncConfirmation(None, None, 17)


@pytest.mark.parametrize("side", ["accept_local", "accept_remote", "merge"])
def test_documented_conflict_resolution_is_read(side: str) -> None:
    expected = ConflictResolution("conflict-456", side, {"status": "preparing", "version": 4}, "pos-001")
    assert read({**RESOLUTION, "resolution": side}) == expected


def test_a_conflict_resolution_may_leave_the_data_to_the_named_side() -> None:
    message = read(changed(RESOLUTION, resolved_data=ABSENT, id="op-9"))
    assert message == ConflictResolution("conflict-456", "accept_remote", None, "pos-001", "op-9")


def test_a_conflict_resolution_may_say_why_in_a_short_text() -> None:
    assert read({**RESOLUTION, "reason": "é" * LONGEST_REASON}) == evolve(
        read(RESOLUTION), reason="é" * LONGEST_REASON
    )
    assert read({**RESOLUTION, "reason": None}) == read(RESOLUTION)
    for reason in ("é" * (LONGEST_REASON + 1), 7, {"why": "x"}, ["x"], True):
        with pytest.raises(InvalidMessage) as refused:
            read({**RESOLUTION, "reason": reason})
        assert refused.value.where == "$.reason"


def test_documented_lock_messages_are_read() -> None:
    assert read(LOCK) == AcquireLock("orders", "order-789", "pos-001", 30000, "lock-123456")
    least = changed(LOCK, terminal_id=ABSENT, timeout=ABSENT, lock_id=ABSENT)
    assert read(least) == AcquireLock("orders", "order-789")
    release = {"type": "release_lock", "lock_id": "l-1", "terminal_id": "pos-001"}
    assert read(release) == ReleaseLock("l-1", "pos-001")


def test_text_and_bytes_read_the_same() -> None:
    text = orjson.dumps({"type": "data_sync", "operation": {**OPERATION, "data": {"name": "Pão de Açúcar ☕"}}})
    assert decode(text, LIMITS) == decode(text.decode(), LIMITS)


def test_unknown_fields_stay_in_the_raw_operation_and_are_ignored_elsewhere() -> None:
    assert read_operation(table=7, nota={"a": [None]}).raw == {**OPERATION, "table": 7, "nota": {"a": [None]}}
    assert read({**LOCK, "colour": "red"}) == read(LOCK)


def test_of_a_key_given_twice_the_last_counts() -> None:
    assert decode('{"type":"ping","timestamp":"a","timestamp":"b"}', LIMITS) == Ping("b")


# ------------------------------------------------------------------ not a message


# ------------------------------------------------------------------ strict types


# ------------------------------------------------------------------ who the refusal is about


# ------------------------------------------------------------------ ids, names, times

GOOD_IDS = ["a", "order-789", "550e8400-e29b-41d4-a716-446655440000", "A.b_c:d@e#f+g=h~i|j", "a" * 128]
BAD_IDS = ["", "a b", "ação", "a\n", "a\x00", "a" * 129, "a'b", "<script>"]


@pytest.mark.parametrize("value", [*GOOD_IDS, "a/b"])
def test_ids_take_the_stated_alphabet(value: str) -> None:
    assert read_operation(id=value, entity_id=value, lock_id=value).id == value
    assert isinstance(read({**LOCK, "lock_id": value, "entity_id": value}), AcquireLock)
    assert isinstance(read({**RESOLUTION, "conflict_id": value, "id": value}), ConflictResolution)


@pytest.mark.parametrize("value", BAD_IDS)
def test_other_ids_are_refused(value: str) -> None:
    for name in ("id", "entity_id", "lock_id", "terminal_id"):
        assert refused_operation(**{name: value}).where == f"$.operation.{name}"
    for name in ("entity_id", "lock_id", "terminal_id"):
        assert refused({**LOCK, name: value}).where == f"$.{name}"
    for name in ("conflict_id", "id", "terminal_id"):
        assert refused({**RESOLUTION, name: value}).where == f"$.{name}"
    for name in ("lock_id", "terminal_id"):
        assert refused({"type": "release_lock", "lock_id": "l", name: value}).where == f"$.{name}"


@pytest.mark.parametrize("value", GOOD_IDS)
def test_terminal_ids_take_the_same_alphabet(value: str) -> None:
    assert read_operation(terminal_id=value).terminal_id == value


def test_a_terminal_id_has_no_slash() -> None:
    assert refused_operation(terminal_id="a/b").where == "$.operation.terminal_id"


@pytest.mark.parametrize("entity_type", ["", "x" * 129])
def test_an_entity_type_has_a_bounded_name(entity_type: str) -> None:
    assert refused_operation(entity_type=entity_type).where == "$.operation.entity_type"
    assert refused({**LOCK, "entity_type": entity_type}).where == "$.entity_type"


def test_an_entity_type_nobody_knows_is_not_the_codecs_business() -> None:
    assert read_operation(entity_type="spaceships").entity_type == "spaceships"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("operation", "UPSERT"),
        ("operation", "update"),
        ("priority", "urgent"),
        ("user_id", "u" * 257),
        ("version", -1),
        ("version", 2**63),
        ("timestamp", "yesterday"),
        ("timestamp", ""),
        ("timestamp", "2024-13-01T00:00:00Z"),
    ],
)
def test_a_value_out_of_range_is_refused_at_its_place(name: str, value: object) -> None:
    error = refused_operation(**{name: value})
    assert (error.where, error.operation_id) == (f"$.operation.{name}", "op-123456")


@pytest.mark.parametrize("priority", ["critical", "high", "medium", "low"])
def test_every_documented_priority_is_taken(priority: str) -> None:
    assert read_operation(priority=priority).priority == priority


@pytest.mark.parametrize("version", [0, 1, 2**53, 2**63 - 1])
def test_a_version_has_63_bits(version: int) -> None:
    assert read_operation(version=version, data={"version": version}).version == version


@pytest.mark.parametrize("version", ["2", 2.5, True, -1, 2**63, []])
def test_a_version_in_the_fields_is_checked_too(version: object) -> None:
    assert refused_operation(data={"version": version}).where == "$.operation.data.version"
    assert refused({**RESOLUTION, "resolved_data": {"version": version}}).where == "$.resolved_data.version"
    error = refused_operation(
        operation="BULK_UPDATE", data={"updates": [{"entity_id": "a", "data": {"version": version}}]}
    )
    assert error.where == "$.operation.data.updates[0].data.version"


# ------------------------------------------------------------------ bounds


def test_an_entity_has_a_bounded_number_of_fields() -> None:
    most = {f"f{n}": n for n in range(LIMITS.fields)}
    assert len(read_operation(data=most).data) == 1_000
    assert refused_operation(data={**most, "one": 1}).where == "$.operation.data"
    assert refused({**RESOLUTION, "resolved_data": {**most, "one": 1}}).where == "$.resolved_data"


@pytest.mark.parametrize("name", ["", "n" * 129])
def test_a_field_name_has_1_to_128_characters(name: str) -> None:
    assert refused_operation(data={name: 1}).where == "$.operation.data"
    assert refused({"type": "ping", "performance": {name: 1}}).where == "$.performance"


def test_a_field_may_have_any_name_within_that() -> None:
    assert read_operation(data={"preço (R$)": 1, "n" * 128: 2}).data["preço (R$)"] == 1


def test_nesting_counts_from_the_message_itself() -> None:
    # message, operation, data: three levels; the rest is the value's.
    assert read_operation(data={"a": nested(29)}).data["a"] == nested(29)
    assert refused_operation(data={"a": nested(30)}).where == "$.operation"
    assert refused_operation(nota=nested(31)).where == "$.operation"
    assert refused({**RESOLUTION, "resolved_data": {"a": nested(31)}}).where == "$.resolved_data"
    assert refused({"type": "ping", "performance": {"a": nested(31)}}).where == "$.performance"


def test_a_long_number_beside_deep_nesting_is_refused_and_no_crash() -> None:
    # 1,000 levels pass orjson, but not the exact reader of Python 3.11, which the long number brings in.
    text = orjson.dumps({"type": "data_sync", "operation": {**OPERATION, "data": {"total": 25.5}}}).decode()
    text = text.replace("25.5", "0.30000000000000004")
    decode(text, LIMITS)
    for levels, taken in ((DEEPEST - 1, True), (DEEPEST, False), (1_000, False)):
        deep = text.removesuffix("}") + ',"x":' + "[" * levels + "]" * levels + "}"
        if taken:
            decode(deep, LIMITS)
        else:
            error = refused(deep)
            assert (error.where, error.operation_id) == ("$", "op-123456")


def bulk(*items: Any) -> dict[str, Any]:
    return {"operation": "BULK_UPDATE", "data": {"updates": list(items)}}


def test_a_bulk_update_has_1_to_1000_items() -> None:
    items = [{"entity_id": f"p-{n}", "data": {}} for n in range(1_001)]
    assert len(read_operation(**bulk(*items[:1_000])).updates) == 1_000
    assert refused_operation(**bulk(*items)).where == "$.operation.data.updates"
    assert refused_operation(**bulk()).where == "$.operation.data.updates"


@pytest.mark.parametrize(
    ("items", "where"),
    [
        (["x"], "[0]"),
        ([{"data": {}}], "[0].entity_id"),
        ([{"entity_id": 7, "data": {}}], "[0].entity_id"),
        ([{"entity_id": "a b", "data": {}}], "[0].entity_id"),
        ([{"entity_id": "a"}], "[0].data"),
        ([{"entity_id": "a", "data": []}], "[0].data"),
        ([{"entity_id": "a", "data": {}}, {"entity_id": "b", "data": {"": 1}}], "[1].data"),
        ([{"entity_id": "a", "data": {}}, {"entity_id": "a", "data": {}}], "[1].entity_id"),
    ],
)
def test_a_wrong_item_of_a_bulk_update_is_pointed_at(items: list[Any], where: str) -> None:
    error = refused_operation(**bulk(*items))
    assert (error.where, error.operation_id) == (f"$.operation.data.updates{where}", "op-123456")


@pytest.mark.parametrize("data", [{}, {"updates": None}, {"updates": {"a": 1}}, {"updates": 7}])
def test_a_bulk_update_without_a_list_is_refused(data: dict[str, Any]) -> None:
    assert refused_operation(operation="BULK_UPDATE", data=data).where == "$.operation.data.updates"
