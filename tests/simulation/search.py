"""Which evening catches which planted defect: many defects in one evening, and the half of them that it blames.

An evening that ends badly with all defects is played again with either half of them, until single ones are named. So
an evening that catches none costs one run, however many defects are searched for.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from node.simulation.runner import one
from tests.simulation.slips import Defect

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CRASH = re.compile(r"[A-Z]\w+: ")
"""How a problem begins that is an exception: the node did not go on working wrongly, it fell over."""

LONGEST_S = 3.0
"""Seconds of CPU of an evening that is searched. The tests replay those that catch something."""

FALLS = 3
"""Evenings in which a defect makes the node fall over, before it is left out: it costs most and tells least."""

Found = dict[str, str]
"""Defect -> how an evening ends with it alone."""


def violation(seed: int, defects: Iterable[Defect] = ()) -> str | None:
    """The invariant that this seed finds broken with all of these defects, if one is."""
    problem = _problem(seed, defects)
    return None if problem is None or CRASH.match(problem) else problem


def _problem(seed: int, defects: Iterable[Defect]) -> str | None:
    with ExitStack() as stack:
        for defect in defects:
            stack.enter_context(defect.present())
        return one(seed).problem


@frozen
class Played:
    """Of one evening. bad: how it ends without any defect, where that is badly."""

    found: Found
    bad: str | None = None


def blamed(seed: int, defects: Sequence[Defect]) -> Played:
    """The defects with which this evening ends badly, though some may hide others. None for one that is too long."""
    began = time.process_time()
    if (bad := one(seed).problem) is not None or time.process_time() - began > LONGEST_S:
        return Played({}, bad)
    together, apart = _fitting(defects)
    found = _halve(seed, together)
    while apart:  # two slips in the same words
        together, apart = _fitting(apart)
        found |= _halve(seed, together)
    return Played(found)


def _halve(seed: int, defects: Sequence[Defect]) -> Found:
    problem = _problem(seed, defects)
    if problem is None:
        return {}
    if len(defects) == 1:
        return {defects[0].name: problem}
    half = len(defects) // 2
    return _halve(seed, defects[:half]) | _halve(seed, defects[half:])


def _fitting(defects: Sequence[Defect]) -> tuple[list[Defect], list[Defect]]:
    """Those that can be planted at once, and the rest."""
    together: list[Defect] = []
    apart: list[Defect] = []
    with ExitStack() as stack:
        for defect in defects:
            try:
                stack.enter_context(defect.present())
            except LookupError:
                apart.append(defect)
            else:
                together.append(defect)
    return together, apart if together else []


@define(eq=False)
class Search:
    """What was found, which outlives the process.

    caught: by defect, the seed that catches it. searched: the last seed that it was searched for in.
    falls: in how many evenings a defect made the node fall over.

    say: called with a line for people.
    """

    state: Path
    defects: Mapping[str, Defect]
    say: Callable[[str], None] = print
    caught: dict[str, int] = field(factory=dict)
    searched: dict[str, int] = field(factory=dict)
    falls: dict[str, int] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.state.exists():
            stored = json.loads(self.state.read_text())
            self.caught, self.searched, self.falls = stored["caught"], stored["searched"], stored["falls"]

    def run(self, names: Sequence[str], seeds: int, pool: Executor, jobs: int) -> None:
        """Search for these from where the last search ended, up to this seed. jobs: how many evenings at once."""
        first = min((self.searched.get(name, 0) + 1 for name in names if name not in self.caught), default=seeds + 1)
        waiting, running = iter(range(first, seeds + 1)), dict[Future[Played], int]()
        while True:
            left = [self.defects[n] for n in names if n not in self.caught and self.falls.get(n, 0) < FALLS]
            while left and len(running) < jobs and (seed := next(waiting, None)) is not None:
                running[pool.submit(blamed, seed, left)] = seed
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                self._note(running.pop(future), future.result(), names, min(running.values(), default=None))

    def _note(self, seed: int, played: Played, names: Sequence[str], oldest: int | None) -> None:
        """An evening is over. oldest: the first of those that are not."""
        if played.bad is not None:
            self.say(f"without any defect, seed {seed} ends badly: {played.bad}")
        for name, problem in played.found.items():
            if CRASH.match(problem):
                self.falls[name] = self.falls.get(name, 0) + 1
            elif name not in self.caught:
                self.caught[name] = seed
                self.say(f"{name:<34} {seed:>5}  {' '.join(problem.split())[:110]}")
        upto = seed if oldest is None else min(seed, oldest - 1)
        for name in names:
            self.searched[name] = max(self.searched.get(name, 0), upto)
        self._store()

    def _store(self) -> None:
        part = self.state.with_suffix(".part")
        stored = {"caught": self.caught, "searched": self.searched, "falls": self.falls}
        part.write_text(json.dumps(stored, indent=1))
        os.replace(part, self.state)
