"""Nothing goes to a terminal above its largest message, and what went in parts shows what the whole would have."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson
import pytest

from node.screen import Screen
from node.wire import outgoing
from node.wire.codec import LONGEST_ID
from node.wire.fitting import ENVELOPE_BYTES, HEADROOM, LARGE_VALUE, LONGEST_USER_ID, MOST_CUT, fitting
from node.wire.messages import KINDS
from strategies.policy import PRIORITIES

MOST = 40_000

ODD = '"\\\n\x01é日👩'
"""Characters of every length in JSON."""


def _text(draw: Random) -> str:
    return draw.choice([*ODD, "x", 'a"']) * draw.choice([0, 3, 150, 400, draw.randrange(9_000)])


def _value(draw: Random) -> Any:
    kind = draw.randrange(5)
    if kind == 0:
        return draw.choice([None, True, draw.uniform(-1e9, 1e9), draw.randrange(-(2**63), 2**63), 1e15])
    return _text(draw) if kind < 4 else [_text(draw) for _ in range(draw.randrange(4))]


def _fields(draw: Random) -> dict[str, Any]:
    """Fields of some entity, some of them large."""
    many = draw.choice([0, 1, 3, 9, 60])
    return {"".join(draw.choices("abcé日", k=draw.choice([1, 9, LONGEST_ID]))): _value(draw) for _ in range(many)}


def _operation(kind: str, data: Any, **more: Any) -> dict[str, Any]:
    whole = {"id": "op-1", "entity_type": "products", "entity_id": "p-1", "operation": kind, "data": data}
    return {**whole, "version": 3, "timestamp": "2026-01-15T10:00:00Z", "terminal_id": "pos-1", **more}


def _left_out(messages: list[dict[str, Any]]) -> set[str]:
    return {m["where"].removeprefix("$.operation.data.") for m in messages if m["type"] == "sync_error"}


@pytest.mark.parametrize("seed", range(60))
def test_an_operation_goes_out_in_parts_that_fit_and_show_the_same(seed: int) -> None:
    draw = Random(seed)
    kind, data = draw.choice(["CREATE", "UPDATE"]), _fields(draw)
    parts = fitting(outgoing.data_sync(_operation(kind, data)), MOST)
    assert max(map(len, parts)) <= MOST
    messages = [orjson.loads(part) for part in parts]
    shown, screen = Screen({}), Screen({})
    shown[("products", "p-1")] = {"old": 1}
    screen[("products", "p-1")] = {"old": 1}
    kept = {n: v for n, v in data.items() if n not in _left_out(messages)}
    shown.apply(_operation(kind, orjson.loads(orjson.dumps(kept))))
    operations = [message["operation"] for message in messages if message["type"] == "data_sync"]
    for operation in operations:
        screen.apply(operation)
    assert screen == shown
    assert all(m["operation_id"] is None for m in messages if m["type"] == "sync_error")  # none is refused
    assert all(len(orjson.dumps({name: data[name]})) > MOST - HEADROOM for name in _left_out(messages))
    assert [operation["id"] for operation in operations].index("op-1") == len(operations) - 1  # it confirms all
    assert len({operation["id"] for operation in operations}) == len(operations)


@pytest.mark.parametrize("seed", range(40))
def test_a_bulk_update_goes_out_in_parts_that_fit_and_show_the_same(seed: int) -> None:
    draw = Random(seed)
    updates = [{"entity_id": f"p-{number}", "data": _fields(draw)} for number in range(draw.randrange(1, 9))]
    while len(orjson.dumps(updates)) > MOST_CUT * MOST - HEADROOM:
        updates.pop()
    operation = _operation("BULK_UPDATE", {"updates": updates})
    parts = fitting(outgoing.data_sync(operation), MOST)
    assert max(map(len, parts)) <= MOST
    messages = [orjson.loads(part) for part in parts]
    shown, screen = Screen({}), Screen({})
    for message in messages:
        if message["type"] == "data_sync":
            screen.apply(message["operation"])
        else:
            name = message["where"].removeprefix("$.operation.data.")
            del updates[int(message["entity_id"].removeprefix("p-"))]["data"][name]  # type: ignore[attr-defined]
    shown.apply(orjson.loads(orjson.dumps(operation)))
    assert {key: value for key, value in screen.items() if value} == {k: v for k, v in shown.items() if v}
    assert messages[-1]["operation"]["id"] == "op-1" or messages[-1]["type"] == "sync_error"


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", ["sync_conflict", "audit_log"])
def test_what_is_no_operation_goes_out_without_its_largest_values(kind: str, seed: int) -> None:
    draw = Random(seed)
    one, other = _fields(draw), _fields(draw)
    about = {"id": "c-1", "entity_type": "customers", "entity_id": "c-9"}
    if kind == "sync_conflict":
        candidates = [{"operation_id": "a", "data": one}, {"operation_id": "b", "data": other}]
        conflict = {**about, "local_data": one, "remote_data": other, "candidates": candidates}
        message = outgoing.sync_conflict(conflict)
    else:
        message = outgoing.audit_log({**about, "changes": {"before": one, "after": other}})
    most = max(MOST, len(message) // MOST_CUT + 1)
    (sent,) = fitting(message, most)
    assert len(sent) <= most
    found = orjson.loads(sent)
    assert found["type"] == kind
    if len(message) <= most:
        assert sent == message
        return
    assert found["omitted"]
    body = found["conflict" if kind == "sync_conflict" else "entry"]
    assert {name: body[name] for name in about} == about
    sides = (body["local_data"], body["remote_data"]) if kind == "sync_conflict" else body["changes"].values()
    for side, before in zip(sides, (one, other), strict=True):
        gone = before.keys() - side.keys()
        assert all(len(orjson.dumps(before[name])) > LARGE_VALUE for name in gone)
        assert all(side[name] == orjson.loads(orjson.dumps(before[name])) for name in side)


def test_what_would_take_too_long_to_read_is_named() -> None:
    for message in (
        outgoing.data_sync(_operation("CREATE", {"a": "x" * MOST_CUT * MOST})),
        outgoing.data_sync(_operation("UPDATE", {}, note="x" * 2 * MOST)),
        outgoing.sync_conflict({"id": "c-1", "local_data": {"a": "x" * MOST_CUT * MOST}}),
    ):
        (sent,) = fitting(message, MOST)
        assert orjson.loads(sent)["type"] == "sync_error"
        assert len(sent) <= MOST


@pytest.mark.parametrize("seed", range(40))
def test_no_members_that_nodes_add_take_a_delivery_above_its_headroom(seed: int) -> None:
    draw = Random(seed)
    beside = {"note": "x" * (ENVELOPE_BYTES - len('{"note":""}'))}
    data = _fields(draw)
    added = {
        "terminal_id": "t" * draw.choice([1, LONGEST_ID]),
        "user_id": draw.choice([None, *(unit * LONGEST_USER_ID for unit in ODD)]),
        "version": draw.choice([1, 2**53, 2**63 - 1]),
        "timestamp": "2026-01-15T10:00:00.000000+00:00",
        "requires_lock": draw.choice([True, False]),
        "priority": draw.choice(PRIORITIES),
        "operation": draw.choice(KINDS),
    }
    delivered = outgoing.data_sync({**beside, **added, "data": data})
    numbered = b'{"seq":%d,%b' % (2**63 - 1, delivered[1:])
    assert len(numbered) <= HEADROOM + len(orjson.dumps(data))
