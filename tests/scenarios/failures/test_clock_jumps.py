"""The machine's clock is set: forward to 2030, back by a day, back by a year; while running and across a restart."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from crdt import hlc
from tests.harness import START_MS, Client, World
from tests.mesh import Mesh, shown

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400_000
FAR = hlc.parse_iso("2030-01-01T00:00:00Z") // 1000


def set_clock(world: World, wall_ms: int, *, restart: bool) -> None:
    world.wall_ms = wall_ms
    if restart:
        world.crash()
    world.advance(1_000)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("back", [0, DAY // 2, DAY, 365 * DAY])
def test_versions_and_stamps_never_go_back_when_the_clock_does(world: World, back: int, restart: bool) -> None:
    ana = Client(world, "ana").connect()
    versions = []
    for n in range(6):
        if n == 3:
            set_clock(world, world.wall_ms - back, restart=restart)
            ana.connect()
        versions.append(ana.do("orders", "o", "UPDATE", {"n": n})["version"])
    accepted = [row.accepted for row in world.reader.audit()]
    assert accepted == sorted(set(accepted))
    assert versions == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_showed_2030_and_is_right_again_is_followed(world: World, restart: bool) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "o", "CREATE", {"n": 0})
    before = world.reader.audit()[-1].accepted
    set_clock(world, FAR, restart=restart)
    ana.connect()
    ana.do("orders", "o", "UPDATE", {"n": 1})
    assert hlc.millis(world.reader.audit()[-1].accepted) >= FAR
    world.advance(3_600_000)
    set_clock(world, START_MS + 3_600_000, restart=restart)
    ana.connect()
    answer = ana.do("orders", "o", "UPDATE", {"n": 2}, timestamp=None)
    last = world.reader.audit()[-1]
    assert answer["timestamp"].startswith("2026-01-15T11:0")
    assert before < last.accepted <= hlc.pack(world.wall_ms, 2**16 - 1), (
        "past all from before the jump, and no further"
    )
    assert (answer["version"], world.view("orders")["o"]["n"]) == (3, 2)


def test_an_operation_without_a_time_is_not_stamped_ahead_of_a_clock_that_was_set_back(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "o", "CREATE", {"n": 0})
    set_clock(world, world.wall_ms - 10 * DAY, restart=False)
    operation = ana.operation("orders", "o", "UPDATE", {"n": 1})
    del operation["timestamp"]
    ana.submit(operation)
    world.settle()
    last = world.reader.audit()[-1]
    assert hlc.millis(last.stamp) <= world.wall_ms
    assert hlc.millis(last.accepted) > world.wall_ms


def test_a_value_stamped_2030_is_replaced_on_every_node_by_a_write_that_has_seen_it(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana, bia = Client(hub, "ana").connect(), Client(node, "bia").connect()
    clients = [ana, bia]
    ana.do("orders", "o", "CREATE", {"status": "pending"})
    mesh.settle(lambda: sum(c.receive() for c in clients))
    set_clock(node, FAR, restart=False)
    bia.do("orders", "o", "UPDATE", {"status": "future"})
    mesh.settle(lambda: sum(c.receive() for c in clients))
    assert hub.core.replica.clock.hlc.last < hlc.pack(hub.wall_ms + 120_000), "the hub's clock does not catch it"
    set_clock(node, hub.wall_ms, restart=False)
    for n, client in enumerate(clients):
        client.do("orders", "o", "UPDATE", {"status": f"now-{n}"})
        mesh.settle(lambda: sum(c.receive() for c in clients))
        assert shown(hub) == shown(node)
        assert hub.view("orders")["o"]["status"] == f"now-{n}"
    mesh.close()


def test_a_lease_runs_on_the_monotonic_clock_whatever_the_wall_clock_shows(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o", "timeout": 60_000})
    world.settle()
    for wall_ms in (FAR, START_MS - 365 * DAY):
        set_clock(world, wall_ms, restart=False)
        assert bia.do("orders", "o", "UPDATE", {"n": 1})["code"] == 4009
    world.advance(60_000)
    assert bia.do("orders", "o", "UPDATE", {"n": 2})["status"] == "applied"


@pytest.mark.parametrize(("wall_ms", "left"), [(FAR, False), (START_MS - 365 * DAY, True)])
def test_over_a_restart_a_lease_never_lasts_longer_than_it_was_granted_for(
    world: World, wall_ms: int, left: bool
) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o", "timeout": 60_000})
    world.settle()
    set_clock(world, wall_ms, restart=True)
    bia.connect()
    assert ("code" in bia.do("orders", "o", "UPDATE", {"n": 1})) is left
    world.advance(60_000)
    assert bia.do("orders", "o", "UPDATE", {"n": 2})["status"] == "applied"


def test_a_jump_is_said_and_counted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    ana = Client(world, "ana").connect()
    ana.do("orders", "o", "CREATE", {"n": 0})
    for wall_ms in (FAR, START_MS + 5_000, START_MS - 365 * DAY):
        world.wall_ms = wall_ms
        world.advance(1_000)
    said = [record.getMessage() for record in caplog.records]
    assert "jumped forward by 1,447 days, to 2030-01-01T00:00:01.000Z" in said[0]
    assert "jumped back by 1,447 days" in said[1]
    assert "back from a jump" in said[2]
    assert "jumped back by 365 days" in said[3]
    assert "365 days behind the latest operation" in said[4]
    assert len(said) == 5
    assert world.core.replica.clock.jumps == 3
    assert world.core.replica.clock.ahead_ms > 364 * DAY
