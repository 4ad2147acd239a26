"""A realm looks at its clock each turn while anything happens in it, and seldom while nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from node.runtime.turns import AWAKE_S, BRIEF_S, REST_S, Turns

if TYPE_CHECKING:
    from trio.testing import MockClock

TURN_S = 0.05


class Looked:
    """When the clock was looked at. busy: whether terminals have rows to answer."""

    def __init__(self, *, busy: bool) -> None:
        self.turns, self.at, self.busy = Turns(), list[float](), busy

    async def run(self) -> None:
        while True:
            await self.turns.next(TURN_S, lambda: self.busy)
            self.at.append(trio.current_time())

    def within(self, begin_s: float, end_s: float) -> int:
        return sum(begin_s < at <= end_s for at in self.at)


LASTS = pytest.mark.parametrize(("busy", "awake_s"), [(True, AWAKE_S), (False, BRIEF_S)])


@LASTS
async def test_it_rests_while_nothing_happens_and_wakes_at_once(
    busy: bool, awake_s: float, autojump_clock: MockClock
) -> None:
    looked = Looked(busy=busy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looked.run)
        began = trio.current_time()
        await trio.sleep(10.2)
        assert looked.within(began, began + 10.2) <= 10.2 / REST_S
        stirred = trio.current_time()
        looked.turns.stir()
        await trio.sleep(awake_s)
        assert looked.within(stirred - 1e-6, stirred + TURN_S) >= 1
        assert looked.within(stirred, stirred + awake_s) >= 0.8 * awake_s / TURN_S
        await trio.sleep(1)
        assert looked.within(stirred, trio.current_time()) <= 1.1 * awake_s / TURN_S + 1 / REST_S + 1
        quiet = trio.current_time()
        await trio.sleep(10)
        assert looked.within(quiet, quiet + 10) <= 10 / REST_S
        nursery.cancel_scope.cancel()


@LASTS
async def test_what_happens_between_two_turns_keeps_it_awake(
    busy: bool, awake_s: float, autojump_clock: MockClock
) -> None:
    looked = Looked(busy=busy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looked.run)
        began = trio.current_time()
        for _ in range(20):
            looked.turns.stir()
            await trio.sleep(awake_s / 2)
        assert looked.within(began, trio.current_time()) >= 0.8 * 20 * awake_s / 2 / TURN_S
        nursery.cancel_scope.cancel()
