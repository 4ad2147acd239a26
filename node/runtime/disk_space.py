"""Watches the space that is left on the disk of the data directory, in two levels. It changes nothing that the node
does: what the disk takes is stored and confirmed, and what it does not take is refused (`disk.py`)."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import trio
from attrs import field

from crdt.classes import define
from node.config.upkeep import DiskSection

logger = logging.getLogger("comanda.disk")

LOOK_S = 10.0

ENOUGH, LOW, LAST = 0, 1, 2
"""The levels, as the metric `comanda_disk_level` has them."""

WORDS = {ENOUGH: "enough", LOW: "low", LAST: "last"}

MARGIN = 1.1
"""How much more than a level must be free until it is left, so that one file more or less says nothing."""

MB = 1_000_000


def level_of(free_bytes: int, settings: DiskSection, before: int) -> int:
    """At which level so much free space is. before: the level so far."""
    for level, least_mb in ((LAST, settings.last_mb), (LOW, settings.low_mb)):
        if free_bytes < least_mb * MB * (MARGIN if before >= level else 1):
            return level
    return ENOUGH


@define(eq=False, kw_only=True)
class DiskSpace:
    """What is free, and since which look that is too little. free_bytes, total_bytes: None until it could be said."""

    directory: Path
    settings: DiskSection
    free_bytes: int | None = field(default=None, init=False)
    total_bytes: int | None = field(default=None, init=False)
    level: int = field(default=ENOUGH, init=False)

    def facts(self) -> dict[str, int]:
        """For `node/findings.py`."""
        return disk_facts(self.directory, self.settings)

    @property
    def full(self) -> str | None:
        """Why the node is not ready; None above the last level."""
        return f"{(self.free_bytes or 0) // MB} MB are left on the disk" if self.level == LAST else None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.note(await trio.to_thread.run_sync(disk_of, self.directory, abandon_on_cancel=True))
            await trio.sleep(LOOK_S)

    def note(self, said: dict[str, int]) -> None:
        """One look. The log says when the level changes, and once."""
        if not said:
            return
        self.free_bytes, self.total_bytes, before = said["free_bytes"], said["total_bytes"], self.level
        self.level = level_of(self.free_bytes, self.settings, before)
        if self.level != before:
            say = logger.error if self.level == LAST else logger.warning
            say(
                "%(megabytes)d MB are left on the disk of %(folder)s: %(remedy)s",
                {"megabytes": self.free_bytes // MB, "folder": self.directory, "remedy": WORDS[self.level]},
            )


def disk_of(directory: Path) -> dict[str, int]:
    """Space where a directory is; nothing where that cannot be said."""
    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return {}
    return {"free_bytes": usage.free, "total_bytes": usage.total}


def disk_facts(directory: Path, settings: DiskSection) -> dict[str, int]:
    """The same with the two levels, in bytes, for `node/findings.py`."""
    said = disk_of(directory)
    return {**said, "low_bytes": settings.low_mb * MB, "last_bytes": settings.last_mb * MB} if said else {}
