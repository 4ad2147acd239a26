"""A mutation check of the simulator: `python -m tests.simulation.defects [--seeds 500] [NAME ...]`.

Every defect of the tables is put into the node, and evenings are simulated from seed 1 on, on all cores, until one
reports a violation. `--write` notes the seeds in `caught.json`, from which the tests replay them: to be done again
when the simulator draws otherwise, as every seed is another evening then.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from attrs import frozen

from node.simulation.runner import one
from tests.simulation.hole_defects import HOLES
from tests.simulation.knowledge_defects import KNOWLEDGE
from tests.simulation.merge_defects import MERGE
from tests.simulation.paid_defects import PAID
from tests.simulation.path_defects import COMMIT, DELIVERY, LINKS, LOCKS, REFUSALS, SIGNATURES

WAYS = (*COMMIT, *DELIVERY, *LINKS, *LOCKS, *SIGNATURES, *REFUSALS)
DEFECTS = {found.name: found for found in (*MERGE, *KNOWLEDGE, *PAID, *WAYS, *HOLES)}
CAUGHT = Path(__file__).with_name("caught.json")
"""Defect -> the seed known to catch it."""

SEEDS = 500
SHOWN = 110
CRASH = re.compile(r"[A-Z]\w+: ")
"""How a problem begins that is an exception: the node did not go on working wrongly, it fell over."""


@frozen
class Catch:
    """seeds: how many were simulated, the last of which is the one that caught it, if any did. crashes: how many of
    those before it ended in an exception, which is no catch."""

    name: str
    seeds: int
    violation: str | None
    crashes: int
    crash: str | None


def caught() -> dict[str, int]:
    seeds: dict[str, int] = json.loads(CAUGHT.read_text())
    return seeds


def violation(seed: int) -> str | None:
    """The invariant that this seed finds broken, if one is."""
    problem = one(seed).problem
    return None if problem is None or CRASH.match(problem) else problem


def search(name: str, seeds: int, first: int = 1) -> Catch:
    """From the first seed on until the defect is caught."""
    crashes, crash = 0, None
    for seed in range(first, first + seeds):
        with DEFECTS[name].present():
            problem = one(seed).problem
        if problem is not None and CRASH.match(problem):
            crashes, crash = crashes + 1, crash or problem
        elif problem is not None and one(seed).problem is None:  # without the defect all is well
            return Catch(name, seed, problem, crashes, crash)
    return Catch(name, first + seeds - 1, None, crashes, crash)


def _line(catch: Catch) -> str:
    told = catch.violation or "NOT CAUGHT"
    if catch.crashes:
        told += f"  [before: {catch.crashes} x {(catch.crash or '')[:60]}]"
    return f"{catch.name:<34} {catch.seeds:>5}  {' '.join(told.split())[: SHOWN + 80 * bool(catch.crashes)]}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.defects", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default all: " + ", ".join(DEFECTS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help=f"note the seeds in {CAUGHT.name}")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in DEFECTS]
    if unknown:
        parser.error(f"no such defect: {', '.join(unknown)}")
    names, began = chosen.names or list(DEFECTS), time.monotonic()
    found: dict[str, Catch] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(chosen.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        running: list[Future[Catch]] = [pool.submit(search, name, chosen.seeds) for name in names]
        print(f"{'defect':<34} {'seeds':>5}  violation", flush=True)
        for future in as_completed(running):
            catch = future.result()
            found[catch.name] = catch
            print(_line(catch), flush=True)
    missed = [name for name in names if found[name].violation is None]
    print(f"{len(names) - len(missed)} of {len(names)} caught in {time.monotonic() - began:.0f} s")
    if chosen.write:
        kept = {**(caught() if CAUGHT.exists() else {}), **{n: c.seeds for n, c in found.items() if c.violation}}
        CAUGHT.write_text(json.dumps({name: kept[name] for name in DEFECTS if name in kept}, indent=2) + "\n")
    if missed:
        sys.exit(f"not caught: {', '.join(missed)}")


if __name__ == "__main__":
    main()
