"""A long run of one target: `python -m tests.fuzz TARGET --seconds 600` (or `--runs N`), or `--minimise`.

`python -m tests.fuzz grid --seconds 600` tries cells of the grid instead (grid.py), in an order drawn from `--seed`.

What it finds goes to the folder of `--work`; an input that failed is written there as `crash-...`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

PRODUCT = ["crdt", "strategies", "storage", "node", "h11", "wsproto"]
CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    if sys.argv[1:2] == ["grid"]:
        sys.exit(1 if long_run_of_the_grid() else 0)
    import atheris

    with atheris.instrument_imports(include=PRODUCT):
        from tests.fuzz.targets import TARGETS
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "comanda-fuzz")
    chosen = parser.parse_args()
    kind = TARGETS[chosen.target]
    found = chosen.work / chosen.target
    found.mkdir(parents=True, exist_ok=True)
    committed = CORPUS / chosen.target
    for number, seed in enumerate(kind.target.seeds()):
        (found / f"seed-{number}").write_bytes(seed)
    donors = [path.read_bytes() for folder in (committed, found) for path in folder.glob("*")][:500]
    print(f"{chosen.target}: seed {chosen.seed}; what is found goes to {found}", flush=True)

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        return kind.mutate(random.Random(seed), data, donors)[:longest]

    own = {"custom_mutator": mutate} if kind.mutate_in_long_runs else {}
    flags = [f"-runs={chosen.runs}", f"-max_total_time={chosen.seconds}", f"-seed={chosen.seed}", "-timeout=20"]
    flags += [f"-max_len={kind.longest}", f"-artifact_prefix={chosen.work}/{chosen.target}-", "-rss_limit_mb=4096"]
    atheris.Setup(
        [sys.argv[0], str(found), *([str(committed)] if committed.is_dir() else []), *flags], kind.target(), **own
    )
    atheris.Fuzz()


def long_run_of_the_grid() -> int:
    from tests.fuzz import grid

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz grid", description=grid.__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    chosen = parser.parse_args(sys.argv[2:])
    return grid.main(chosen.seconds, chosen.seed)


if __name__ == "__main__":
    main()
