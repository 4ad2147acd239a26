"""An entity is let go of only once it is stored as it is: what is read from disk afterwards is all of it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.harness import Client, World, settle_all

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("resident", [1, 2, 3])
def test_what_is_not_stored_yet_stays_in_memory(tmp_path: Path, resident: int, count: int) -> None:
    """Others are read meanwhile, so that there are too many, and no commit comes in between."""
    with closing(World(tmp_path, resident=resident)) as world:
        ana = Client(world, "ana").connect()
        for number in range(count + resident):
            ana.do("orders", f"old-{number}", "CREATE", {"note": "old"})
            settle_all(world, [ana])
        for field in ("a", "b", "c"):
            ana.write("orders", "new", "UPDATE", {field: 1})
            for number in range(count):
                ana.write("orders", f"old-{number}", "UPDATE", {field: 1})
                while world.calls:
                    world.calls.popleft()()
        settle_all(world, [ana])
        shown = world.view("orders")
        assert shown["new"] == {"a": 1, "b": 1, "c": 1, "version": 3}
        assert [shown[f"old-{number}"]["version"] for number in range(count)] == [4] * count
        assert ana.shown("orders") == {
            key: {n: v for n, v in e.items() if n != "version"} for key, e in shown.items()
        }
