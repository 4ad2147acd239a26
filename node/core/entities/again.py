"""What a terminal is sent once more, after all that it wrote before. Of its own writes it is sent nothing else.

That happens where a connection begins, from what had been confirmed by then up to the log's last row, and where it is
told late that the terminal had been elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

Again = tuple[tuple[int, int], ...]
"""Of one priority class: the rows after the first and up to the second of each pair were sent once more. The later
pair ends later."""

OfAll = Sequence[tuple[Sequence[int], int]]
"""The same of all classes: the first of each pair by class."""

MOST = 4
"""Pairs that are told apart. Of more, the first two are one."""


def sent_again(again: Again, seq: int) -> bool:
    """Whether a row is among them."""
    return any(after < seq <= upto for after, upto in again)


def shown_since(again: Again, seq: int, acknowledged: int) -> int:
    """The row after which its author was shown what came since it wrote row `seq`. acknowledged: by then."""
    for after, upto in again:
        if seq <= upto and after < acknowledged:
            acknowledged = after
    return acknowledged


def with_more(pairs: OfAll, after: Sequence[int], upto: int) -> OfAll:
    """Another pair beside those that are there."""
    found: list[tuple[Sequence[int], int]] = [*pairs, (after, upto)]
    if len(found) > MOST:
        (first, _), (second, last), *rest = found
        found = [(tuple(map(min, first, second)), last), *rest]
    return found
