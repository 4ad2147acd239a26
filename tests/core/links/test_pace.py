"""A link to a far node pings more rarely, waits longer for it, and gathers rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from attrs import evolve

from node.config.links import LinksSection
from node.config.sections import Config
from node.core.links.clock_offset import ClockOffset
from node.core.links.pace import MEASURED, Pace
from node.core.ports import Instant
from tests.harness import Client
from tests.mesh import Mesh

if TYPE_CHECKING:
    from pathlib import Path

PACE = Pace.of(LinksSection(linger_ms=300))


def measured(*round_trips: int) -> ClockOffset:
    clock, at_ms = ClockOffset(), 0
    for rtt_ms in round_trips:
        clock.ask(Instant(at_ms, at_ms))
        clock.answered(at_ms, Instant(at_ms + rtt_ms, at_ms + rtt_ms))
        at_ms += 1_000
    return clock


@pytest.mark.parametrize("round_trips", [(), (400,), (*[400] * MEASURED, 1), (29,) * 12, (400,) * (MEASURED - 1)])
def test_a_node_is_near_until_some_answers_were_all_slow(round_trips: tuple[int, ...]) -> None:
    clock = measured(*round_trips)
    assert (PACE.ping_ms(clock), PACE.silence_ms(clock), PACE.linger_ms(clock)) == (1_000, 5_000, 0)


def test_a_far_node_is_pinged_every_fifteen_seconds_and_waited_for_as_much_longer() -> None:
    clock = measured(*[PACE.from_ms + number for number in range(MEASURED)])
    assert (PACE.ping_ms(clock), PACE.silence_ms(clock), PACE.linger_ms(clock)) == (15_000, 33_000, 300)


def test_pings_to_a_far_node_are_never_closer_than_those_to_a_near_one() -> None:
    assert Pace.of(LinksSection(ping_s=30.0)).far == 30_000


def test_a_link_to_a_far_node_gathers_rows_and_asks_for_its_clock_more_rarely(tmp_path: Path) -> None:
    config = Config(links=evolve(LinksSection(), far_ms=0, linger_ms=500))
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], config=config)
    hub, node = mesh.worlds
    mesh.settle()
    for _ in range(MEASURED):
        for world in mesh.worlds:
            world.advance(1_000)
        mesh.settle()
    frames: list[bytes] = []
    mesh.wires[0].damage = lambda frame: frames.append(frame) or frame
    ana = Client(hub, "ana").connect()
    for number in range(3):
        ana.do("orders", f"o-{number}", "CREATE", {"status": "pending"})
        while mesh.wires[0].step(1):
            pass
    sent = [frame for frame in frames if b"data_sync" in frame]
    assert not sent
    hub.advance(600)
    hub.settle()
    while mesh.wires[0].step(1):
        pass
    (together,) = [frame for frame in frames if b"data_sync" in frame]
    assert sum(message["type"] == "data_sync" for message in orjson.loads(together)) == 3
    frames.clear()
    for _ in range(30):
        hub.advance(1_000)
        hub.settle()
        node.advance(1_000)
        mesh.settle(ana.receive)
    assert 2 <= sum(b'"type":"ping"' in frame.replace(b" ", b"") for frame in frames) <= 8
    assert node.view("orders").keys() == {"o-0", "o-1", "o-2"}
    mesh.close()
