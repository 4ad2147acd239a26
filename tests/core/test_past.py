"""What is stored of the past is the past, whatever was appended and let go."""

from __future__ import annotations

import random

import orjson
import pytest

from crdt.records import FieldRecord
from node.core.entities.past import Past


def record(path: tuple[str, ...], value: object) -> FieldRecord:
    return FieldRecord(1, 1, path, value, 0, "pos-1", "op", 1, 0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_stored_is_what_is_remembered(seed: int) -> None:
    draw = random.Random(seed)
    past = Past()
    for row in range(1, 200):
        path = draw.choice([("status",), ("items", "1"), ("items", "1", "note"), ("@group", "a+b")])
        value = ["p", {"id": "1", "note": row}] if len(path) == 2 and path[0] == "items" else {"a": row}
        past.replaced(record(path, value), (row - 1, row - 1), (row, row), "pos-2", {("items", "1", "note")})
        if draw.random() < 0.1:
            past.let_go(draw.randrange(row + 1))
        if draw.random() < 0.5:
            loaded = Past.load(orjson.loads(orjson.dumps(past.store())))
            assert (loaded.of, loaded.size) == (past.of, past.size)
        if draw.random() < 0.1:
            past = Past.load(orjson.loads(orjson.dumps(past.store())))
