"""A thread that runs calls in order, and how their results come back to trio."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

import outcome
import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


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


class StorageThread:
    """One thread that runs calls in order; the result comes back to the trio task that asked."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def ask(self, function: Callable[..., T], *arguments: object) -> Answer[T]:
        """Put a call behind those that are there already, at once; its answer can be waited for later."""
        token, answer = trio.lowlevel.current_trio_token(), Answer[T]()

        def call() -> None:
            result = outcome.capture(function, *arguments)
            token.run_sync_soon(answer.give, result)

        self._calls.put(call)
        return answer

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run `function` on the thread. Not cancellable: a commit that began is waited for."""
        token = trio.lowlevel.current_trio_token()
        task = trio.lowlevel.current_task()

        def call() -> None:
            result = outcome.capture(function, *arguments)
            token.run_sync_soon(trio.lowlevel.reschedule, task, result)

        self._calls.put(call)
        return await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)  # type: ignore[no-any-return]

    def stop(self) -> None:
        self._calls.put(None)
        self._thread.join()
