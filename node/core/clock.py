"""The node's clock: stamps, how far the upstream's clock is ahead, and warnings when time jumps."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt import hlc
from crdt.classes import define
from crdt.hlc import iso, millis

if TYPE_CHECKING:
    from node.core.ports import Instant

logger = logging.getLogger("comanda.clock")


LONG_MS = 60 * 86_400_000
"""A node that was off for longer than this warns that its clock may be wrong."""


@define(eq=False)
class NodeClock:
    """What this node stamps with.

    hlc: hybrid logical clocks, which never go back.
    max_skew_ms: how far what other nodes accepted may take this clock ahead of the wall clock.
    offset_ms: how far the upstream's clock is ahead of this node's. Stamps are made with it.
    jumps: how often the wall clock was set by more than `max_skew_ms`.
    ahead_ms: by how much the last stamp is ahead of the wall clock.
    """

    hlc: hlc.HybridClock
    max_skew_ms: int
    offset_ms: int = field(default=0, init=False)
    jumps: int = field(default=0, init=False)
    ahead_ms: int = field(default=0, init=False)
    _apart_ms: int | None = field(default=None, init=False)
    """The wall clock minus the monotonic one. It changes when the wall clock is set, or the machine slept."""
    _behind: bool = field(default=False, init=False)
    _taken_back: int = field(default=0, init=False)

    # ------------------------------------------------------------------ stamps

    def accept(self, now: Instant) -> int:
        """The HLC of something that is accepted now."""
        return self.hlc.tick(now.wall_ms + self.offset_ms)

    def stamp(self, at_us: int | None, now: Instant) -> tuple[int, int, int]:
        """An operation's stamp, the latest that it may be, and its acceptance, as HLCs.

        at_us: when it was written, in Unix microseconds of the machine's clock; None for now.
        """
        wall_ms = now.wall_ms + self.offset_ms
        accepted = self.hlc.tick(wall_ms)
        # After the machine's clock was set back, the HLC is ahead of it. The stamp is not: it must not win by that.
        latest = hlc.pack(wall_ms) if millis(accepted) > wall_ms + self.max_skew_ms else accepted
        stamp = latest if at_us is None else min(hlc.stamp_of(at_us + self.offset_ms * 1000), latest)
        return stamp, latest, accepted

    def latest_ms(self, now: Instant) -> int:
        """The Unix milliseconds of this moment, and no less than of anything that was accepted here."""
        return max(now.wall_ms + self.offset_ms, millis(self.hlc.last))

    def observe(self, accepted: int, now: Instant) -> None:
        """Another node accepted something at this HLC. What is accepted here from now on comes after it."""
        self.hlc.observe(accepted, now.wall_ms, self.max_skew_ms)

    def note(self, meta: dict[str, str]) -> None:
        """Put what is stored of the clock into a commit's meta."""
        meta["hlc"] = str(self.hlc.last)
        meta["hlc_steps"] = orjson.dumps(self.hlc.steps).decode()

    # ------------------------------------------------------------------ the machine's clock

    def begin(self, now: Instant) -> None:
        """The node starts. Warns if the wall clock is far past the latest operation."""
        self._apart_ms = now.wall_ms - now.mono_ms
        last = self.hlc.last
        away = now.wall_ms - millis(last)
        if last and away > LONG_MS:
            logger.warning(
                "the machine's clock (%(clock)s) is %(away)s past the latest operation here: is it set right?",
                {"clock": iso(now.wall_ms), "away": apart(away)},
            )

    def tick(self, now: Instant) -> None:
        """Once a second: notice jumps, and let stamps follow a clock that is back from one."""
        skew = self.max_skew_ms
        offset = now.wall_ms - now.mono_ms
        moved = offset - self._apart_ms if self._apart_ms is not None else 0
        self._apart_ms = offset
        if abs(moved) > skew:
            self.jumps += 1
            way = "forward" if moved > 0 else "back"
            logger.warning(
                "the machine's clock jumped %(way)s by %(amount)s, to %(clock)s",
                {"way": way, "amount": apart(moved), "clock": iso(now.wall_ms)},
            )
        self.hlc.follow(now.wall_ms + self.offset_ms)
        if self.hlc.taken_back != self._taken_back:
            self._taken_back = self.hlc.taken_back
            logger.warning(
                "the clock is back from a jump: operations are stamped with it again; those stamped meanwhile keep "
                "their time, and win over what is written without having seen them"
            )
        self.ahead_ms = max(millis(self.hlc.last) - now.wall_ms - self.offset_ms, 0)
        behind = self.ahead_ms > skew
        if behind and not self._behind:
            logger.warning(
                "the machine's clock (%(clock)s) is %(behind)s behind the latest operation: is it set right? "
                "New operations are ordered after that one, and lose against what other nodes write at the same time",
                {"clock": iso(now.wall_ms), "behind": apart(self.ahead_ms)},
            )
        self._behind = behind


def apart(ms: int) -> str:
    """How far two times are apart, for people."""
    seconds = round(abs(ms) / 1000)
    for name, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length):,} {name}"
    return f"{seconds} seconds"
