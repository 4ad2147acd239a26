"""What takes long is made in slices: each run makes a part of it, the next day another one, and after some days all.

A walk repeats one thing in many combinations. `@pytest.mark.walk(3)` says that a run makes one in three of a test's,
`part` the same of a loop. Of other tests a run makes one in so many of each module, where their folder is one in
which they start processes or browsers, or play evenings (FOLDERS); all of them where a module is named on the command
line. COMANDA_SLICE says which: a number, by default the day's, or `all`. A run prints it, and a failure prints the
command that makes the same part again. A cell that is named on the command line is always made.
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

FOLDERS = {
    **dict.fromkeys(("bench", "client", "e2e", "hubs", "platforms", "ui"), 3),
    **dict.fromkeys(("cli", "conformance", "faults", "fuzz", "runtime", "scenarios", "wire"), 2),
}
"""Of the tests of each module in these folders a run makes one in so many."""


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
    walks: dict[tuple[str, int], list[pytest.Item]] = defaultdict(list)
    left = set()
    whole = any(".py" in one for one in named)
    for item in items:
        walk = _walk_of(item, whole=whole)
        if walk is not None and not any(item.nodeid.endswith(one) for one in named if "::" in one):
            walks[walk].append(item)
    for (name, parts), cells in walks.items():
        left |= {*cells} - {*part(cells, parts, name)}
    return [item for item in items if item not in left]


def _walk_of(item: pytest.Item, *, whole: bool) -> tuple[str, int] | None:
    """Of which walk a test is a cell, and of how many parts; None where each run makes it. whole: modules are."""
    test = item.nodeid.partition("[")[0]
    marked = item.get_closest_marker("walk")
    if marked is not None:
        return test, marked.args[0]
    module = test.partition("::")[0]
    parts = max((FOLDERS.get(folder, 1) for folder in module.split("/")[:-1]), default=1)
    return (module, parts) if parts > 1 and not whole else None
