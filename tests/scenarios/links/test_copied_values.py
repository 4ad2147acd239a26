"""A register that several fields share repeats what its author had not seen. Whoever lacks that yet lets it wait.

A node that comes between two others has an entity from one of them before its history, and loses that link. What its
terminals write then goes to the other one first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from node.core.operations.quarantine import WAITING
from tests.harness import Client
from tests.mesh import Mesh, audit, shown
from tests.scenarios.evening import CONFIG

if TYPE_CHECKING:
    from pathlib import Path

WRITES: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "one field of a whole entity": ("cashier_operations", {"a": 1, "b": 1}, "UPDATE", {"a": 2}),
    "a field more of a whole entity": ("cashier_operations", {"a": 1, "b": 1}, "UPDATE", {"c": 2}),
    "a whole entity that goes": ("cashier_operations", {"a": 1, "b": 1}, "DELETE", {"a": 2}),
    "one field of a group": ("orders", {"total": 3, "discount": 1}, "UPDATE", {"total": 4}),
    "a group of an entity that goes": ("orders", {"total": 3, "discount": 1}, "DELETE", {"total": 4}),
}


@pytest.mark.parametrize("case", WRITES)
def test_what_repeats_a_value_waits_for_it(tmp_path: Path, kept_out: list[tuple[str, str]], case: str) -> None:
    entity_type, data, kind, written = WRITES[case]
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 1, True)], config=CONFIG)
    hub, middle, leaf = mesh.worlds
    above, below = mesh.wires
    Client(hub, "ana").connect().do(entity_type, "x", "CREATE", data)
    Client(leaf, "caio").connect().do(entity_type, "y", "CREATE", data | {"a": 5})

    above.connect()
    while "x" not in middle.view(entity_type):
        assert above.step(0) or above.step(1) or middle.calls or hub.calls
        hub.settle()
        middle.settle()
    above.cut()
    assert not audit(middle), "its history is not here yet"
    below.connect()
    Client(middle, "bia").connect().do(entity_type, "x", kind, written)
    mesh.settle(reconnect=False)
    assert [row.state for row in leaf.core.replica.quarantine] == [WAITING]

    mesh.settle()
    assert not kept_out
    assert all(shown(world) == shown(hub) and audit(world) == audit(hub) for world in (middle, leaf))
    mesh.close()
