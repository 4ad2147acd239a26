"""The core's ports with a guard: what comes back from them later is no concern of the program around the core.

A callback that fails is noted as a fault and ends there. Whoever waited for it sees to its own waiting: a session, a
link and a delivery end their connection; this file only makes sure that the node goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve, field

from crdt.classes import define
from node.core.faults import Faults
from node.core.ports import Disk, Surroundings, Timer, Unreadable

if TYPE_CHECKING:
    from storage.sqlite.reader import Reader

T = TypeVar("T")


@define(eq=False)
class GuardedDisk(Disk):
    """A disk whose answers cannot raise in the program that brings them."""

    disk: Disk
    faults: Faults
    wake_writer: Callable[[], None] = field(init=False)  # called for each operation

    def __attrs_post_init__(self) -> None:
        self.wake_writer = self.disk.wake_writer

    @property
    def reader(self) -> Reader:  # type: ignore[override]  # the other one's, whatever that is by now
        return self.disk.reader

    @property
    def trouble(self) -> str | None:
        return self.disk.trouble

    @property
    def read_failures(self) -> int:
        return self.disk.read_failures

    @property
    def wal_bytes(self) -> int:
        return self.disk.wal_bytes

    def start(
        self,
        read: Callable[..., T],
        *arguments: object,
        done: Callable[[T | Unreadable], None],
        urgent: bool = False,
    ) -> None:
        def answered(found: T | Unreadable) -> None:
            self.faults.guard("what was read from the disk", lambda: done(found))

        self.disk.start(read, *arguments, done=answered, urgent=urgent)


@define(eq=False)
class GuardedTimer(Timer):
    """A timer whose actions cannot raise."""

    timer: Timer
    faults: Faults

    def call_later(self, delay_ms: int, action: Callable[[], None]) -> None:
        def guarded() -> None:
            self.faults.guard("what was to be done later", action)

        self.timer.call_later(delay_ms, guarded)


def guarded(around: Surroundings, faults: Faults) -> Surroundings:
    """The same surroundings behind a guard. A fault that tears memory wakes the writer."""
    faults.wake = around.disk.wake_writer
    return evolve(around, disk=GuardedDisk(around.disk, faults), timer=GuardedTimer(around.timer, faults))
