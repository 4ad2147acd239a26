"""A start over a damaged database, column by column: any value of any row may be what no node wrote there.

A store with a history of every kind has one value replaced (damage.py). The node refuses to start with one line that
names the table, the row and what to do, or it starts: then nothing of its own code fails on the damage, and nobody is
shown anything else than the truth without being told. `comanda verify` names each damage. COMANDA_DAMAGE says how
many values are replaced, or `all`.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.scenarios.failures import damage
from tests.scenarios.seeds import FIRST

if TYPE_CHECKING:
    from pathlib import Path

HOW_MANY = os.environ.get("COMANDA_DAMAGE", "15")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> damage.History:
    return damage.History(tmp_path_factory.mktemp("history"))


def test_the_store_has_something_in_every_table(history: damage.History) -> None:
    assert history.empty_tables() == []


def test_the_undamaged_store_starts_and_shows_everything(history: damage.History, tmp_path: Path) -> None:
    assert history.problem(tmp_path / "node", None) is None


def test_a_damaged_value_is_named_and_costs_what_it_is_of(history: damage.History, tmp_path: Path) -> None:
    cells = history.cells(random.Random(FIRST))
    assert len(cells) > 1_000
    if HOW_MANY != "all":
        cells = random.Random(FIRST).sample(cells, int(HOW_MANY))
    problems = []
    for number, cell in enumerate(cells):
        found = history.problem(tmp_path / f"{number}", cell)
        if found is not None:
            problems.append(f"{cell}: {found}")
    assert not problems, f"COMANDA_SEED={FIRST}:\n" + "\n".join(problems)
