"""Who gets a place when several connections come under one name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio

from node.config.sections import Config
from node.errors import AlreadyConnected
from node.runtime.api.origins import Origins
from node.runtime.api.tokens import Tokens
from node.runtime.terminals import PROBES, Endpoint, Terminal

if TYPE_CHECKING:
    from trio.testing import MockClock


class Line:
    """A connection, dead or alive: only a live one answers a ping."""

    def __init__(self) -> None:
        self.terminal: Any = None
        self.alive = False
        self.closed = 0

    def ping(self, payload: bytes) -> None:
        if self.alive:
            self.terminal.answered.set()

    def close(self, code: int, reason: str) -> None:
        self.closed = code


class Place:
    """An endpoint with a terminal `caixa` whose connection is dead, which nobody has noticed."""

    def __init__(self) -> None:
        core = SimpleNamespace(node_id="hub", disconnect=lambda session: None, unlink=lambda link: None)
        origins = Origins(frozenset(), open_to_this_machine=True)
        self.endpoint = Endpoint(core, None, Tokens(()), Config(), origins)  # type: ignore[arg-type]
        self.order: list[str] = []
        self.take("first")

    def take(self, name: str, *, alive: bool = False) -> None:
        line = Line()
        line.alive = alive
        line.terminal = self.endpoint.terminals["caixa"] = Terminal(line, None)  # type: ignore[arg-type]
        self.order.append(name)

    async def come(self, name: str, after_s: float, *, alive: bool = False) -> None:
        await trio.sleep(after_s)
        await self.endpoint._make_room("caixa", ("", 0))
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
        with pytest.raises(AlreadyConnected):
            await place.come("third", 0.1)
    assert place.order == ["first", "second"]


async def test_a_crowd_under_one_name_does_not_make_anybody_wait_for_ever(autojump_clock: MockClock) -> None:
    place = Place()
    refused = 0

    async def come(number: int) -> None:
        nonlocal refused
        try:
            await place.come(str(number), 0.001 * number)
        except AlreadyConnected:
            refused += 1

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(come, number)
    assert (len(place.order), refused) == (1 + PROBES, 20 - PROBES)
