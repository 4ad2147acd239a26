"""Something that can be done in one turn or in several: it pauses where it yields, if whoever runs it wants that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")


def at_once(steps: Generator[int, None, T]) -> T:
    """Take all steps in this turn. They yield how many they took: one is about what one register costs, 30 us."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found


def let_go(*made: list[Any]) -> Generator[int, None, None]:
    """Empty lists of what was made of many entities: dropped with the function that made it, all of it goes at once,
    and that takes a turn of its own."""
    while any(made):
        for each in made:
            if each:
                each.pop()
        yield 1
