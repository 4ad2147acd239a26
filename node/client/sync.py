"""The synchronous twin, for scripts: the same terminal, run by trio in a thread of its own.

with connect("ws://localhost:8001", "script-1", "pos", store="script.db") as terminal:
    order = terminal.create("orders", "mesa-7", {"status": "pending"})
    print(terminal.answer(order).state)
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from node.client import terminal as under_trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from node.client.values import Event, Fields, Lock, Message, Operation

T = TypeVar("T")


class Terminal:
    """Each method is that of `node.client.terminal.Terminal`, and returns when that one does.

    timeout_s: seconds after which TimeoutError is raised; None waits for ever.
    """

    def __init__(self, terminal: under_trio.Terminal, token: trio.lowlevel.TrioToken) -> None:
        self._terminal, self._token = terminal, token
        self.terminal_id = terminal.terminal_id

    def _await(self, call: Callable[..., Awaitable[T]], *arguments: Any, timeout_s: float | None, **more: Any) -> T:
        async def within() -> T:
            with trio.fail_after(float("inf") if timeout_s is None else timeout_s):
                return await call(*arguments, **more)

        try:
            return trio.from_thread.run(within, trio_token=self._token)
        except trio.TooSlowError:
            raise TimeoutError(f"after {timeout_s} s") from None

    def _call(self, call: Callable[[], T]) -> T:
        return trio.from_thread.run_sync(call, trio_token=self._token)

    # ------------------------------------------------------------------ writing

    def create(self, entity_type: str, entity_id: str, data: Fields, **more: Any) -> Operation:
        return self.write("CREATE", entity_type, entity_id, data, **more)

    def update(self, entity_type: str, entity_id: str, data: Fields, **more: Any) -> Operation:
        return self.write("UPDATE", entity_type, entity_id, data, **more)

    def delete(self, entity_type: str, entity_id: str, **more: Any) -> Operation:
        return self.write("DELETE", entity_type, entity_id, {}, **more)

    def update_all(self, entity_type: str, updates: Mapping[str, Fields], **more: Any) -> Operation:
        return self._await(self._terminal.update_all, entity_type, updates, timeout_s=None, **more)

    def write(self, kind: str, entity_type: str, entity_id: str | None, data: Message, **more: Any) -> Operation:
        return self._await(self._terminal.write, kind, entity_type, entity_id, data, timeout_s=None, **more)

    def resolve(self, conflict_id: str, resolution: str, data: Fields | None = None) -> Operation:
        return self._await(self._terminal.resolve, conflict_id, resolution, data, timeout_s=None)

    def retry(self, operation: Operation) -> None:
        self._await(self._terminal.retry, operation, timeout_s=None)

    def answer(self, operation: Operation, *, timeout_s: float | None = None) -> Operation:
        return self._await(self._terminal.answer, operation, timeout_s=timeout_s)

    # ------------------------------------------------------------------ looking

    def entities(self, entity_type: str) -> dict[str, Fields]:
        return self._call(lambda: self._terminal.entities(entity_type))

    def entity(self, entity_type: str, entity_id: str) -> Fields | None:
        return self._call(lambda: self._terminal.entity(entity_type, entity_id))

    @property
    def unanswered(self) -> list[Operation]:
        return self._call(lambda: self._terminal.unanswered)

    @property
    def conflicts(self) -> dict[str, Message]:
        return self._call(lambda: self._terminal.conflicts)

    @property
    def connected(self) -> bool:
        return self._terminal.connected

    def contact(self, *, timeout_s: float | None = None) -> None:
        self._await(self._terminal.contact, timeout_s=timeout_s)

    def __iter__(self) -> Iterator[Event]:
        """Events, for ever."""
        self._call(self._terminal.__aiter__)
        while True:
            yield self._await(self._terminal.__anext__, timeout_s=None)

    @contextmanager
    def lock(self, entity_type: str, entity_id: str, **more: Any) -> Iterator[Lock]:
        """Hold a lock, and give it back. Raises LockRefused."""
        held = self._terminal.lock(entity_type, entity_id, **more)
        lock = self._await(held.__aenter__, timeout_s=None)
        try:
            yield lock
        finally:
            self._await(held.__aexit__, None, None, None, timeout_s=None)

    def holds(self, lock: Lock) -> bool:
        return self._call(lambda: self._terminal.holds(lock))

    def reconnect(self, token: str | None = None) -> None:
        self._call(lambda: self._terminal.reconnect(token))


@contextmanager
def connect(url: str, terminal_id: str, terminal_type: str, **options: Any) -> Iterator[Terminal]:
    """As `node.client.connect`, for a program without trio. What is raised before it works is raised here."""
    started, leave = threading.Event(), trio.Event()
    made: list[Terminal] = []
    raised: list[BaseException] = []

    async def run() -> None:
        async with under_trio.connect(url, terminal_id, terminal_type, **options) as terminal:
            made.append(Terminal(terminal, trio.lowlevel.current_trio_token()))
            started.set()
            await leave.wait()

    def thread() -> None:
        try:
            trio.run(run)
        except BaseException as error:
            raised.append(error)
        finally:
            started.set()

    worker = threading.Thread(target=thread, name=f"terminal {terminal_id}", daemon=True)
    worker.start()
    started.wait()
    if made:
        terminal = made[0]
        try:
            yield terminal
        finally:
            if worker.is_alive():
                terminal._call(leave.set)
            worker.join()
            if raised:
                raise raised[0]
    else:
        worker.join()
        raise raised[0]
