"""A terminal that reads what came, and confirms it, before it sends what it wrote earlier, shows what its node shows.

It applies the rows over its own writes, so their confirmation alone would leave its screen wrong for good.
"""

from __future__ import annotations

import pytest

from crdt import hlc
from tests.harness import Client, World, settle_all

DAY = 86_400_000


@pytest.mark.walk(24)
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("wrong_ms", [0, 1_500, -30_000, 90_000, -DAY, None])
@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("away_ms", [400, 3_000, 60_000])
@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("entity_type", ["orders", "products", "customers"])
def test_a_screen_is_right_after_a_late_flush(
    world: World,
    entity_type: str,
    connections: int,
    away_ms: int,
    measured: bool,
    wrong_ms: int | None,
    restarted: bool,
) -> None:
    """wrong_ms: how far its clock is ahead; None where it puts no time on what it writes. connections: on the last of
    which it sends what it wrote; the others are over before. restarted: the node, after each of the others."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do(entity_type, "e", "CREATE", {"note": "first"})
    settle_all(world, [ana, bia])
    if measured and wrong_ms is not None:
        for _ in range(3):
            world.advance(30_000)
            ana.send({"type": "ping", "timestamp": hlc.iso(world.wall_ms + wrong_ms)})
    world.advance(30_000)
    ana.disconnect()
    waiting = ana.operation(entity_type, "e", "UPDATE", {"note": "of ana"})
    if wrong_ms is None:
        del waiting["timestamp"]
    else:
        waiting["timestamp"] = hlc.iso(world.wall_ms + wrong_ms)
    ana.screen.apply(waiting)
    world.advance(away_ms)
    bia.do(entity_type, "e", "UPDATE", {"note": "of bia"})
    ana.connect()
    settle_all(world, [ana, bia])
    for _ in range(connections - 1):
        world.advance(400)
        ana.disconnect()
        if restarted:
            bia.disconnect()
            world.advance(400)
            world.settle()
            world.crash()
            bia.connect()
        world.advance(400)
        ana.connect()
        settle_all(world, [ana, bia])
    ana.send({"type": "data_sync", "operation": waiting})
    settle_all(world, [ana, bia])
    assert ana.shown(entity_type) == bia.shown(entity_type)
    assert ana.shown(entity_type)["e"]["note"] == world.view(entity_type)["e"]["note"]


@pytest.mark.parametrize("away_ms", [400, 60_000])
@pytest.mark.parametrize("wrong_ms", [0, -30_000, DAY])
def test_a_value_that_was_brought_back_long_before_it_is_sent_is_known_by_its_time_too(
    world: World, away_ms: int, wrong_ms: int
) -> None:
    """What its author confirms after it was written, and before it is sent, was not."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "e", "CREATE", {"note": "first"})
    settle_all(world, [ana, bia])
    bia.do("orders", "e", "UPDATE", {"note": "second"})
    for _ in range(3):
        world.advance(30_000)
        ana.send({"type": "ping", "timestamp": hlc.iso(world.wall_ms + wrong_ms)})
    settle_all(world, [ana, bia])
    read_upto = world.core.replica.log.committed
    ana.disconnect()
    waiting = ana.operation("orders", "e", "UPDATE", {"note": "first"}, restores="ana/ana.op-0", read_upto=read_upto)
    waiting["timestamp"] = hlc.iso(world.wall_ms + wrong_ms)
    ana.screen.apply(waiting)
    world.advance(away_ms)
    bia.do("orders", "e", "UPDATE", {"status": "ready", "note": "third"})
    ana.connect()
    settle_all(world, [ana, bia])
    ana.send({"type": "data_sync", "operation": waiting})
    settle_all(world, [ana, bia])
    shown = world.view("orders")["e"]
    assert shown["note"] == ("third" if away_ms == 60_000 else "first")
    for person in (ana, bia):
        assert person.shown("orders")["e"] == {n: v for n, v in shown.items() if n != "version"}


@pytest.mark.walk(3)
@pytest.mark.parametrize("wrong_ms", [0, -30_000, DAY])
@pytest.mark.parametrize("confirms", [True, False])
@pytest.mark.parametrize("outages", [1, 2])
@pytest.mark.parametrize("entity_type", ["orders", "products"])
def test_a_screen_is_right_after_a_late_flush_over_what_was_sent_again(
    world: World, entity_type: str, outages: int, confirms: bool, wrong_ms: int
) -> None:
    """What stood on the screen when it was written over, and was not confirmed by then, comes again over that.

    confirms: once it has come again.
    """
    ana, bia = Client(world, "ana", confirms=False, pongs=False).connect(), Client(world, "bia").connect()
    for _ in range(3):
        world.advance(30_000)
        ana.send({"type": "ping", "timestamp": hlc.iso(world.wall_ms + wrong_ms)})
    bia.do(entity_type, "e", "CREATE", {"note": "of bia"})
    settle_all(world, [ana, bia])
    world.advance(3_000)
    ana.disconnect()
    waiting = ana.operation(entity_type, "e", "UPDATE", {"note": "of ana"})
    waiting["timestamp"] = hlc.iso(world.wall_ms + wrong_ms)
    ana.screen.apply(waiting)
    ana.confirms = confirms
    for _ in range(outages):
        world.advance(3_000)
        ana.disconnect()
        world.advance(3_000)
        ana.connect()
        settle_all(world, [ana, bia])
    ana.send({"type": "data_sync", "operation": waiting})
    settle_all(world, [ana, bia])
    assert bia.shown(entity_type)["e"]["note"] == "of ana"
    assert ana.shown(entity_type) == bia.shown(entity_type)
