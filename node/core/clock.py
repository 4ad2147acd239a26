"""Watching the machine's clock: what is said when it is set, and how far stamps are ahead of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import define

from crdt.hlc import iso, millis

if TYPE_CHECKING:
    from node.core.operations.replica import Replica
    from node.core.ports import Instant

logger = logging.getLogger("comanda.clock")


LONG_MS = 60 * 86_400_000
"""A node that was off for longer asks whether the clock is right."""


@define(eq=False)
class Watch:
    """jumps: how often the clock was set by more than the allowed skew. ahead_ms: by how much the last stamp is past
    the clock."""

    jumps: int = 0
    ahead_ms: int = 0
    _offset_ms: int | None = None
    """The wall clock less the monotonic one: it changes when the former is set (or the machine slept)."""
    _behind: bool = False

    _taken_back: int = 0

    def begin(self, now: Instant, replica: Replica) -> None:
        """At the start."""
        self._offset_ms = now.wall_ms - now.mono_ms
        last = replica.clock.last
        away = now.wall_ms - millis(last)
        if last and away > LONG_MS:
            logger.warning(
                "the machine's clock (%s) is %s past the latest operation here: is it set right?",
                iso(now.wall_ms),
                apart(away),
            )

    def tick(self, now: Instant, replica: Replica) -> None:
        """Once a second."""
        skew = replica.settings.max_skew_ms
        offset = now.wall_ms - now.mono_ms
        moved = offset - self._offset_ms if self._offset_ms is not None else 0
        self._offset_ms = offset
        if abs(moved) > skew:
            self.jumps += 1
            way = "forward" if moved > 0 else "back"
            logger.warning("the machine's clock jumped %s by %s, to %s", way, apart(moved), iso(now.wall_ms))
        replica.clock.follow(now.wall_ms + replica.offset_ms)
        if replica.clock.taken_back != self._taken_back:
            self._taken_back = replica.clock.taken_back
            logger.warning(
                "the clock is back from a jump: operations are stamped with it again; those stamped meanwhile keep "
                "their time, and win over what is written without having seen them"
            )
        self.ahead_ms = max(millis(replica.clock.last) - now.wall_ms - replica.offset_ms, 0)
        behind = self.ahead_ms > skew
        if behind and not self._behind:
            logger.warning(
                "the machine's clock (%s) is %s behind the latest operation: is it set right? New operations are "
                "ordered after that one, and lose against what other nodes write at the same time",
                iso(now.wall_ms),
                apart(self.ahead_ms),
            )
        self._behind = behind


def apart(ms: int) -> str:
    """How far two times are apart, for people."""
    seconds = round(abs(ms) / 1000)
    for name, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length):,} {name}"
    return f"{seconds} seconds"
