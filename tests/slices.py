"""Long walks are made in slices: each run makes a part of them, the next day another one, and after some days all.

A walk repeats one thing in many combinations. `@pytest.mark.walk(3)` says that a run makes one in three of a test's,
`part` the same of a loop. COMANDA_SLICE says which: a number, by default the day's, or `all`. A run prints it, and
a failure prints the command that makes the same part again. A cell that is named on the command line is always made.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import pytest

T = TypeVar("T")

VARIABLE = "COMANDA_SLICE"
os.environ.setdefault(VARIABLE, str(datetime.now(UTC).toordinal()))
# Set for the processes of this run, too: they collect the same tests, also after midnight.


def part(cells: Iterable[T], parts: int, walk: str = "") -> list[T]:
    """One in so many of the cells, in their order, and never none. Slices whose numbers follow each other are all.

    They are dealt out mixed, so that no slice has a whole row or column of what the walk crosses, and otherwise for
    each `walk`, so that several do not all meet the same today.
    """
    every, which = list(cells), os.environ[VARIABLE]
    if which == "all" or not every:
        return every
    mixed = list(range(len(every)))
    random.Random(walk).shuffle(mixed)
    parts = min(parts, len(every))
    return [every[number] for number in sorted(mixed[int(which) % parts :: parts])]


def made(items: Iterable[pytest.Item], named: Collection[str]) -> list[pytest.Item]:
    """What a run makes of the tests that were collected.

    named: what stands on the command line.
    """
    walks: dict[str, list[pytest.Item]] = defaultdict(list)
    left = set()
    for item in items:
        if item.get_closest_marker("walk") and not any(item.nodeid.endswith(one) for one in named if "[" in one):
            walks[item.nodeid.partition("[")[0]].append(item)
    for name, cells in walks.items():
        (parts,) = cells[0].get_closest_marker("walk").args  # type: ignore[union-attr]
        left |= {*cells} - {*part(cells, parts, name)}
    return [item for item in items if item not in left]
