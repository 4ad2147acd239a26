"""A comparison costs what is missing, and not what is held: of large buckets the parts are compared first."""

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
