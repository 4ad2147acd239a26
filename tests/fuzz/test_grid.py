"""A slice of the grid: COMANDA_FUZZ=20 tries twenty times as much of it, COMANDA_SEED=7 another slice."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from node.core.operations.held import Held
from node.core.sessions import session
from node.core.sessions.session import Session
from node.wire import codec, outgoing
from tests.fuzz.grid import Cell, cells, run
from tests.fuzz.test_corpus import SEED, TIMES

SLICE = 75


def test_whatever_is_sent_in_whatever_state_is_answered_by_name_and_harms_nobody() -> None:
    every = list(cells())
    found: list[str] = []

    def report(cell: Cell | None, error: Exception) -> None:
        found.append(f"{cell or 'at the end of a node'}: {error!r}")

    chosen = random.Random(SEED).sample(every, min(SLICE * TIMES, len(every)))
    assert run(chosen, math.inf, report) == len(chosen)
    assert found == []


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _raw(text: str, *_: Any) -> str:
    return text


def _faulty(*_: Any, **__: Any) -> None:
    raise KeyError("on purpose")


DEFECTS: dict[str, tuple[Any, str, Any, Cell]] = {
    "unnamed": (codec, "say_which", _nothing, Cell("UPDATE", ("operation", "version"), "x", "on disk")),
    "raw": (outgoing, "printable", _raw, Cell("UPDATE", ("operation", "data"), {"@\x1b": 1}, "in memory")),
    "unanswered": (Session, "_release", _nothing, Cell("release_lock", ("lock_id",), "x", "unknown")),
    "faulty": (session, "resolve", _faulty, Cell("merge", ("resolution",), "accept_local", "in conflict")),
    "forgetful": (Held, "remember", _nothing, Cell("CREATE", (), None, "unknown")),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_the_grid_finds_what_is_planted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    holder, attribute, defect, cell = DEFECTS[name]
    found: list[Cell | None] = []
    monkeypatch.setattr(holder, attribute, defect)
    run([cell], math.inf, lambda where, _: found.append(where), copies=1)
    assert found[:1] == [cell]
