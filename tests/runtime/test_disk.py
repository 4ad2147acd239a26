"""The storage threads when the disk fails in between: the node's own upkeep ends nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import trio
import trio.lowlevel

from node.core.ports import Health, Unreadable
from node.runtime import disk as writer
from node.runtime.disk import TrioDisk
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from tests.patience import PATIENCE_S
from tests.storage.rows import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


class Broken:
    """A store, and a reader, whose calls fail as often as they are told to."""

    def __init__(self) -> None:
        self.failures = 0
        self.calls = 0

    def _call(self, *_: object) -> str:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise StorageError("the disk fails")
        return "found"

    checkpoint = probe = fetch = row_hash = _call
    wal_bytes = 0

    def close(self) -> None:
        return None


class Failed:
    """A core whose one commit failed."""

    def __init__(self) -> None:
        self.health = Health(ok=False)

    def still_failing(self, reason: str) -> None:
        self.health.failure = reason


async def with_disk(use: Callable[[TrioDisk, Broken], Any]) -> None:
    broken = Broken()
    async with trio.open_nursery() as nursery:
        disk = TrioDisk(nursery, broken, broken)  # type: ignore[arg-type]
        await use(disk, broken)
        await disk.stop()


async def test_a_checkpoint_that_fails_is_said_until_one_works() -> None:
    async def use(disk: TrioDisk, broken: Broken) -> None:
        broken.failures = 1
        await disk.checkpoint()
        assert disk.trouble == "the disk fails"
        await disk.checkpoint()
        assert disk.trouble is None

    await with_disk(use)


async def test_a_read_is_tried_twice_answered_and_tried_again_until_it_works() -> None:
    async def use(disk: TrioDisk, broken: Broken) -> None:
        answers: list[object] = []
        broken.failures = 1
        disk.start(broken.fetch, done=answers.append)
        while not answers:
            await trio.lowlevel.checkpoint()
        assert answers.pop() == "found"
        assert disk.trouble is None
        broken.failures = 3
        disk.row_hash(7, answers.append)
        while not answers:
            await trio.lowlevel.checkpoint()
        assert answers == [Unreadable("the disk fails")]
        assert disk.read_failures == 1
        await disk.read_again()
        assert disk.trouble == "the disk fails"
        await disk.read_again()
        assert disk.trouble is None

    await with_disk(use)


async def test_everybody_has_a_turn_between_the_pages_of_those_who_catch_up() -> None:
    """Many come at once, and each page takes as long to send as the node has for everybody else."""

    async def use(disk: TrioDisk, _: Broken) -> None:
        turns, pages = 0, list[int]()
        for number in range(20):
            disk.start(pow, number, 2, done=lambda _: pages.append(turns))
        with trio.fail_after(PATIENCE_S):
            while len(pages) < 20:
                turns += 1
                await trio.lowlevel.checkpoint()
        assert len(set(pages)) == 20

    await with_disk(use)


async def test_a_recovery_that_cannot_read_what_was_committed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RECOVERY_MS", 0)

    async def use(disk: TrioDisk, broken: Broken) -> None:
        core: Any = Failed()
        attempts = []

        def recover() -> None:
            attempts.append(core.health.failure)
            if len(attempts) < 3:
                raise StorageError(f"unreadable {len(attempts)}")

        broken.failures = 1
        await disk._until_writable(core, recover)
        assert attempts == ["the disk fails", "unreadable 1", "unreadable 2"]

    await with_disk(use)


async def test_a_fault_where_a_failed_commit_is_told_does_not_end_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RECOVERY_MS", 0)

    class Faulty(Failed):
        lost_to: Exception | None = None

        def take_group(self) -> None:
            raise StorageError("the disk fails")

        def unstorable(self, error: Exception) -> str:
            raise KeyError("what nobody foresaw")

        def lost(self, error: Exception) -> None:
            self.lost_to = error

    async def use(disk: TrioDisk, _: Broken) -> None:
        core: Any = Faulty()
        recovered = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.run, core, recovered.set)
            disk.wake_writer()
            await recovered.wait()
            nursery.cancel_scope.cancel()
        assert isinstance(core.lost_to, KeyError)

    await with_disk(use)


async def test_who_reads_the_database_from_outside_and_does_not_end_shows_in_the_wal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "WAL_LARGE", 2**20)
    store = open_store(tmp_path / "node")
    reader = Reader(store.path)

    async def writes(disk: TrioDisk, rounds: int) -> None:
        for number in range(rounds):
            store.set_meta({"large": f"{number}" * 2**17})
            await disk.checkpoint()

    async with trio.open_nursery() as nursery:
        disk = TrioDisk(nursery, store, reader)
        with closing(sqlite3.connect(store.path, isolation_level=None)) as outside:
            await writes(disk, 20)
            assert disk.wal_bytes < 2**20
            outside.execute("BEGIN")
            outside.execute("SELECT count(*) FROM meta").fetchall()
            await writes(disk, 20)
            assert disk.wal_bytes > 2**20
        said = [record for record in caplog.records if "does not end" in record.getMessage()]
        assert 1 <= len(said) < 5, "it is said as it doubles"
        await disk.stop()
