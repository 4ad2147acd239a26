"""Places in a list: as many elements as can keep theirs, and always room between."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.kinds.places import between, placed

if TYPE_CHECKING:
    from collections.abc import Callable


@given(st.integers(0, 2**32))
def test_there_is_always_room_between_two_places(seed: int) -> None:
    rng = random.Random(seed)
    places: list[str] = []
    for _ in range(60):
        at = (
            rng.randrange(len(places) + 1)
            if rng.random() < 0.5
            else rng.choice([0, 1, len(places)]) % (len(places) + 1)
        )
        place = between(places[at - 1] if at else None, places[at] if at < len(places) else None)
        places.insert(at, place)
    assert places == sorted(set(places))


def test_places_stay_short_however_long_a_list_grows_at_its_end() -> None:
    place = None
    for _ in range(5_000):
        place = between(place, None)
    assert place is not None
    assert len(place) == 6


def test_insertion_at_one_point_grows_slowly() -> None:
    low, high = between(None, None), between(between(None, None), None)
    for _ in range(200):
        high = between(low, high)
        assert low < high
    assert len(high) < 60


@given(st.permutations(list("abcdefgh")), st.permutations(list("abcdefgh")), st.integers(0, 8))
def test_a_new_order_keeps_the_places_it_can(first: list[str], second: list[str], size: int) -> None:
    places = placed(first, {})
    assert sorted(first, key=places.__getitem__) == first
    chosen = second[:size]
    moved = placed(chosen, places)
    assert sorted(chosen, key=moved.__getitem__) == chosen
    if chosen == [key for key in first if key in chosen]:
        assert moved == {key: places[key] for key in chosen}


def test_appending_and_removing_moves_nobody() -> None:
    places = placed(["a", "b", "c"], {})
    after = placed(["a", "c", "d"], places)
    assert (after["a"], after["c"]) == (places["a"], places["c"])
    assert after["d"] > places["c"]


@pytest.mark.parametrize("known", [lambda key: False, lambda key: key % 2 == 0, lambda key: True])
def test_a_long_list_is_placed_in_one_pass(known: Callable[[int], bool]) -> None:
    """Not in as many as it has elements: one message can carry some ten thousand."""
    order = [str(number) for number in range(30_000)]
    first = placed([key for number, key in enumerate(order) if known(number)], {})
    places = placed(order, first)
    assert first.items() <= places.items()
    assert sorted(order, key=places.__getitem__) == order
