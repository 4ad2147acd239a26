"""The figures of the last hours: each point is about its own stretch of time, and only so many are kept."""

from __future__ import annotations

import pytest

from node.core.figures import HOURS, MOST, POINT_MS, Figures
from node.core.links.outages import MOST_PAST, SAID_AFTER_MS, Outages, Seen
from node.core.ports import Instant
from node.core.statistics import SAMPLES, Counts, Statistics
from tests.harness import Client, World, settle_all


class Evening:
    """Points taken each POINT_MS."""

    def __init__(self) -> None:
        self.figures, self.statistics, self.counts, self.now_ms = Figures(), Statistics(0), Counts(), 0

    def point(self, *confirmed: float, operations: int = 0, conflicts: int = 0) -> dict[str, object]:
        self.now_ms += POINT_MS
        for ms in confirmed:
            self.statistics.confirmation.add(ms)
        self.counts.operations += operations
        self.counts.conflicts += conflicts
        self.figures.take(10**12 + self.now_ms, self.now_ms, self.statistics, self.counts, 4_000, 5_000)
        return self.figures.report(0)[-1]


def test_a_point_tells_of_its_own_stretch_alone() -> None:
    evening = Evening()
    first = evening.point(1.0, 2.0, 90.0, operations=30, conflicts=2)
    assert (first["confirmation_p50_ms"], first["confirmation_p99_ms"]) == (2.0, 90.0)
    assert (first["operations"], first["conflicts"]) == (120.0, 2)
    assert (first["database_bytes"], first["memory_bytes"]) == (4_000, 5_000)
    quiet = evening.point()
    assert (quiet["confirmation_p50_ms"], quiet["confirmation_p99_ms"], quiet["delivery_p50_ms"]) == (
        None,
        None,
        None,
    )
    assert (quiet["operations"], quiet["conflicts"]) == (0.0, 0)
    assert evening.point(7.0)["confirmation_p99_ms"] == 7.0
    many = evening.point(*([1.0] * SAMPLES), *([3.0] * SAMPLES))
    assert many["confirmation_p50_ms"] == 3.0, "of more than are kept the latest"


def test_only_the_last_hours_are_kept_and_asked_for() -> None:
    evening = Evening()
    for _ in range(MOST + 10):
        evening.point()
    assert len(evening.figures.points) == MOST
    last_hour = evening.figures.report(10**12 + evening.now_ms - 3_600_000)
    assert len(last_hour) == MOST // HOURS
    assert [point["at"] for point in last_hour] == sorted({str(point["at"]) for point in last_hour})


def test_a_delivery_is_measured_where_a_terminal_confirms(world: World) -> None:
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    settle_all(world, [rui, lia])
    for number in range(3):
        rui.write("orders", "o-1", "UPDATE", {"n": number})
        world.settle()
        world.advance(40)
        lia.receive()
        world.settle()
    delivery = world.core.statistics.delivery
    assert delivery.added == 3
    assert delivery.percentile(0.5) == 40


@pytest.mark.parametrize("said", [False, True])
def test_outages_are_told_with_their_beginning_and_end(said: bool) -> None:
    outages = Outages()

    def look(ms: int, *, up: bool) -> None:
        outages.look(Instant(10**12 + ms, ms), {"hub": Seen(up)})

    look(0, up=True)
    look(1_000, up=False)
    if said:
        look(1_000 + SAID_AFTER_MS, up=False)
    (lasting,) = outages.report(0)
    assert (lasting["link"], lasting["to"]) == ("hub", None)
    look(60_000, up=True)
    (over,) = outages.report(0)
    assert over == {**lasting, "to": "2001-09-09T01:47:40.000Z"}
    assert outages.report(10**12 + 60_000) == []
    for number in range(MOST_PAST + 10):
        look(100_000 + 2 * number, up=False)
        look(100_001 + 2 * number, up=True)
    assert len(outages.report(0)) == MOST_PAST
