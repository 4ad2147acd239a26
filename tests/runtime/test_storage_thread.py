"""What runs calls for trio: in order, and a stopped one answers at once, since whoever waits cannot be cancelled."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from node.runtime.storage_thread import Pool, PooledLane, Pools, StorageThread
from storage.sqlite.database import StorageError
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.runtime.storage_thread import Lane


@contextmanager
def own() -> Iterator[Lane]:
    yield StorageThread("under-test")


@contextmanager
def pooled() -> Iterator[Lane]:
    pools = Pools()
    yield pools.lane("under-test")
    pools.stop()


@pytest.mark.parametrize("kind", [own, pooled])
async def test_what_is_asked_after_the_end_is_refused(kind: object) -> None:
    assert callable(kind)
    with kind() as thread:
        assert await thread.run(len, "abc") == 3
        before = thread.ask(len, "abcd")
        thread.stop()
        with trio.fail_after(PATIENCE_S):
            assert await before.wait() == 4
            with pytest.raises(StorageError, match="stopping"):
                await thread.run(len, "abc")
            with pytest.raises(StorageError, match="stopping"):
                await thread.ask(len, "abc").wait()


@pytest.mark.parametrize("kind", [own, pooled])
async def test_urgent_calls_overtake_the_others_that_wait(kind: object) -> None:
    assert callable(kind)
    go_on, said = threading.Event(), list[str]()
    with kind() as thread, trio.fail_after(PATIENCE_S):
        answers = [thread.ask(go_on.wait, PATIENCE_S)]
        for name, urgent in (("page 1", False), ("page 2", False), ("entity 1", True), ("entity 2", True)):
            answers.append(thread.ask(said.append, name, urgent=urgent))
        go_on.set()
        for answer in answers:
            await answer.wait()
        thread.stop()
    assert said == ["entity 1", "entity 2", "page 1", "page 2"]


async def test_lanes_of_a_pool_keep_their_order_and_hold_up_nobody() -> None:
    """Five lanes, two threads: one lane's call waits for the last call of all the others."""
    pool = Pool("under-test", count=2)
    slow, *others = [PooledLane(pool) for _ in range(5)]
    said: list[list[int]] = [[] for _ in others]
    busy = [threading.Lock() for _ in others]
    go_on = threading.Event()

    def note(lane: int, number: int) -> None:
        assert busy[lane].acquire(blocking=False), "two calls of a lane run at once"
        said[lane].append(number)
        busy[lane].release()

    held = slow.ask(go_on.wait, PATIENCE_S)
    with trio.fail_after(PATIENCE_S):
        answers = [one.ask(note, lane, number) for number in range(50) for lane, one in enumerate(others)]
        for answer in answers:
            await answer.wait()
        go_on.set()
        assert await held.wait()
    assert said == [list(range(50))] * len(others)
    pool.stop()
