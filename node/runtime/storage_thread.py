"""Threads that run calls in order, and how their results come back to trio."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

import outcome
import trio

from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

STOPPED = "the node is stopping, and reads and writes nothing any more"

POOL_THREADS = 8
"""Threads of a pool: most of their time they wait for the disk."""


class Answer(Generic[T]):
    """What a call on a storage thread will return, or raise."""

    def __init__(self) -> None:
        self.there = trio.Event()
        self._result: outcome.Outcome[T] | None = None

    def give(self, result: outcome.Outcome[T]) -> None:
        self._result = result
        self.there.set()

    async def wait(self) -> T:
        """Not cancellable."""
        with trio.CancelScope(shield=True):
            await self.there.wait()
        assert self._result is not None
        return self._result.unwrap()


class Lane(ABC):
    """Runs calls in order, one at a time, urgent ones first; the result comes back to the trio task that asked.

    Once it is stopped, a call raises StorageError: nobody would ever answer it, and who waits cannot be cancelled.
    """

    def __init__(self) -> None:
        self._stopped = False
        self._urgent: deque[Callable[[], None]] = deque()
        self._calls: deque[Callable[[], None]] = deque()

    @abstractmethod
    def _one_more(self) -> None:
        """Have a thread run one more of the calls."""

    def _put(self, call: Callable[[], None], urgent: bool = False) -> None:
        (self._urgent if urgent else self._calls).append(call)
        self._one_more()

    def _run_next(self) -> None:
        """Called by the lane's thread, as often as a call was put."""
        (self._urgent or self._calls).popleft()()

    def ask(self, function: Callable[..., T], *arguments: object, urgent: bool = False) -> Answer[T]:
        """Put a call behind those that are there already, at once; its answer can be waited for later.

        urgent: behind those that are urgent too, and before the others.
        """
        token, answer = trio.lowlevel.current_trio_token(), Answer[T]()

        def call() -> None:
            result = outcome.capture(function, *arguments)
            token.run_sync_soon(answer.give, result)

        if self._stopped:
            answer.give(outcome.Error(StorageError(STOPPED)))
        else:
            self._put(call, urgent)
        return answer

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run `function` on the thread. Not cancellable: a commit that began is waited for."""
        if self._stopped:
            raise StorageError(STOPPED)
        token = trio.lowlevel.current_trio_token()
        task = trio.lowlevel.current_task()

        def call() -> None:
            result = outcome.capture(function, *arguments)
            token.run_sync_soon(trio.lowlevel.reschedule, task, result)

        self._put(call)
        return await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Take no more calls. Called by the trio thread, as all the others."""
        self._stopped = True


class StorageThread(Lane):
    """A lane with a thread of its own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._due: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """An item for each call that was put; False at the end."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._due.get():
            self._run_next()

    def _one_more(self) -> None:
        self._due.put(True)

    def stop(self) -> None:
        super().stop()
        self._due.put(False)
        self._thread.join()


class Pool:
    """A few threads for many lanes. A lane that has more to do waits behind the others after each call."""

    def __init__(self, name: str, count: int = POOL_THREADS) -> None:
        self.due: queue.SimpleQueue[PooledLane | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while (lane := self.due.get()) is not None:
            lane.turn()

    def stop(self) -> None:
        """Its lanes have been stopped."""
        for _ in self._threads:
            self.due.put(None)
        for thread in self._threads:
            thread.join()


class PooledLane(Lane):
    """A lane of a pool."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._turn = threading.Lock()
        self._left = 0
        """Calls that have not run. While there are any, a thread has this lane, or will."""

    def _one_more(self) -> None:
        with self._turn:
            self._left += 1
            due = self._left == 1
        if due:
            self._pool.due.put(self)

    def turn(self) -> None:
        """Run one call, on a thread of the pool."""
        self._run_next()
        with self._turn:
            self._left -= 1
            due = self._left > 0
        if due:
            self._pool.due.put(self)


class Pools:
    """A pool for each kind of thread that many realms need, made when the first one needs it."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}

    def lane(self, name: str) -> Lane:
        """A new one, among those of this name."""
        if name not in self._pools:
            self._pools[name] = Pool(name)
        return PooledLane(self._pools[name])

    def stop(self) -> None:
        for pool in self._pools.values():
            pool.stop()
