"""Who gets the seat when several connections come under one name: the core's admission, on trio's clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import trio

from node.config.sections import Config
from node.core.admission import PROBES, Caller, Refuse
from node.core.statistics import Statistics
from node.runtime.api.origins import Origins
from node.runtime.api.tokens import Tokens
from node.runtime.endpoint import Endpoint, Holder

if TYPE_CHECKING:
    from trio.testing import MockClock

CAIXA = Caller("caixa", "pos")


class Line:
    """A connection, dead or alive: only a live one answers a ping."""

    def __init__(self, *, alive: bool) -> None:
        self.holder: Any = None
        self.alive = alive
        self.closed = 0

    def ping(self, payload: bytes) -> None:
        if self.alive:
            self.holder.ponged(payload)

    def close(self, code: int, reason: str) -> None:
        self.closed = code


class Place:
    """An endpoint with a terminal `caixa` whose connection is dead, which nobody has noticed."""

    def __init__(self, *, alive: bool = False) -> None:
        core: Any = SimpleNamespace(
            node_id="hub",
            permissions=("pos",),
            cursors=SimpleNamespace(nodes={}),
            sessions=SimpleNamespace(disconnect=lambda session: None),
            links=SimpleNamespace(unlink=lambda link: None),
            statistics=Statistics(0),
        )
        origins = Origins(frozenset(), open_to_this_machine=True)
        api: Any = None
        self.endpoint = Endpoint(core=core, api=api, tokens=Tokens(()), config=Config(), origins=origins)
        self.order: list[str] = []
        self.refused = 0
        self.take("first", alive=alive)

    def take(self, name: str, *, alive: bool = False) -> None:
        line: Any = Line(alive=alive)
        session: Any = None
        line.holder = Holder(line, session)
        self.endpoint._admission.take(CAIXA, line.holder)
        self.order.append(name)

    async def come(self, name: str, after_s: float, *, alive: bool = False) -> None:
        await trio.sleep(after_s)
        verdict = await self.endpoint._verdict(CAIXA)
        if isinstance(verdict, Refuse):
            assert verdict.code == 4004
            self.refused += 1
        else:
            if verdict.old is not None:
                self.endpoint._replace(verdict.old)
            self.take(name, alive=alive)


async def test_of_two_attempts_that_wait_for_one_dead_connection_the_later_one_gets_in(
    autojump_clock: MockClock,
) -> None:
    """The earlier one took the place and was dead by then: a node that restarted twice in a moment is no twin."""
    place = Place()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.come, "second", 0)
        nursery.start_soon(place.come, "third", 0.1)
    assert place.order == ["first", "second", "third"]


async def test_an_attempt_that_waits_gives_way_to_a_live_one(autojump_clock: MockClock) -> None:
    place = Place()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: place.come("second", 0, alive=True))
        await place.come("third", 0.1)
    assert (place.order, place.refused) == (["first", "second"], 1)


async def test_two_attempts_that_wait_for_one_live_connection_are_both_refused(autojump_clock: MockClock) -> None:
    place = Place(alive=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.come, "second", 0)
        nursery.start_soon(place.come, "third", 0)
    assert (place.order, place.refused) == (["first"], 2)


async def test_a_pong_that_comes_late_refuses_all_who_wait_for_it(autojump_clock: MockClock) -> None:
    """Their pings have one answer: the pong to the first of them is the pong to all."""
    place = Place()
    holder = place.endpoint._admission.seats["caixa"].holder
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.come, "second", 0)
        nursery.start_soon(place.come, "third", 0.1)
        await trio.sleep(0.2)
        holder.ponged(b"probe")
    assert (place.order, place.refused) == (["first"], 2)


async def test_a_crowd_under_one_name_does_not_make_anybody_wait_for_ever(autojump_clock: MockClock) -> None:
    place = Place()
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(place.come, str(number), 0.001 * number)
    assert (len(place.order), place.refused) == (1 + PROBES, 20 - PROBES)


async def test_who_dials_again_right_after_a_close_need_not_wait_for_a_pong(autojump_clock: MockClock) -> None:
    """The close may be read after the new connection is asked about."""
    place = Place()
    seat = place.endpoint._admission.seats["caixa"]
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.come, "second", 0)
        await trio.sleep(0.01)
        place.endpoint._admission.leave(seat)
        seat.holder.ended()
    assert place.order == ["first", "second"]
    assert trio.current_time() - began < 0.02
