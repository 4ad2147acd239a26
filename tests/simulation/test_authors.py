"""When the people of a simulated store write, and when they wait."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from node.simulation.authors import Authors

KEY = ("orders", "mesa-1")
DISH = [{"id": "i-20"}]


def flickers(shown: object, *, unanswered: bool = False, coming: bool = False) -> bool:
    """Of somebody who put a dish on an order, and whose screen shows this of it."""
    operation: dict[str, Any] = {
        "id": "op-13",
        "entity_type": KEY[0],
        "entity_id": KEY[1],
        "operation": "UPDATE",
        "terminal_id": "t",
    }
    operation["data"] = {"items": DISH}
    terminal: Any = SimpleNamespace(
        unanswered={"op-13": operation} if unanswered else {},
        coming=lambda: {"op-13"} if coming else set(),
        screen={KEY: {"items": shown}},
    )
    authors = Authors(SimpleNamespace(rng=random.Random(1)))  # type: ignore[arg-type]
    authors.sent["t/op-13"] = (terminal, operation)
    return authors.flickers(terminal, KEY, "items")


@pytest.mark.parametrize("way", ["unanswered", "coming"])
def test_nobody_writes_in_the_moment_in_which_an_earlier_write_of_its_own_is_back_on_its_screen(way: str) -> None:
    assert flickers([], **{way: True})
    assert not flickers(DISH, **{way: True})


def test_what_others_made_of_it_since_is_what_people_write_from() -> None:
    assert not flickers([])
