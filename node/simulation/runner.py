"""Many seeds on all cores, and what they came to."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from node.simulation.evening import Outcome, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

IN_MEMORY = Path("/dev/shm")
"""Where a file system in memory is, if there is one: simulated disks need no real one."""

SEEDS_A_TASK = 10
TASKS_A_PROCESS = 20
"""Tasks after which a process is replaced: y-py never frees a document that was written to."""


def one(seed: int, say: Callable[[str], None] | None = None) -> Outcome:
    """One seed, in a directory of its own that is removed after it. say: called with each line of its transcript."""
    usable = IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK)
    directory = Path(tempfile.mkdtemp(prefix="comanda-", dir=IN_MEMORY if usable else None))
    level = logging.root.manager.disable
    logging.disable()  # nodes that are broken on purpose complain all the time
    try:
        began = time.process_time()
        with _collected_at_the_end():
            outcome = simulate(seed, directory, say)
        outcome.cpu_s = time.process_time() - began
        return outcome
    finally:
        logging.disable(level)
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _collected_at_the_end() -> Iterator[None]:
    """An evening makes little garbage that only the collector finds, and much that it would look through."""
    collects = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        gc.collect()
        gc.unfreeze()


def _some(seeds: list[int]) -> list[Outcome]:
    return [one(seed) for seed in seeds]


def outcomes(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """Of every seed, in the order in which they end, on so many processes."""
    rest = iter(seeds)
    if jobs == 1:
        yield from (one(seed) for seed in rest)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=TASKS_A_PROCESS) as pool:
        running: set[Future[list[Outcome]]] = set()
        while True:
            while len(running) < 2 * jobs and (some := list(islice(rest, SEEDS_A_TASK))):
                running.add(pool.submit(_some, some))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()


@define(eq=False)
class Summary:
    """What many seeds came to. upto: every seed from the first one up to this has ended, so that a run that is
    broken off goes on after it."""

    upto: int
    seeds: int = 0
    cpu_s: float = 0.0
    hours: float = 0.0
    operations: int = 0
    faults: Counter[str] = field(factory=Counter)
    failed: list[int] = field(factory=list)
    _ahead: set[int] = field(factory=set)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.cpu_s += outcome.cpu_s
        self._ahead.add(outcome.seed)
        while self.upto + 1 in self._ahead:
            self.upto += 1
            self._ahead.remove(self.upto)
        self.hours += outcome.hours
        self.operations += outcome.operations
        self.faults.update(outcome.faults)
        if outcome.problem is not None:
            self.failed.append(outcome.seed)

    @property
    def ended(self) -> str:
        """How they ended so far, and what they cost."""
        well = f"{self.seeds - len(self.failed):,} seeds ended well and {len(self.failed):,} badly"
        return f"{well}, all up to {self.upto}; {self.cpu_s / max(self.seeds, 1):.2f} s of CPU each"

    def lines(self, seconds: float) -> list[str]:
        """For people. seconds: how long it took."""
        lines = [
            f"{self.seeds:,} seeds, {self.hours:,.0f} simulated hours, {self.operations:,} operations,"
            f" {sum(self.faults.values()):,} faults in {seconds:,.0f} s"
        ]
        lines += [f"  {count:>9,}  {kind}" for kind, count in sorted(self.faults.items())]
        lines.append(self.ended)
        lines.append("all invariants held" if not self.failed else f"failed: {sorted(self.failed)}")
        return lines
