"""Whatever arrives, decode answers with a message or an InvalidMessage: nothing else may reach the connection."""

from __future__ import annotations

import json
from typing import Any

import orjson
from attrs import has
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.errors import InvalidMessage
from node.wire.codec import LONGEST_ID, TYPES, CodecLimits, decode
from node.wire.messages import KINDS, DataSync

LIMITS = CodecLimits(depth=8, bulk_items=5, fields=10)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["op-1", "a b", "2024-01-15T10:30:00.000Z", "merge", "high", "0" * 129, "\ud800"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)


def object_with(names: list[str], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fixed, optional={name: values for name in names if name not in fixed})


item = object_with(["entity_id", "data"])
fields = st.one_of(values, st.fixed_dictionaries({"updates": st.one_of(values, st.lists(item, max_size=6))}))
operations = object_with(
    ["id", "entity_id", "version", "timestamp", "terminal_id", "user_id", "requires_lock", "priority", "lock_id"],
    entity_type=st.one_of(st.just("orders"), values),
    operation=st.one_of(st.sampled_from(KINDS), values),
    data=fields,
)
messages = object_with(
    [
        *("operation_id", "terminal_id", "seq", "timestamp", "performance", "entity_type", "entity_id", "timeout"),
        *("lock_id", "conflict_id", "resolution", "resolved_data", "id"),
    ],
    type=st.one_of(st.sampled_from(TYPES), values),
    operation=st.one_of(operations, values),
)


def check_refusal(error: InvalidMessage) -> None:
    assert error.code == 4006
    assert error.where is not None
    assert error.where.startswith("$")
    for named in (error.operation_id, error.entity_type, error.entity_id):
        assert named is None or len(named) <= LONGEST_ID
    orjson.dumps([error.reason, error.where, error.operation_id])


def answered(text: str | bytes) -> None:
    """Decode, and hold a refusal to its promises."""
    try:
        message = decode(text, LIMITS)
    except InvalidMessage as error:
        check_refusal(error)
        return
    assert has(type(message))
    if isinstance(message, DataSync):
        orjson.dumps(message.operation.raw)


@given(st.one_of(st.text(), st.binary()))
@example("\ud800")
@example(b"\x00" * 4)
@example("{" * 2_000)
def test_any_text_or_bytes_are_answered(text: str | bytes) -> None:
    answered(text)


@given(values)
def test_any_json_is_answered(value: object) -> None:
    answered(json.dumps(value))


@settings(max_examples=400)
@given(messages)
def test_any_object_that_looks_like_a_message_is_answered(message: dict[str, Any]) -> None:
    answered(json.dumps(message))
    answered(json.dumps(message, ensure_ascii=True).encode())


@given(messages, st.data())
def test_any_cut_or_changed_message_is_answered(message: dict[str, Any], draw: st.DataObject) -> None:
    text = json.dumps(message)
    place = draw.draw(st.integers(0, len(text)))
    answered(text[:place])
    answered(text[:place] + draw.draw(st.text(max_size=3)) + text[place + 1 :])
