"""What one read brings never keeps the other connections waiting for long: a turn is bounded in frames and bytes."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from tests.patience import PATIENCE_S
from tests.runtime.net.test_websocket import pair
from tests.runtime.rig import BINARY, CLOSE, PING, PONG, deflated, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.usefixtures("_as_on_each_system")

MIB = 1_048_576


@asynccontextmanager
async def turns() -> AsyncIterator[tuple[Callable[[object], None], Counter[int]]]:
    """A callback, and how often it was called in each pass of the scheduler."""
    called: Counter[int] = Counter()
    number = 0

    async def others() -> None:
        nonlocal number
        while True:
            number += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        yield lambda _: called.update((number,)), called
        nursery.cancel_scope.cancel()


SMALL = {"pings": (frame(b"", PING), 2_000), "pongs": (frame(b"", PONG), 2_000), "texts": (frame(b""), 2_000)}
BIG = {"bombs": (frame(deflated(b"\0" * MIB), BINARY, rsv=4), 12)}


@pytest.mark.parametrize("shape", [*SMALL, *BIG])
async def test_a_read_full_of_small_or_swelling_frames_is_worked_through_in_turns(shape: str) -> None:
    sent, count = (SMALL | BIG)[shape]
    async with turns() as (worked, called), pair() as (connection, peer):
        answer = connection._event
        connection.on_text = connection.on_binary = connection.on_pong = worked
        connection._event = lambda event: (worked(event), answer(event))[0]  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.rest)
            await peer.put(sent * count, frame(b"\x03\xe8", CLOSE))
        assert sum(called.values()) == count + 1  # and the answer to the close
        # Two turns, and the answer to the close, may fall between two of the others: a pass has no fixed order.
        assert max(called.values()) <= (3 if shape in BIG else 2 * 130)


async def test_ordinary_messages_of_one_read_are_one_turn() -> None:
    """So that they are one commit."""
    async with turns() as (worked, called), pair() as (connection, peer):
        connection.on_text = worked
        await peer.put(frame(b"x" * 400) * 39)
        with trio.fail_after(PATIENCE_S):
            while sum(called.values()) < 39:  # noqa: ASYNC110
                await trio.sleep(0.001)
        assert len(called) <= 2  # the read itself may have come in two
        await peer.put(frame(b"\x03\xe8", CLOSE))
