"""What a node of the version before takes from a newer one: messages that it knows, with members that it does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from node.errors import InvalidMessage
from node.wire import links
from tests.harness import Client
from tests.mesh import End, Mesh, audit, each_message, moved, shown

LATER = {"of_a_later_version": {"x": [1, None, "y"]}}

INSIDE = ("node", "link", "heads", "leases")
"""Members of messages that are objects of a fixed shape, or lists of such."""

NOT_PLAYED = {"digest_keys", "digest_want", "lock_failed", "sync_error"}
"""Messages of which there are none in this evening."""

DOCUMENT = (Path(links.__file__).parent / "protocol.md").read_text(encoding="utf-8")
TYPES = set(re.findall(r"^### `(\w+)`", DOCUMENT, re.MULTILINE))


def newer(message: dict[str, Any]) -> None:
    """Put into a message what no version that there is sends."""
    for inside in map(message.get, INSIDE):
        for one in inside if isinstance(inside, list) else [inside]:
            if isinstance(one, dict):
                one |= LATER
    message |= LATER


def evening(mesh: Mesh) -> None:
    """Orders, stock, a lock, a terminal that moves, and a customer that is disputed while a link is down."""
    hub, middle, node = mesh.worlds
    ana, bia = Client(hub, "ana").connect(), Client(node, "bia").connect()
    for number in range(20):
        ana.do("orders", f"o-{number}", "CREATE", {"status": "pending", "items": [{"id": "1", "name": "Suco"}]})
    ana.do("customers", "c-1", "CREATE", {"phone": "1"})
    mesh.connect()
    mesh.settle(reconnect=False)
    bia.do("products", "p-1", "CREATE", {"stock": 3})
    asked = {"entity_type": "orders", "entity_id": "o-1", "terminal_id": "bia"}
    bia.send({"type": "acquire_lock", **asked})
    mesh.settle(bia.receive, reconnect=False)
    (granted,) = bia.of("lock_acquired")
    bia.send({"type": "release_lock", "lock_id": granted["lock_id"], "terminal_id": "bia"})
    mesh.settle(reconnect=False)
    bia = moved(bia, middle)
    mesh.settle(bia.receive, reconnect=False)
    mesh.wires[0].cut()
    ana.do("customers", "c-1", "UPDATE", {"phone": "2"})
    bia.do("customers", "c-1", "UPDATE", {"phone": "3"})
    ana.do("orders", "o-3", "DELETE", {})
    mesh.connect()
    mesh.settle(reconnect=False)


def test_a_node_that_knows_fewer_members_stays_linked_and_shows_the_same(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 1, True)])
    seen = set[str]()

    def later(message: dict[str, Any]) -> None:
        seen.add(message["type"])
        newer(message)

    for wire in mesh.wires:
        wire.damage = each_message(later)
    evening(mesh)
    for wire in mesh.wires:
        assert wire.links is not None  # 4006 would have ended it
        assert [link.state for link in wire.links] == ["up", "up"]
    hub, *others = mesh.worlds
    for world in others:
        assert shown(hub) == shown(world)
        assert audit(hub) == audit(world)
    assert len(hub.core.replica.conflicts.open) == 1
    assert not any(world.core.replica.quarantine for world in mesh.worlds)
    assert TYPES - seen == NOT_PLAYED
    mesh.close()


def test_a_message_that_it_does_not_know_ends_the_link(tmp_path: Path) -> None:
    """So a version that adds one sends it only to who says that it knows it."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    mesh.connect()
    mesh.settle(reconnect=False)
    ends = mesh.wires[0].links
    assert ends is not None
    ends[0].receive(b'{"type":"of_a_later_version"}')
    assert isinstance(ends[0].connection, End)
    assert ends[0].connection.closed is not None
    assert ends[0].connection.closed[0] == InvalidMessage.code
    mesh.close()
