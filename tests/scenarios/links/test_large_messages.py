"""What is larger than a frame of a link goes over it all the same, in whatever way it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.core.links.feed import FRAME_BYTES
from tests.archives import archive
from tests.harness import Client
from tests.mesh import Mesh, audit, shown

if TYPE_CHECKING:
    from pathlib import Path

PHOTO = "x" * (FRAME_BYTES + 1_000)


@pytest.mark.parametrize("way", ["live", "behind", "compared", "joining", "archived"])
def test_an_operation_larger_than_a_frame_reaches_the_other_node(tmp_path: Path, way: str) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana = Client(hub, "ana").connect()
    if way not in ("joining", "archived"):
        ana.do("products", "first", "CREATE", {"name": "Cola"})
        mesh.settle()
    if way == "behind":
        mesh.wires[0].cut()
    if way == "compared":  # the frame is lost, and its position is told all the same
        mesh.wires[0].damage = lambda frame: b"[]" if b"data_sync" in frame else frame
    for name in ("one", "two"):
        ana.do("products", name, "CREATE", {"photo": PHOTO})
    if way == "compared":
        mesh.settle(ana.receive)
        assert set(node.view("products")) == {"first"}
        mesh.wires[0].damage = None
        node.advance(61_000)
    if way == "archived":
        archive(hub)
    mesh.settle(ana.receive)
    assert shown(node) == shown(hub)
    assert {"one", "two"} < {*node.view("products"), "first"}
    if way != "archived":
        assert audit(node) == audit(hub)
    mesh.close()
