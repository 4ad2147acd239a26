"""How the last hours went: one point each quarter of a minute, in memory, so that whoever comes later sees it too."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import asdict, field

from crdt.classes import define, frozen
from crdt.hlc import iso

if TYPE_CHECKING:
    from node.core.statistics import Counts, Latencies, Statistics

POINT_MS = 15_000
"""How often a point is taken."""

HOURS = 4
"""How far back they reach, at most."""

MOST = HOURS * 3_600_000 // POINT_MS


@frozen(kw_only=True)
class Point:
    """A stretch of time that ended at `at_ms`, Unix milliseconds.

    confirmation, delivery: p50 and p99 in milliseconds of what was measured in it; None where nothing was.
    operations: per minute. conflicts: raised in it.
    """

    at_ms: int
    confirmation_p50_ms: float | None
    confirmation_p99_ms: float | None
    delivery_p50_ms: float | None
    delivery_p99_ms: float | None
    operations: float
    conflicts: int
    database_bytes: int
    memory_bytes: int

    def report(self) -> dict[str, object]:
        said = asdict(self)
        return {"at": iso(said.pop("at_ms")), **said}


@define(eq=False)
class _Meter:
    """What was added since it was asked last."""

    before: int = 0

    def read(self, total: int) -> int:
        """A restart of what is counted counts from nothing."""
        since, self.before = total - self.before, total
        return max(since, 0)


@define(eq=False)
class Figures:
    """The points of the last hours, the oldest first."""

    points: deque[Point] = field(factory=lambda: deque(maxlen=MOST))
    _operations: _Meter = field(factory=_Meter)
    _conflicts: _Meter = field(factory=_Meter)
    _confirmed: _Meter = field(factory=_Meter)
    _delivered: _Meter = field(factory=_Meter)
    _taken_ms: int | None = None

    def take(
        self,
        wall_ms: int,
        mono_ms: int,
        statistics: Statistics,
        counts: Counts,
        database_bytes: int,
        memory_bytes: int,
    ) -> None:
        """Take a point."""
        elapsed_ms = mono_ms - (statistics.started_ms if self._taken_ms is None else self._taken_ms)
        self._taken_ms = mono_ms
        operations = self._operations.read(counts.operations + counts.remote)
        confirmed = _spread(statistics.confirmation, self._confirmed)
        delivered = _spread(statistics.delivery, self._delivered)
        self.points.append(
            Point(
                at_ms=wall_ms,
                confirmation_p50_ms=confirmed[0],
                confirmation_p99_ms=confirmed[1],
                delivery_p50_ms=delivered[0],
                delivery_p99_ms=delivered[1],
                operations=round(operations * 60_000 / max(elapsed_ms, 1), 2),
                conflicts=self._conflicts.read(counts.conflicts),
                database_bytes=database_bytes,
                memory_bytes=memory_bytes,
            )
        )

    def report(self, since_ms: int) -> list[dict[str, object]]:
        """The points since a time, Unix milliseconds."""
        return [point.report() for point in self.points if point.at_ms > since_ms]


def _spread(latencies: Latencies, meter: _Meter) -> tuple[float | None, float | None]:
    """p50 and p99 of what was measured since the last time."""
    new = latencies.latest(meter.read(latencies.added))
    if not new:
        return None, None
    ordered = sorted(new)
    p50, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99))
    return round(p50, 3), round(p99, 3)
