"""Copies that a node makes by itself: in two folders, so many, and what a broken folder costs."""

from __future__ import annotations

import logging
import shutil
import stat
from typing import TYPE_CHECKING, BinaryIO

import pytest
import trio

from node.config.upkeep import BackupSection
from node.runtime import backups as module
from node.runtime.backups import Backups
from storage.sqlite.history_reader import HistoryReader
from tests.harness import Client, World
from tests.runtime.api_rig import ADMIN, Served, request, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the disk of the machine that runs the tests had room."""
    monkeypatch.setattr(module, "lacks_room", lambda free, size: False)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "node")
    Client(world, "ana").connect().do("orders", "mesa-1", "CREATE", {"note": "x"})
    world.close()
    return world


@pytest.fixture
async def node(world: World) -> AsyncIterator[Served]:
    async with served(world) as node:
        yield node


def backups_of(node: Served, world: World, **settings: object) -> Backups:
    return Backups(
        core=node.core,
        database=world.directory / "comanda.db",
        settings=BackupSection(**settings),  # type: ignore[arg-type]
        sign=trio.lowlevel.checkpoint,
    )


async def test_copies_are_made_when_due_and_the_oldest_go_in_both_folders(
    node: Served, world: World, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "mine.db").write_text("x")
    (world.directory / "backups").mkdir()
    for folder in (world.directory / "backups", stick):
        (folder / ".auto-1-1.db.partial").write_text("of a copy that a power cut broke off")
    backups = backups_of(node, world, keep=2, second_folder=str(stick))
    for _ in range(4):
        await backups.step()
        assert await backups.step() > 0  # none is due
        world.wall_ms += 24 * HOUR_MS
    kept = sorted(path.name for path in backups.folder.iterdir())
    assert len(kept) == 2
    assert sorted(path.name for path in stick.iterdir()) == [*kept, "mine.db"]
    for path in (backups.folder / kept[-1], stick / kept[-1]):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        history = HistoryReader(path)
        assert history.reader.entity("orders", "mesa-1") is not None
        history.close()


async def test_a_second_folder_that_is_not_there_costs_nothing_else_and_is_said_once(
    node: Served, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stick = tmp_path / "stick"
    backups = backups_of(node, world, second_folder=str(stick))
    for _ in range(3):
        await backups.step()
        world.wall_ms += 24 * HOUR_MS
    assert len(list(backups.folder.iterdir())) == 3
    assert not stick.exists()
    assert list(backups.wrong) == [str(stick)]
    assert backups.failures == 3
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1
    stick.mkdir()
    await backups.step()
    assert backups.wrong == {}
    assert "can be made again" in caplog.text


async def test_a_first_folder_that_is_none_is_tried_again_and_seen_by_the_doctor(node: Served, world: World) -> None:
    (world.directory / "backups").write_text("a file")
    backups = node.api._doctor.backups
    assert 0 < await backups.step() < HOUR_MS
    answer = await node.api.answer(request("/api/v1/doctor"), ADMIN)
    assert isinstance(answer.body, bytes)
    assert b'"backup_failed"' in answer.body
    text = await node.api.answer(request("/metrics"), ADMIN)
    assert isinstance(text.body, bytes)
    assert b"comanda_backup_failures_total 1.0" in text.body
    (world.directory / "backups").unlink()
    await backups.step()
    assert backups.last_ms == world.wall_ms


async def test_a_disk_that_would_be_filled_is_left_alone(
    node: Served, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "lacks_room", lambda free, size: True)
    backups = backups_of(node, world)
    await backups.step()
    assert list(backups.folder.iterdir()) == []
    assert "too little room" in backups.wrong[str(backups.folder)]


@pytest.mark.parametrize("setting", ["folder", "second_folder"])
async def test_a_stick_on_which_somebody_lays_links_gets_the_copy_and_nothing_else_is_written(
    node: Served, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """Others may write to a stick or a share, and change what a name means while the copy is made."""
    stick, theirs = tmp_path / "stick", tmp_path / "theirs"
    stick.mkdir()
    theirs.write_text("precious")
    (stick / ".auto-1-1.db.partial").symlink_to(theirs)
    real = shutil.copyfileobj
    swaps: list[Path] = []

    def swapped(read: BinaryIO, written: BinaryIO) -> None:
        (partial,) = stick.glob(".auto-*.partial")
        partial.unlink()
        partial.symlink_to(theirs)
        swaps.append(partial)
        real(read, written)

    monkeypatch.setattr(shutil, "copyfileobj", swapped)
    backups = backups_of(node, world, **{setting: str(stick)})
    await backups.step()
    assert theirs.read_text() == "precious"
    assert len(swaps) == 1
