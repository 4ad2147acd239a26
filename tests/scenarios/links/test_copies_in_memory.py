"""What a frame of another node may hold a copy of stays in memory while the frame waits for the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness import Client
from tests.mesh import Mesh

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 16
"""Operations that a node keeps in memory here, and fewer than are written while a frame waits."""


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("aged", [False, True])
def test_a_sale_that_came_to_two_nodes_is_one_whatever_is_written_while_its_copy_waits(
    tmp_path: Path, aged: bool, number: int
) -> None:
    """The node has its own copy in memory when the other one arrives, behind something that must be read first.

    aged: it has to read that copy too. number: which node; the copy of the smaller writer stands.
    """
    mesh = Mesh(tmp_path, 2, [(0, 1, False)], ring_rows=ROWS, resident=1)
    mesh.connect()
    other, one = mesh.worlds[number], mesh.worlds[1 - number]
    wire = mesh.wires[0]
    bia = Client(other, "bia").connect()
    for name in ("suco", "agua"):
        bia.do("products", name, "CREATE", {"stock": 100})
    mesh.settle(bia.receive)
    wire.cut()
    sale = {"id": "ana-1"}
    ana = Client(other, "ana").connect()
    ana.do("products", "agua", "UPDATE", {"stock": {"$inc": -3}}, **sale)
    ana.disconnect()
    if aged:
        write_much(bia)
        other.commit()
    ana = Client(one, "ana").connect()
    ana.do("products", "suco", "UPDATE", {"stock": {"$inc": -1}})
    ana.do("products", "agua", "UPDATE", {"stock": {"$inc": -3}}, **sale)
    came: list[bytes] = []
    mesh.connect()
    while not came:
        one.settle()
        other.settle()
        wire.damage = None
        wire.step(number)
        wire.damage = lambda frame: _noted(came, frame) if b'"ana-1"' in frame else frame
        wire.step(1 - number)
    wire.damage = None
    assert other.calls, "the frame waits for the disk"
    write_much(bia)
    other.commit()
    other.settle()
    assert other.view("products")["agua"]["stock"] == 97
    mesh.settle(lambda: ana.receive() + bia.receive())
    for world in mesh.worlds:
        view = world.view("products")
        assert (view["suco"]["stock"], view["agua"]["stock"]) == (99, 97)
        assert not len(world.core.replica.quarantine)
    mesh.close()


def write_much(client: Client) -> None:
    """To the product that is in memory: nothing of it waits."""
    for number in range(2 * ROWS):
        client.submit(client.operation("products", "agua", "UPDATE", {"note": str(number)}))


def _noted(came: list[bytes], frame: bytes) -> bytes:
    came.append(frame)
    return frame
