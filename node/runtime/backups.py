"""Copies the database by the clock, as `backup_plan.py` says. What goes wrong costs that copy, and is said."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, TypeVar

import trio
from attrs import field

from crdt.classes import define
from node.config.upkeep import BackupSection
from node.core.core import Core
from node.runtime.backup_plan import RETRY_MS, SETTLED_MS, copies, due_in_ms, lacks_room, name_of, surplus
from storage.sqlite.backup import back_up
from storage.sqlite.database import StorageError
from storage.system import Growing, flush_names

T = TypeVar("T")

logger = logging.getLogger("comanda.backup")

NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY

OWN = ".backup-"
"""How a folder in the data directory begins in which a copy for elsewhere is made."""

LOOK_MS = 60_000
"""Longest time between two looks at the folder: the machine may sleep, and its clock be set."""


@define(eq=False, kw_only=True)
class Backups:
    """The copies that a node makes by itself.

    database: what is copied.
    sign: signs what waits for it (`storage/signer.py`), as a copy may outlive the key.
    last_ms: when the newest copy was made, Unix milliseconds; None without one.
    wrong: folder -> why nothing can be put there.
    """

    core: Core
    database: Path
    settings: BackupSection
    sign: Callable[[], Awaitable[None]]
    last_ms: int | None = field(default=None, init=False)
    failures: int = field(default=0, init=False)
    wrong: dict[str, str] = field(factory=dict, init=False)

    @property
    def folder(self) -> Path:
        return self.database.parent / self.settings.folder

    @property
    def every_ms(self) -> float:
        return self.settings.every_h * 3_600_000

    def facts(self) -> dict[str, object]:
        """For `node/findings.py`."""
        return {"every_ms": self.every_ms, "last_ms": self.last_ms, "wrong": self.wrong}

    async def run(self) -> None:
        """Until cancelled."""
        await trio.sleep(min(SETTLED_MS, self.every_ms) / 1000)
        while True:
            try:
                wait_ms = await self.step()
            except Exception:  # whatever a folder's name or a strange file system makes of it
                logger.exception("making a backup failed")
                wait_ms = RETRY_MS
            await trio.sleep(wait_ms / 1000)

    async def step(self) -> float:
        """Make a copy if one is due. Returns after how many milliseconds to look again."""
        now_ms = self.core.clock().wall_ms
        found = copies(await self._in_thread(_names, self.folder))
        self.last_ms = max((copy.made_ms for copy in found if copy.made_ms <= now_ms), default=None)
        wait_ms = due_in_ms(found, self.every_ms, now_ms)
        if wait_ms > 0:
            return min(wait_ms, LOOK_MS)
        name = name_of(self.core.replica.log.committed, now_ms)
        if not await self._put(self.folder, name, lambda: _copy(self.database, self.folder / name)):
            return min(RETRY_MS, max(self.every_ms, 1))
        self.last_ms = now_ms
        self.core.note_act("", "[backup]", "backup", {"file": f"{self.settings.folder}/{name}"})
        if self.settings.second_folder is not None:
            second = Path(self.settings.second_folder)
            await self._put(second, name, lambda: _copy_again(self.folder / name, second / name))
        return min(self.every_ms, LOOK_MS)

    async def _put(self, folder: Path, name: str, copy: Callable[[], None]) -> bool:
        """Make a copy, and remove those that are too many there. Returns whether it was made."""
        now_ms = self.core.clock().wall_ms
        try:
            await self.sign()
            await self._in_thread(copy)
            await self._in_thread(_remove_surplus, folder, self.settings.keep, now_ms)
        except (StorageError, OSError) as error:
            self.failures += 1
            if self.wrong.get(str(folder)) != str(error):
                logger.error("no backup in %(folder)s: %(reason)s; trying again", {"folder": folder, "reason": error})
            self.wrong[str(folder)] = str(error)
            return False
        if self.wrong.pop(str(folder), None) is not None:
            logger.warning("backups in %(folder)s can be made again", {"folder": folder})
        logger.info("backup %(file)s", {"file": folder / name})
        return True

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """A disk or a network share that does not answer holds up neither the node nor its stop."""
        return await trio.to_thread.run_sync(lambda: function(*arguments), abandon_on_cancel=True)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # making the copy will say why


def _copy(database: Path, target: Path) -> None:
    own = database.parent
    target.parent.mkdir(mode=0o700, exist_ok=True)
    _remove_partial(target.parent)
    for left in own.glob(f"{OWN}*"):
        shutil.rmtree(left, ignore_errors=True)
    _need_room(database, target.parent)
    if target.parent.resolve().is_relative_to(own.resolve()):
        back_up(database, target)
        return
    # SQLite opens a copy by its name, more than once; where others write, the name may mean another file by then.
    _need_room(database, own)
    with TemporaryDirectory(dir=own, prefix=OWN) as folder:
        back_up(database, Path(folder) / target.name)
        _copy_again(Path(folder) / target.name, target)


class _Growing:
    """What `shutil` copies into."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._growing = file, Growing(file.fileno())

    def write(self, piece: bytes) -> int:
        written = self._file.write(piece)
        self._growing.flush()
        return written


def _copy_again(copy: Path, target: Path) -> None:
    """The folder of `target` is not made: where a stick is not plugged in, the copy would fill the disk beneath."""
    _remove_partial(target.parent)
    _need_room(copy, target.parent)
    partial = target.with_name(f".{target.name}.partial")
    try:
        # By its descriptor: in a folder that others write to, its name may mean another file a moment later.
        with copy.open("rb") as read, os.fdopen(os.open(partial, NEW, 0o600), "wb") as written:
            shutil.copyfileobj(read, _Growing(written))
            written.flush()
            os.fsync(written.fileno())
        partial.replace(target)
        flush_names(target.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _remove_partial(folder: Path) -> None:
    """What copies left that were broken off, by a power cut for example."""
    for path in folder.glob(".auto-*.db.partial"):
        path.unlink(missing_ok=True)


def _need_room(source: Path, folder: Path) -> None:
    if lacks_room(shutil.disk_usage(folder).free, source.stat().st_size):
        raise StorageError(f"{folder}: there is too little room left")


def _remove_surplus(folder: Path, keep: int, now_ms: int) -> None:
    for name in surplus(copies(os.listdir(folder)), keep, now_ms):
        (folder / name).unlink(missing_ok=True)
