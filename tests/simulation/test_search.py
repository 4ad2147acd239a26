"""The search for the evenings that catch defects names each defect that one blames, and goes on where it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from node.simulation.evening import Outcome
from tests.simulation import search
from tests.simulation.search import Played, Search, blamed
from tests.simulation.slips import Defect, defect

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAMES = ("a", "b", "c", "d", "e")


def defects(*names: str) -> dict[str, Defect]:
    return {name: defect(name, "", ("crdt.hlc:pack", "COUNTER_BITS", f"len({name!r})")) for name in names}


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, str]]:
    """What each seed reports of which defect. All defects are of the same words, so they are played apart."""
    problems: dict[int, dict[str, str]] = {}

    def problem(seed: int, planted: Iterable[Defect]) -> str | None:
        return next((problems[seed][d.name] for d in planted if d.name in problems.get(seed, {})), None)

    def fitting(planted: list[Defect]) -> tuple[list[Defect], list[Defect]]:
        return planted, []

    monkeypatch.setattr(search, "_problem", problem)
    monkeypatch.setattr(search, "_fitting", fitting)
    monkeypatch.setattr(search, "one", lambda seed: Outcome(seed, "", 0.0, 0, {}, "bad" if seed == 0 else None))
    return problems


@pytest.mark.parametrize("bad", [c for n in range(4) for c in combinations(NAMES, n)])
def test_each_defect_with_which_an_evening_ends_badly_is_named(
    played: dict[int, dict[str, str]], bad: tuple[str, ...]
) -> None:
    played[1] = {name: f"{name} is lost" for name in bad}
    assert blamed(1, list(defects(*NAMES).values())) == Played(played[1])


def test_what_ends_badly_without_defects_catches_nothing(played: dict[int, dict[str, str]]) -> None:
    played[0] = {"a": "a is lost"}
    assert blamed(0, list(defects("a").values())) == Played({}, "bad")


def test_a_defect_that_makes_the_node_fall_over_is_not_caught_and_soon_left_out(
    tmp_path: Path, played: dict[int, dict[str, str]]
) -> None:
    played.update({seed: {"a": "KeyError: 'x'", "b": "b is lost"} for seed in range(1, 9)})
    played[9] = {"a": "a is lost"}
    with ThreadPoolExecutor(1) as pool:
        search_ = Search(tmp_path / "state", defects("a", "b"), lambda _: None)
        search_.run(("a", "b"), 9, pool, 1)
    assert (search_.caught, search_.falls) == ({"b": 1}, {"a": 3})


def test_defects_in_the_same_words_are_planted_one_after_the_other() -> None:
    of = defects("a", "b")
    one, other = search._fitting(list(of.values()))
    assert ([d.name for d in one], [d.name for d in other]) == (["a"], ["b"])


def test_a_search_goes_on_where_it_was(tmp_path: Path, played: dict[int, dict[str, str]]) -> None:
    said: list[str] = []
    played.update({2: {"a": "a is lost"}, 4: {"a": "again", "b": "b is lost"}, 9: {"c": "c is lost"}})
    with ThreadPoolExecutor(2) as pool:
        Search(tmp_path / "state", defects(*NAMES), said.append).run(NAMES, 4, pool, 2)
        assert len(said) == 2
        later = Search(tmp_path / "state", defects(*NAMES), said.append)
        assert later.caught == {"a": 2, "b": 4}
        played.clear()
        played.update({1: {"c": "of before"}, 9: {"c": "c is lost"}})
        later.run(NAMES, 10, pool, 2)
    assert Search(tmp_path / "state", {}).caught == {"a": 2, "b": 4, "c": 9}
    assert len(said) == 3
