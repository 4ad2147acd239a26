"""What a node archives by itself: when, how much, and that nothing goes which no sound archive holds."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config.upkeep import RetentionSection
from node.runtime import retention as module
from node.runtime.retention import DAY_MS, LOOK_MS, RETRY_MS, WINDOW_H, Retention, night_of
from storage.audit import archive_file
from storage.audit.archive_file import check_archive, read_archive
from storage.records import FollowerRow
from tests.harness import Client, World
from tests.runtime.api_rig import ADMIN, Served, request, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOUR_MS = 3_600_000
ZONES = ("UTC", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe", "Europe/Berlin")


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the disk of the machine that runs the tests had room."""
    monkeypatch.setattr(module, "SPARE_BYTES", 0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three orders: of 50 days ago, of 10 days ago and of today. It is four o'clock at night, in UTC."""
    world = World(tmp_path / "node")
    world.wall_ms += 18 * HOUR_MS
    ana = Client(world, "ana").connect()
    for days in (40, 10, 0):
        ana.do("orders", f"mesa-{days}", "CREATE", {"note": "x"})
        world.advance(days * DAY_MS)
    world.close()
    return world


@pytest.fixture
async def node(world: World) -> AsyncIterator[Served]:
    async with served(world) as node:
        yield node


def retention(node: Served) -> Retention:
    return node.api._doctor.retention


def archives(world: World) -> list[Path]:
    folder = world.directory / "archives"
    return sorted(folder.glob("*.jsonl.gz")) if folder.exists() else []


def rows_left(world: World) -> list[int]:
    with closing(sqlite3.connect(world.directory / "comanda.db")) as database:
        return [seq for (seq,) in database.execute("SELECT seq FROM log ORDER BY seq")]


async def test_what_is_older_goes_once_a_night_into_an_archive_that_holds_it(node: Served, world: World) -> None:
    before = rows_left(world)
    assert await retention(node).step() == LOOK_MS
    (file,) = archives(world)
    with read_archive(file) as (header, rows):
        gone = [row.seq for row in rows]
    assert check_archive(file) == header
    assert [*gone, *rows_left(world)] == before
    assert len(gone) == 1
    assert retention(node).archiver.last_ms == world.wall_ms
    (act,) = node.core.replica.log.group.rows
    assert act.user_id == "[retention]"
    assert b"archives/" in act.changes
    await retention(node).step()
    assert archives(world) == [file]


async def test_the_next_night_looks_again_and_nothing_old_is_nothing_said(
    node: Served, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await retention(node).step()
    said = len(caplog.records)
    world.wall_ms += DAY_MS
    await retention(node).step()
    assert len(caplog.records) == said
    world.wall_ms += 20 * DAY_MS
    await retention(node).step()
    assert len(archives(world)) == 2
    assert len(caplog.records) > said


async def test_by_day_nothing_goes(node: Served, world: World) -> None:
    before = rows_left(world)
    for hour in range(WINDOW_H, 24):
        world.wall_ms += HOUR_MS * (WINDOW_H if hour == WINDOW_H else 1)
        assert await retention(node).step() == LOOK_MS
    assert rows_left(world) == before


def _row_lost(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    lines = archive_file._lines

    def fewer(*arguments: object) -> object:
        for number, line in enumerate(lines(*arguments)):  # type: ignore[arg-type]
            if number != 1:
                yield line

    monkeypatch.setattr(archive_file, "_lines", fewer)


def _row_changed(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    lines = archive_file._lines

    def others(*arguments: object) -> object:
        for line in lines(*arguments):  # type: ignore[arg-type]
            yield line.replace(b"mesa-40", b"mesa-41")

    monkeypatch.setattr(archive_file, "_lines", others)


def _disk_full(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archive_file.os, "fsync", full)


def _folder_is_a_file(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    (world.directory / "archives").write_text("not a folder")


def _log_edited(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    with closing(sqlite3.connect(world.directory / "comanda.db")) as database, database:
        database.execute("UPDATE log SET user_id = 'somebody' WHERE seq = 1")


def _fault_of_ours(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(archive_file, "check_archive", broken)


@pytest.mark.parametrize(
    "harm", [_row_lost, _row_changed, _disk_full, _folder_is_a_file, _log_edited, _fault_of_ours]
)
async def test_where_the_archive_cannot_be_proven_no_row_goes_and_it_is_said_everywhere(
    harm: object,
    node: Served,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = rows_left(world)
    with monkeypatch.context() as patched:
        harm(patched, world)  # type: ignore[operator]
        assert [await retention(node).step(), await retention(node).step()] == [RETRY_MS, RETRY_MS]
    assert rows_left(world) == before
    assert archives(world) == []
    assert len([one for one in caplog.records if "stays" in one.message]) == 1  # once, though it failed twice
    answer = await node.api.answer(request("/api/v1/doctor"), ADMIN)
    assert isinstance(answer.body, bytes)
    assert b'"archive_failed"' in answer.body
    text = await node.api.answer(request("/metrics"), ADMIN)
    assert isinstance(text.body, bytes)
    assert b"comanda_archive_failures_total 2.0" in text.body
    assert b"comanda_archive_timestamp_seconds" not in text.body


async def test_once_it_can_be_proven_it_goes(
    node: Served, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        _row_lost(patched, world)
        await retention(node).step()
    await retention(node).step()
    assert len(archives(world)) == 1
    assert retention(node).wrong is None
    assert "can be archived again" in caplog.text


async def test_what_a_linked_node_has_not_confirmed_stays_and_the_doctor_names_the_node(
    node: Served, world: World
) -> None:
    core, before = node.core, rows_left(world)
    core.cursors.nodes["till"] = FollowerRow("till", core.links.epoch, (0, 0, 0, 0), world.wall_ms)
    await retention(node).step()
    assert rows_left(world) == before
    report = await node.api._doctor.examine()
    (found,) = [one for one in report["findings"] if one["code"].startswith("archive")]
    assert (found["code"], found["about"]) == ("archive_held", "till")


async def test_an_archive_does_not_fill_the_disk(node: Served, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARE_BYTES", 2**62)
    before = rows_left(world)
    assert await retention(node).step() == RETRY_MS
    assert "too little room" in str(retention(node).wrong)
    assert rows_left(world) == before
    await node.api.answer(request("/api/v1/archive", {"until": ["1"]}), ADMIN)  # who asks for it may have all of it
    assert len(archives(world)) == 1


@given(st.integers(0, 4_000_000_000), st.integers(0, 23), st.sampled_from(ZONES))
def test_a_night_begins_at_the_hour_of_the_zone_and_is_one(at_s: int, hour: int, zone: str) -> None:
    where = ZoneInfo(zone)
    local = datetime.fromtimestamp(at_s, UTC).astimezone(where).replace(tzinfo=None)
    night = night_of(at_s * 1000, hour, where)
    begins = local.replace(hour=hour, minute=0, second=0) - timedelta(days=local.hour < hour)
    inside = local < begins + timedelta(hours=WINDOW_H)
    assert night == (begins.date() if inside else None)


def test_nothing_is_archived_unless_it_is_asked_for() -> None:
    assert RetentionSection().keep_days == 0
