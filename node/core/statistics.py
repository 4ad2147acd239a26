"""Measured figures of a node: rates over a sliding window, the latest latencies, counts since the start.

A new figure is a field here, a line where it is counted, and a line in node/runtime/api/metrics.py.
"""

from __future__ import annotations

from collections import deque

from attrs import field

from crdt.classes import define

WINDOW_MS = 10_000
"""Length of the window that rates are measured over."""

SAMPLES = 2_048
"""Latest latencies kept for the percentiles."""


@define(eq=False)
class Rate:
    """Events a second over the last ten seconds. Counts are kept per second."""

    _seconds: deque[tuple[int, int]] = field(factory=deque)
    _total: int = 0
    uncounted: int = 0
    """Events since `count` was called: for what happens so often that a look at the clock each time is too much."""

    @property
    def total(self) -> int:
        """Since the start."""
        return self._total + self.uncounted

    def count(self, now_ms: int) -> None:
        """Add what is uncounted. Called once a second."""
        if self.uncounted:
            uncounted, self.uncounted = self.uncounted, 0
            self.add(now_ms, uncounted)

    def add(self, now_ms: int, count: int = 1) -> None:
        second = now_ms // 1000
        self._total += count
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + count)
        else:
            self._seconds.append((second, count))
            while self._seconds[0][0] < second - WINDOW_MS // 1000:
                self._seconds.popleft()

    def per_second(self, now_ms: int) -> float:
        oldest = now_ms // 1000 - WINDOW_MS // 1000
        return sum(count for second, count in self._seconds if second > oldest) / (WINDOW_MS / 1000)


@define(eq=False)
class Latencies:
    """The latest latencies, in milliseconds."""

    _samples: deque[float] = field(factory=lambda: deque(maxlen=SAMPLES))
    added: int = 0
    """Since the start."""

    def add(self, milliseconds: float) -> None:
        self.added += 1
        self._samples.append(milliseconds)

    def latest(self, count: int) -> list[float]:
        """The last `count` of them, as far as they are kept."""
        samples = self._samples
        return [samples[place] for place in range(max(len(samples) - count, 0), len(samples))]

    def average(self) -> float:
        return sum(self._samples) / len(self._samples) if self._samples else 0.0

    def percentile(self, fraction: float) -> float:
        if not self._samples:
            return 0.0
        ordered = sorted(self._samples)
        return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


@define(eq=False)
class Statistics:
    """What the stats endpoint, the metrics and the monitors show."""

    started_ms: int
    messages: Rate = field(factory=Rate)
    operations: Rate = field(factory=Rate)
    deliveries: Rate = field(factory=Rate)
    confirmation: Latencies = field(factory=Latencies)
    """From an operation's arrival to its durable confirmation."""
    delivery: Latencies = field(factory=Latencies)
    """From the beginning of a commit to a terminal's confirmation of its last row: one at a time of each terminal."""
    commits: int = 0
    commit_failures: int = 0
    connections_refused: int = 0
    realms_refused: int = 0
    """Connections and messages that named another store's realm."""


@define(eq=False)
class Counts:
    """Since the start: for the stats endpoint and the metrics. Counted in operations/.

    cache_hits, cache_misses: look-ups of entities (operations/accept.py, entities/residents.py).
    """

    operations: int = 0
    remote: int = 0
    conflicts: int = 0
    conflicts_resolved: int = 0
    refused: int = 0
    duplicates: int = 0
    contradictions: int = 0
    beyond_rights: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
