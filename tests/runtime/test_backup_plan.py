"""When a node copies its database by itself, and which copies go, over values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.runtime.backup_plan import SPARE_BYTES, copies, due_in_ms, lacks_room, name_of, surplus

HOUR_MS = 3_600_000
NOW_MS = 1_800_000_000_000


def made(*ages_h: int) -> list[str]:
    return [name_of(7, NOW_MS - age_h * HOUR_MS) for age_h in ages_h]


def test_a_copy_is_due_without_one_and_after_the_time_of_one() -> None:
    waits = [due_in_ms(copies(names), 24 * HOUR_MS, NOW_MS) for names in ([], made(40, 20), made(24), made(50))]
    assert waits == [0, 4 * HOUR_MS, 0, 0]


def test_a_copy_from_the_future_puts_nothing_off_and_goes_first() -> None:
    found = copies(made(-1000, 30, 2))
    assert due_in_ms(found, 24 * HOUR_MS, NOW_MS) == 22 * HOUR_MS
    assert surplus(found, 2, NOW_MS) == made(-1000)


def test_what_people_put_into_the_folder_is_no_copy() -> None:
    names = ["comanda-7-1.db", ".auto-7-1.db.partial", "auto-7-1.db.old", "auto-x-1.db", "notes.txt"]
    assert copies(names) == []


@given(st.lists(st.integers(-100, 100), unique=True, max_size=20), st.integers(1, 10))
def test_the_newest_that_were_made_are_kept_and_nothing_else_than_copies_goes(ages_h: list[int], keep: int) -> None:
    names = made(*ages_h)
    gone = surplus(copies([*names, "mine.db"]), keep, NOW_MS)
    kept = set(names) - set(gone)
    assert len(gone) == max(len(names) - keep, 0)
    newest = sorted(age for age in ages_h if age >= 0)[:keep]
    assert set(made(*newest)) <= kept


def test_a_copy_leaves_the_node_room_to_store_what_it_confirms() -> None:
    assert not lacks_room(SPARE_BYTES + 5, 5)
    assert lacks_room(SPARE_BYTES + 4, 5)
