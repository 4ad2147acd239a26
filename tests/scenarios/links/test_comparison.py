"""A comparison costs what is missing, and neither what is held nor what is on its way."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from node.core.digests import BUCKETS
from node.core.links import anti_entropy
from tests.harness import Client
from tests.mesh import Mesh, audit, shown

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("parted", [0, anti_entropy.PARTED])
def test_what_was_lost_on_the_way_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parted: int) -> None:
    """Operations got lost in both directions, and the positions say that they came. parted: with 0 each bucket that
    holds something is a large one."""
    monkeypatch.setattr(anti_entropy, "PARTED", parted)
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana, bia = Client(hub, "ana").connect(), Client(node, "bia").connect()
    mesh.settle()
    said: list[dict[str, Any]] = []
    lost: list[str] = []

    def wire(frame: bytes) -> bytes:
        loaded = orjson.loads(frame)
        messages = loaded if isinstance(loaded, list) else [loaded]
        said.extend(messages)
        kept = []
        for message in messages:
            name = message["operation"]["id"] if message["type"] == "data_sync" else ""
            if name.endswith("7") and name not in lost:
                lost.append(name)
            else:
                kept.append(message)
        return orjson.dumps(kept)

    mesh.wires[0].damage = wire
    for number in range(30):
        ana.do("orders", f"a-{number}", "CREATE", {"status": "pending"})
        bia.do("orders", f"b-{number}", "CREATE", {"status": "pending"})
    for _ in range(2):
        for world in mesh.worlds:
            world.advance(anti_entropy.COMPARE_INTERVAL_MS)
        mesh.settle(lambda: ana.receive() + bia.receive())
    assert {name[:3] for name in lost} == {"ana", "bia"}
    told = Counter(
        "parts" if int(number) >= BUCKETS else "buckets"
        for message in said
        if message["type"] == "digest_keys"
        for number in message["buckets"]
    )
    assert ("parts" in told) == (not parted)
    assert told.total() <= 2 * len(lost)
    assert audit(node) == audit(hub)
    assert shown(node) == shown(hub)
    mesh.close()


@pytest.mark.parametrize("loses", [False, True])
def test_what_is_under_way_is_not_compared_and_what_was_lost_before_it_is(tmp_path: Path, loses: bool) -> None:
    """Both sides write all the time, also between the messages of a comparison."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana, bia = Client(hub, "ana").connect(), Client(node, "bia").connect()
    mesh.settle()
    said: list[dict[str, Any]] = []
    lost: list[str] = []

    def wire(frame: bytes) -> bytes:
        loaded = orjson.loads(frame)
        messages = loaded if isinstance(loaded, list) else [loaded]
        said.extend(messages)
        if any(message["type"] == "digest_buckets" for message in messages):
            bia.do("orders", f"meanwhile-{len(said)}", "CREATE", {"status": "pending"})
            node.settle()
        kept = []
        for message in messages:
            name = message["operation"]["id"] if message["type"] == "data_sync" else ""
            if loses and name and not lost:
                lost.append(name)
            else:
                kept.append(message)
        return orjson.dumps(kept)

    mesh.wires[0].damage = wire
    for number in range(2 * anti_entropy.COMPARE_INTERVAL_MS // 5_000 + 2):
        ana.do("orders", f"a-{number}", "CREATE", {"status": "pending"})
        bia.do("orders", f"b-{number}", "CREATE", {"status": "pending"})
        for world in mesh.worlds:
            world.settle()
            world.advance(5_000)
        while mesh.wires[0].step(0) or mesh.wires[0].step(1):
            pass
        ana.receive(), bia.receive()
    by_the_clock = [message for message in said if message["type"] == "digest" and message["until"] is not None]
    assert len(by_the_clock) == 2
    told = [message for message in said if message["type"] == "digest_keys"]
    assert bool(told) == loses
    assert len(told) <= 2 * len(lost)
    for world in mesh.worlds:
        world.settle()
    assert audit(hub) == audit(node)
    mesh.close()


def test_when_nothing_comes_any_more_all_is_compared(tmp_path: Path) -> None:
    """What was lost last is found too, also where a node's clock is years behind."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana = Client(hub, "ana").connect()
    mesh.settle()
    mesh.wires[0].damage = lambda frame: b"[]" if b"a-1" in frame and b"data_sync" in frame else frame
    ana.do("orders", "a-1", "CREATE", {"status": "pending"})
    hub.settle()
    while mesh.wires[0].step(0) or mesh.wires[0].step(1):
        pass
    mesh.wires[0].damage = None
    node.wall_ms -= 10**9
    for _ in range(2):
        for world in mesh.worlds:
            world.advance(anti_entropy.COMPARE_INTERVAL_MS)
        mesh.settle(ana.receive)
    assert shown(node) == shown(hub)
    mesh.close()
