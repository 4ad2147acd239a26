"""When a node copies its database by itself, and which copies go: decided from names and times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crdt.classes import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

SETTLED_MS = 300_000
"""How long a node runs before its first copy: it has to take up its links and terminals first."""

RETRY_MS = 600_000
"""How long after one that failed the next is tried."""

SPARE_BYTES = 1_000_000_000
"""What a copy leaves free on its disk. The node itself needs room to store what it confirms."""

NAME = re.compile(r"auto-(\d{1,19})-(\d{1,15})\.db", re.ASCII)


@frozen
class Copy:
    """A copy that was made by the clock. made_ms: Unix milliseconds."""

    name: str
    made_ms: int


def name_of(head: int, now_ms: int) -> str:
    """What a copy is called that is made now. head: the last row of the log."""
    return f"auto-{head}-{now_ms}.db"


def copies(names: Iterable[str]) -> list[Copy]:
    """Those among the names of a folder's files, the oldest first. What people put there is none."""
    found = [Copy(name, int(match[2])) for name in names if (match := NAME.fullmatch(name))]
    return sorted(found, key=lambda copy: copy.made_ms)


def due_in_ms(found: Iterable[Copy], every_ms: float, now_ms: int) -> float:
    """How long until the next copy. One from the future was made under a wrong clock, and puts nothing off."""
    last_ms = max((copy.made_ms for copy in found if copy.made_ms <= now_ms), default=None)
    return 0 if last_ms is None else max(every_ms - (now_ms - last_ms), 0)


def surplus(found: Iterable[Copy], keep: int, now_ms: int) -> list[str]:
    """The names of the copies that go, once `keep` are kept: those from the future first, then the oldest."""
    ordered = sorted(found, key=lambda copy: (copy.made_ms <= now_ms, copy.made_ms))
    return [copy.name for copy in ordered[: max(len(ordered) - keep, 0)]]


def lacks_room(free_bytes: int, size_bytes: int) -> bool:
    """Whether a copy of this size would leave too little."""
    return free_bytes - size_bytes < SPARE_BYTES
