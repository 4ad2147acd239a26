"""Terminals that do not confirm are pinged a few at a time, however many there are, and each one in its turn."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from node.core.delivery.delivery import PING_INTERVAL_MS
from node.core.log.view import PINGS
from tests.harness import Client, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 3 * PINGS
TURNS = MANY // PINGS


class Room:
    """A writer, and many screens that confirm nothing and answer pings."""

    def __init__(self, world: World, count: int) -> None:
        self.world = world
        self.writer = Client(world, "pos-1").connect()
        self.screens = [Client(world, f"kds-{n}", "kds", confirms=False).connect() for n in range(count)]
        self.pings: Counter[str] = Counter()
        for _ in range(TURNS + 1):
            self.turn()
        self.pings.clear()

    def turn(self) -> int:
        """One turn of the clock, and what it and the screens do. Returns how many pings there were."""
        before = self.pings.total()
        self.world.wall_ms += PING_INTERVAL_MS
        self.world.mono_ms += PING_INTERVAL_MS
        self.world.settle()
        for screen in self.screens:
            self.pings[screen.name] += sum(isinstance(frame, tuple) for frame in screen.connection.frames)
            screen.receive()
        self.writer.receive()
        return self.pings.total() - before

    def write(self) -> None:
        self.writer.write("orders", "mesa-1", "UPDATE", {"note": f"n{next(self.writer.numbers)}"})

    def under_way(self) -> int:
        return sum(screen.session.delivery.window.under_way > 0 for screen in self.screens if screen.session)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_a_row_to_few_is_asked_for_at_once(world: World) -> None:
    room = Room(world, PINGS - 1)
    room.write()
    assert room.turn() == PINGS - 1
    assert not room.under_way()


def test_a_row_to_many_is_asked_for_a_few_at_a_time(world: World) -> None:
    room = Room(world, MANY)
    room.write()
    turns = [room.turn() for _ in range(TURNS + 1)]
    assert max(turns) <= 2 * PINGS  # those at once, and those of the turn
    assert sum(turns) == MANY
    assert not room.under_way()


def test_who_writes_is_asked_before_many_screens_and_each_screen_in_its_turn(world: World) -> None:
    """What it writes next is a successor of what it read only if its pong is back by then."""
    room = Room(world, MANY)
    silent = Client(world, "pos-2", confirms=False).connect()
    room.screens.append(silent)
    silent.write("orders", "mesa-2", "CREATE", {"note": "n"})
    for _ in range(TURNS + 1):
        room.turn()
    room.pings.clear()
    for _ in range(6 * TURNS):
        room.write()
        room.turn()
        room.turn()
        assert silent.session is not None
        assert not silent.session.delivery.window.under_way
    assert min(room.pings[screen.name] for screen in room.screens) >= 4


def test_each_has_its_turn_while_rows_keep_coming(world: World) -> None:
    room = Room(world, MANY)
    for _ in range(6 * TURNS):
        room.write()
        assert room.turn() <= 2 * PINGS
    often = [room.pings[screen.name] for screen in room.screens]
    assert min(often) >= 4
    assert max(often) <= 2 * min(often) + 2


def test_the_clock_asks_no_more_of_those_that_leave_rows_unconfirmed(world: World) -> None:
    room = Room(world, MANY)
    for screen in room.screens:
        screen.pongs = False
    room.write()
    assert room.turn() + room.turn() <= 3 * PINGS
    for _ in range(TURNS):
        world.advance(1_000)
    for screen in room.screens:
        screen.pongs = True
    for _ in range(TURNS):
        room.turn()
    assert room.pings.total() == MANY
