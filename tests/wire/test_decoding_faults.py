"""A fault of the code that reads messages is no fault of the message.

For each valid message, each function that reads it is made to raise. Nothing of that may become an InvalidMessage:
a terminal that is told so takes its operation out of its queue.
"""

from __future__ import annotations

import orjson
import pytest
from cattrs import ClassValidationError

from crdt.engine import EngineError
from node.errors import InvalidMessage
from node.wire.codec import CodecLimits, decode
from tests.scenarios.failures.poison import PlantedError, Poison, reached

LIMITS = CodecLimits(depth=32, bulk_items=100, fields=100)
WRITE = {"id": "op-1", "entity_type": "orders", "operation": "UPDATE", "version": 3, "requires_lock": False}
WRITE |= {"timestamp": "2026-01-15T10:00:00Z", "terminal_id": "pos-1", "priority": "high", "lock_id": "lock-1"}
VALID = [
    {"type": "ping", "timestamp": 7, "performance": {"memory_usage": 40.5}},
    {"type": "sync_confirmation", "operation_id": "op-1", "terminal_id": "pos-1", "seq": 7},
    {"type": "data_sync", "operation": WRITE | {"entity_id": "mesa-1", "data": {"total": 1.5, "rest": [{"a": 1}]}}},
    {"type": "data_sync", "operation": WRITE | {"entity_id": "mesa-1", "data": {"note": "x" * 20_000}}},
    {
        "type": "data_sync",
        "operation": WRITE
        | {"operation": "BULK_UPDATE", "data": {"updates": [{"entity_id": "p-1", "data": {"stock": 7}}]}},
    },
    {"type": "conflict_resolution", "conflict_id": "c-1", "resolution": "merge", "resolved_data": {"phone": "1"}},
    {"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "timeout": 5_000, "lock_id": "lock-1"},
    {"type": "release_lock", "lock_id": "lock-1", "terminal_id": "pos-1"},
]
TIMES = "read_iso"
"""A ValueError of the standard library's is how a text that is no time shows itself."""


@pytest.mark.parametrize("message", VALID, ids=lambda message: message["type"])
@pytest.mark.parametrize("error", [PlantedError, ValueError, KeyError, TypeError, EngineError])
def test_what_fails_in_reading_a_message_is_not_called_the_messages_fault(
    message: dict[str, object], error: type[Exception]
) -> None:
    text = orjson.dumps(message).decode()
    called = reached(lambda: decode(text, LIMITS))
    assert called
    for function, count in called.items():
        if function[1] == TIMES and issubclass(error, ValueError):
            continue
        for number in range(1, count + 1):
            with Poison(function, number, error), pytest.raises((error, ClassValidationError)) as raised:
                decode(text, LIMITS)
            assert not isinstance(raised.value, InvalidMessage), (function, number)
