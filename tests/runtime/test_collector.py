"""The interpreter's collector, as a node that serves has it: how much it looks at while nobody is served."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from node.runtime import collector

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 7_000
"""Objects that a slow core looks at in some 10 ms."""


@pytest.fixture
def searches() -> Iterator[list[tuple[int, int]]]:
    """(generation, how many objects are looked at), of each search."""
    found: list[tuple[int, int]] = []
    thresholds = gc.get_threshold()

    def begins(phase: str, said: dict[str, int]) -> None:
        if phase == "start":
            generation = said["generation"]
            found.append((generation, sum(len(gc.get_objects(one)) for one in range(generation + 1))))

    gc.callbacks.append(begins)
    yield found
    gc.callbacks.remove(begins)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.parametrize("small", [False, True])
def test_one_search_looks_at_little_however_much_is_made_and_kept(
    searches: list[tuple[int, int]], *, small: bool
) -> None:
    collector.serve(small=small)
    searches.clear()
    kept = [[number] for number in range(20 * AT_ONCE // 4)]
    assert {generation for generation, _ in searches} == {0, 1}
    assert max(looked for _, looked in searches) < AT_ONCE
    assert len(kept) == 20 * AT_ONCE // 4


def test_what_a_node_was_made_of_is_looked_at_once(searches: list[tuple[int, int]]) -> None:
    before = [[number] for number in range(AT_ONCE)]
    collector.serve(small=False)
    searches.clear()
    gc.collect()
    assert searches[-1][0] == 2
    assert searches[-1][1] < AT_ONCE <= len(before)
