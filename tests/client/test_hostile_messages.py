"""Whatever a node sends: no message ends a terminal, and each is carried out whole or not at all."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from node.client.core import Core
from node.client.reading import DEEPEST, SHAPES, message_of
from node.client.values import Message, Progress, State, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MINE = {"id": "mine", "entity_type": "products", "entity_id": "p", "operation": "UPDATE", "terminal_id": "t"}
ROW = {**MINE, "id": "row", "terminal_id": "k", "data": {"stock": {"$inc": 1}, "name": "Suco"}}
BULK = {
    **ROW,
    "operation": "BULK_UPDATE",
    "data": {"updates": [{"entity_id": i, "data": {"stock": 1}} for i in "pq"]},
}
SIDE = {"terminal_id": "t", "operation_id": "mine", "data": {"stock": 1}}
CONFLICT = {"id": "c", "state": "open", "entity_type": "products", "entity_id": "p", "candidates": [SIDE, SIDE]}

VALID: tuple[Message, ...] = (
    {"type": "connection_established", "terminal_id": "t", "server_time": "2026-01-15T19:30:00Z", "recovered": None},
    {"type": "data_sync", "operation": ROW},
    {"type": "data_sync", "operation": BULK},
    {"type": "data_sync", "operation": {**MINE, "data": {"stock": 1}}},
    {"type": "sync_confirmation", "operation_id": "mine", "status": "applied", "version": 2, "versions": {"p": 2}},
    {"type": "sync_confirmation", "operation_id": "mine", "status": "duplicate", "shown": {"p": {"stock": 2}}},
    {"type": "sync_error", "operation_id": "mine", "code": 4006, "error": "no", "retry": False, "kept": True},
    {"type": "sync_error", "lock_id": "l", "code": 4007, "error": "no"},
    {"type": "sync_conflict", "conflict": CONFLICT},
    {"type": "conflict_resolution", "conflict_id": "c", "resolution": "merge", "resolved_data": {"stock": 1}},
    {"type": "lock_acquired", "lock_id": "l", "scope": "node", "token": 1},
    {"type": "lock_failed", "lock_id": "l", "reason": "held", "locked_by": "k", "locked_until": "2026"},
    {"type": "lock_released", "lock_id": "l"},
    {"type": "pong", "timestamp": "2026-01-15T19:30:00Z"},
)

NASTY: tuple[str, ...] = (
    "null", "true", "0", "-1", "1e308", "1e999", "NaN", "-Infinity", "9" * 300, "9" * 5000, '""', '"x"', '"\\ud800"',
    '"__proto__"', "[]", "[[]]", "[null]", "{}", '{"__proto__":{}}', '{"p":[]}', '{"$inc":1e308}', '{"$inc":1e999}',
    '{"$inc":NaN}', '{"$set":null}', '{"updates":[{"entity_id":"p","data":{}},null]}', '{"x":"\\udc00"}',
    "[" * 190 + "]" * 190, "[" * 500 + "]" * 500, "[" * 100_000,
)  # fmt: skip


def texts() -> Iterator[str]:
    """Every message with every member, at any depth, in the place of each nasty value; and each value for itself."""
    yield from NASTY
    for message in VALID:
        for path in paths(message):
            mutant = deepcopy(message)
            place: Any = mutant
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = "@here"
            text = json.dumps(mutant)
            yield from (text.replace('"@here"', nasty) for nasty in NASTY)
            del place[path[-1]]
            yield json.dumps(mutant)


def paths(value: object) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield (name,)
        yield from ((name, *rest) for rest in paths(each))


def test_every_message_that_the_client_reads_is_mutated() -> None:
    assert SHAPES.keys() <= {str(message["type"]) for message in VALID}


def played(message: Message) -> tuple[Core, list[State]]:
    """A terminal with a lock and an operation of its own, unanswered, that hears a message."""
    core = Core("t", None)
    core.opened(0.0)
    core.received({"type": "connection_established"}, 0.0)
    core.received({"type": "data_sync", "operation": {**ROW, "id": "before", "operation": "CREATE"}}, 0.0)
    core.lock("l", ("products", "p"), 30.0, None, 0.0)
    core.wrote(core.operation("mine", "2026-01-15T19:30:00Z", "UPDATE", "products", "p", {"stock": {"$inc": 1}}), 0.0)
    ready = core.received(message, 0.0)
    told = [event.state for event in ready.tell if isinstance(event, Progress)]
    for each in ready.send:
        text_of(each)
    if ready.confirm is not None:
        text_of(core.taken(ready.confirm, ""))
    assert [one.id for one in ready.settled] == (["mine"] if "mine" not in core.queue else [])
    return core, told


def test_no_message_ends_a_terminal_or_loses_what_it_wrote() -> None:
    wrong = []
    for text in texts():
        message = message_of(text)
        if message is None:
            continue
        try:
            core, told = played(message)
            core.opened(0.0)
            # An honest node takes what is still in the queue, and what is shown can be read.
            for operation_id in list(core.queue):
                confirmation = {"type": "sync_confirmation", "operation_id": operation_id, "status": "applied"}
                ready = core.received(confirmation, 0.0)
                told += [event.state for event in ready.tell if isinstance(event, Progress)]
            for entity_type in core.screen:
                core.screen.entities(entity_type)
            core.due(1e9, "")
            core.ended(1006, "", 0.5)
            if not told or not told[-1].final or core.queue:
                wrong.append(f"{text[:160]}: {told}")
        except Exception as error:
            wrong.append(f"{text[:160]}: {error!r:.100}")
    assert wrong == []


@pytest.mark.parametrize("depth", [DEEPEST, DEEPEST + 1])
def test_how_deep_a_message_may_be(depth: int) -> None:
    inside = "[" * (depth - 1) + "]" * (depth - 1)
    assert (message_of(f'{{"type":{inside}}}') is not None) == (depth <= DEEPEST)
