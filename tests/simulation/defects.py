"""A mutation check of the simulator: `python -m tests.simulation.defects search [--seeds 500] [NAME ...]`.

Evenings are simulated with defects of the tables in the node until each defect has one that reports a violation.
`caught.json` holds their seeds, and the tests replay them. When the simulator draws otherwise every seed is another
evening: then `replay --forget` drops those that catch nothing any more, and `search` finds others. A search that is
ended goes on where it was; its state is in a file outside the tree, and with `--afresh` it begins again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.guest_defects import GUESTS, LINES, UNDERSTOOD
from tests.simulation.hole_defects import HOLES
from tests.simulation.knowledge_defects import KNOWLEDGE
from tests.simulation.merge_defects import MERGE
from tests.simulation.paid_defects import PAID
from tests.simulation.path_defects import COMMIT, DELIVERY, LINKS, LOCKS, REFUSALS, SIGNATURES
from tests.simulation.search import Search, violation
from tests.simulation.turn_defects import TURNS

WAYS = (*COMMIT, *DELIVERY, *LINKS, *LOCKS, *SIGNATURES, *REFUSALS)
RULES = (*MERGE, *KNOWLEDGE, *PAID, *GUESTS, *LINES, *UNDERSTOOD)
DEFECTS = {found.name: found for found in (*RULES, *WAYS, *TURNS, *HOLES)}
CAUGHT = Path(__file__).with_name("caught.json")
"""Defect -> the seed known to catch it."""

SEEDS = 500
STATE = Path(tempfile.gettempdir()) / "comanda-defects.json"


def caught() -> dict[str, int]:
    seeds: dict[str, int] = json.loads(CAUGHT.read_text())
    return seeds


def _note(seeds: dict[str, int]) -> None:
    CAUGHT.write_text(json.dumps({name: seeds[name] for name in DEFECTS if name in seeds}, indent=2) + "\n")


def _search(names: list[str], seeds: int, jobs: int, state: Path, *, afresh: bool) -> None:
    if afresh:
        state.unlink(missing_ok=True)
    began, search = time.monotonic(), Search(state, DEFECTS)
    wanted = [name for name in names if name not in caught()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        search.run(wanted, seeds, pool, jobs)
    _note({**search.caught, **caught()})
    missed = [name for name in wanted if name not in search.caught]
    print(f"{len(wanted) - len(missed)} of {len(wanted)} caught in {time.monotonic() - began:.0f} s")
    if missed:
        sys.exit(f"not caught: {', '.join(missed)}")


def _replay(names: list[str], *, forget: bool) -> None:
    lost = []
    for name, seed in caught().items():
        if name in names and violation(seed, [DEFECTS[name]]) is None:
            print(f"seed {seed} does not catch {name}", flush=True)
            lost.append(name)
    if forget:
        _note({name: seed for name, seed in caught().items() if name not in lost})
    elif lost:
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.defects", description=__doc__)
    parser.add_argument("what", choices=["search", "replay"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default all: " + ", ".join(DEFECTS))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="search: the last one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--state", type=Path, default=STATE, help=f"of a search; by default {STATE.name}")
    parser.add_argument("--afresh", action="store_true", help="search from the first seed on")
    parser.add_argument("--forget", action="store_true", help="replay: forget seeds that catch nothing")
    chosen = parser.parse_intermixed_args()
    unknown = [name for name in chosen.names if name not in DEFECTS]
    if unknown:
        parser.error(f"no such defect: {', '.join(unknown)}")
    names = chosen.names or list(DEFECTS)
    if chosen.what == "search":
        _search(names, chosen.seeds, chosen.jobs, chosen.state, afresh=chosen.afresh)
    else:
        _replay(names, forget=chosen.forget)


if __name__ == "__main__":
    main()
