"""What long runs of the fuzzers found, replayed, and some seeded mutations of it.

COMANDA_FUZZ=20 makes twenty times as many; COMANDA_SEED=7 other ones.
"""

from __future__ import annotations

import os
import random
from contextlib import closing
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, Target

TIMES = int(os.environ.get("COMANDA_FUZZ", "1"))
SEED = int(os.environ.get("COMANDA_SEED", "1"))
CORPUS = Path(__file__).parent / "corpus"


def take(target: Target, data: bytes, origin: str) -> None:
    try:
        target(data)
    except BaseException as error:
        error.add_note(f"{origin}: {data!r}")
        raise


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_does_only_what_is_promised(name: str) -> None:
    kind, rng = TARGETS[name], random.Random(SEED)
    corpus = {path.name: path.read_bytes() for path in sorted((CORPUS / name).glob("*"))}
    inputs = [*kind.target.seeds(), *corpus.values()]
    with closing(kind.target()) as target:
        for number, data in enumerate(kind.target.seeds()):
            take(target, data, f"seed {number}")
        for file, data in corpus.items():
            take(target, data, file)
        for number in range(kind.everyday * TIMES):
            data = rng.choice(inputs)
            for _ in range(rng.randint(1, 3)):
                data = kind.mutate(rng, data, inputs)
            take(target, data[: kind.longest], f"mutation {number} of seed {SEED}")
