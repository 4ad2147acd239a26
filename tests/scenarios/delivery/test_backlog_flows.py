"""Who comes back is kept busy until all is there: nothing waits for the clock, nor for a window to be read whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.core.delivery.delivery import OUTBOX_HIGH, PAGE
from tests.harness import Client, World, settle_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WINDOW = 2 * PAGE
ROWS = WINDOW + PAGE
LARGE_ROWS = 48


@pytest.fixture(params=[2 * ROWS, 8], ids=["from memory", "from the disk"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(tmp_path, window=WINDOW, ring_rows=request.param)
    yield world
    world.close()


def back(world: World, rows: int, note: str, *, confirms: bool = False) -> Client:
    """A screen that was there, left, missed orders with this note, and is here again. Its clock stands."""
    pos, screen = Client(world, "pos-1").connect(), Client(world, "kds-1", "kds", confirms=confirms).connect()
    pos.write("orders", "mesa-0", "CREATE", {"note": "n"})
    settle_all(world, [pos, screen])
    screen.disconnect()
    for number in range(rows):
        pos.write("orders", f"mesa-{number % 16}", "UPDATE", {"note": note, "number": number})
        if number % 16 == 15:
            settle_all(world, [pos])
    screen.inbox.clear()
    screen.connect()
    return screen


def read(world: World) -> None:
    """What the disk was asked for comes."""
    while world.calls:
        world.calls.popleft()()


def on_its_way(screen: Client) -> int:
    """Messages, which pings are not."""
    return sum(isinstance(frame, bytes) for frame in screen.connection.frames)


def had(screen: Client) -> int:
    return len(screen.of("data_sync"))


@pytest.mark.parametrize("confirms", [False, True], ids=["silent", "confirming"])
def test_the_next_rows_come_before_the_last_ones_are_read(world: World, confirms: bool) -> None:
    """So the node writes while the terminal reads, whatever the network takes between them."""
    screen = back(world, ROWS, "n", confirms=confirms)
    read(world)
    while had(screen) < ROWS:
        assert on_its_way(screen), f"after {had(screen)} rows nothing is on its way"
        screen.receive(1)
        read(world)


def test_who_reads_large_rows_as_fast_as_they_come_waits_for_no_turn_of_the_clock(world: World) -> None:
    """Its outbox is full long before its window is."""
    screen = back(world, LARGE_ROWS, "n" * (OUTBOX_HIGH // 8))
    read(world)
    while had(screen) < LARGE_ROWS:
        assert on_its_way(screen), f"after {had(screen)} rows nothing is on its way"
        screen.receive()
        read(world)
