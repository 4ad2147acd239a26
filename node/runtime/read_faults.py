"""What could not be read from the disk, or put in its place there: told while it lasts, and tried again each second.

A failed read costs what asked for it. Here it is remembered, so that `/readyz` says so until the same read succeeds.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import field

from crdt.classes import define
from storage.sqlite.database import Interrupted, StorageError, Unstorable

T = TypeVar("T")

logger = logging.getLogger("comanda.disk")

REMEMBERED = 16
"""Failing reads that are tried again; of more, the first ones."""


@define(eq=False)
class Failing:
    """A read that fails.

    reason: what was said the last time.
    run: calls a function on the thread that reads so.
    """

    read: Callable[..., object]
    arguments: tuple[object, ...]
    reason: str
    run: Callable[..., Awaitable[object]]


@define(eq=False)
class ReadFaults:
    """What fails at the moment.

    reads: how many reads failed since the start.
    upkeep: why the WAL cannot be moved into the database file; None where it can.
    """

    reads: int = 0
    upkeep: str | None = None
    _failing: list[Failing] = field(factory=list)

    @property
    def said(self) -> str | None:
        """Why something still fails; None where nothing does."""
        return self._failing[0].reason if self._failing else self.upkeep

    def failed(
        self,
        read: Callable[..., object],
        arguments: tuple[object, ...],
        error: StorageError,
        run: Callable[..., Awaitable[object]],
    ) -> None:
        """A read failed, twice in a row. run: calls a function on the thread that reads so."""
        self.reads += 1
        if any((f.read, f.arguments) == (read, arguments) for f in self._failing):
            return
        logger.error("a read failed: %(reason)s", {"reason": error})
        if len(self._failing) < REMEMBERED:
            self._failing.append(Failing(read, arguments, str(error), run))

    async def tried_twice(
        self, first: Awaitable[T], run: Callable[..., Awaitable[T]], read: Callable[..., T], *arguments: object
    ) -> T:
        """What a read returns; once more where the disk fails. Raises StorageError.

        first: the first try. run: calls a function on the thread that reads so.
        """
        try:
            return await first
        except (Unstorable, Interrupted):  # it lies with who asks, and not with the disk
            raise
        except StorageError:
            pass  # some pass: a cable, a controller that was reset
        try:
            return await run(read, *arguments)
        except StorageError as error:
            self.failed(read, arguments, error, run)
            raise

    async def try_again(self) -> None:
        """Do what failed once more."""
        for failing in list(self._failing):
            try:
                await failing.run(failing.read, *failing.arguments)
            except StorageError as error:
                failing.reason = str(error)
            else:
                self._failing.remove(failing)
                if not self._failing:
                    logger.warning("what could not be read can be read again")

    def kept(self, error: StorageError | None) -> None:
        """Whether moving the log into the database file worked."""
        if error is not None and self.upkeep is None:
            logger.error("the log stays in the WAL, which grows: %(reason)s", {"reason": error})
        elif error is None and self.upkeep is not None:
            logger.warning("the log moves into the database file again")
        self.upkeep = None if error is None else str(error)
