"""Two levels of free space: where each is told, that a change is told once, and that a level does not flicker."""

from __future__ import annotations

import logging
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config.upkeep import DiskSection
from node.rights import Rights, Visitor
from node.runtime.disk_space import ENOUGH, LAST, LOW, MARGIN, MB, DiskSpace, level_of
from tests.harness import World
from tests.runtime.api_rig import ADMIN, request, served

SETTINGS = DiskSection(low_mb=2_000, last_mb=200)


def seen(space: DiskSpace, free_mb: int) -> int:
    space.note({"free_bytes": free_mb * MB, "total_bytes": 10**12})
    return space.level


@given(st.integers(0, 4_000), st.sampled_from((ENOUGH, LOW, LAST)))
def test_a_level_begins_where_it_is_set_and_ends_with_a_margin(free_mb: int, before: int) -> None:
    level = level_of(free_mb * MB, SETTINGS, before)
    if free_mb < SETTINGS.last_mb:
        assert level == LAST
    elif free_mb < SETTINGS.low_mb:
        assert level == LOW or level == before == LAST
    else:
        assert level == ENOUGH or level == LOW <= before
    if free_mb >= SETTINGS.low_mb * MARGIN:
        assert level == ENOUGH
    assert level_of(free_mb * MB, SETTINGS, level) == level


def test_no_level_is_below_nothing() -> None:
    assert level_of(0, DiskSection(low_mb=0, last_mb=0), LAST) == ENOUGH


def test_a_change_is_told_once_and_around_a_level_nothing_is(caplog: pytest.LogCaptureFixture) -> None:
    space = DiskSpace(directory=Path("x"), settings=SETTINGS)
    for free_mb in (5_000, 1_999, 2_001, 1_999, 2_100, 199, 201, 150, 219, 1_000, 5_000, 5_000):
        seen(space, free_mb)
    levels = [(one.levelno, one.message.rpartition(": ")[2]) for one in caplog.records]
    assert levels == [
        (logging.WARNING, "low"),
        (logging.ERROR, "last"),
        (logging.WARNING, "low"),
        (logging.WARNING, "enough"),
    ]


def test_a_disk_that_cannot_be_asked_changes_nothing() -> None:
    space = DiskSpace(directory=Path("x"), settings=SETTINGS)
    seen(space, 100)
    space.note({})
    assert (space.level, space.free_bytes) == (LAST, 100 * MB)


@pytest.mark.parametrize(
    ("free_mb", "status", "said", "ready"),
    [
        (5_000, 200, {}, 1.0),
        (1_999, 200, {"disk": "low", "free_bytes": 1_999 * MB}, 1.0),
        (199, 503, {"reason": "199 MB are left on the disk"}, 0.0),
    ],
)
async def test_what_is_ready_and_what_is_measured_say_it(
    free_mb: int, status: int, said: dict[str, object], ready: float, tmp_path: Path
) -> None:
    world = World(tmp_path / "node")
    world.close()
    async with served(world) as node:
        seen(node.api._doctor.space, free_mb)
        answer = await node.api.answer(request("/readyz"), ADMIN)
        stranger = await node.api.answer(request("/readyz"), Visitor(Rights(), None))
        text = await node.api.answer(request("/metrics"), ADMIN)
    for one in (answer, stranger, text):
        assert isinstance(one.body, bytes)
    assert (answer.status, stranger.status) == (status, status)
    told = orjson.loads(answer.body)
    assert {name: told.get(name) for name in ("disk", "free_bytes", "reason") if name in told} == said
    assert set(orjson.loads(stranger.body)) <= {"status", "error"}
    assert f"comanda_ready {ready}\n".encode() in text.body
    assert f"comanda_disk_free_bytes {float(free_mb * MB)}".encode()[:24] in text.body
