"""How the demo compares two nodes, and a terminal with its node."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from node.cli.demo.nodes import DemoFailed, Snapshot, must
from node.runtime.terminal import Terminal


def entity(deleted: bool = False, **data: Any) -> dict[str, Any]:
    return {"data": data, "deleted": deleted}


def snapshot(**orders: dict[str, Any]) -> Snapshot:
    return Snapshot({("orders", name): value for name, value in orders.items()}, {}, Counter({"op-1": 1}))


def test_two_nodes_differ_where_a_value_a_type_or_a_count_does() -> None:
    node = snapshot(a=entity(total=1), b=entity(total=2))
    assert node.differs_from(snapshot(b=entity(total=2), a=entity(total=1))) == []
    other = Snapshot({("orders", "a"): entity(total=1.0)}, {"c": {}}, Counter({"op-1": 2}))
    assert node.differs_from(other) == [
        "entities ('orders', 'a')",
        "entities ('orders', 'b')",
        "conflicts c",
        "operations op-1",
    ]


def test_a_screen_differs_but_for_versions_and_deleted_entities() -> None:
    terminal = Terminal("t", "pos", "ana", lambda terminal, message: None)
    terminal.screen["orders", "a"] = {"total": 1, "version": 3}
    terminal.screen["orders", "extra"] = {}
    node = snapshot(a=entity(total=1, version=9), gone=entity(deleted=True), missing=entity())
    assert node.differs_from_screen(terminal) == ["orders extra", "orders missing"]


def test_what_must_be_and_is_not_is_told_with_what_is() -> None:
    must(True, "all is well", None)
    with pytest.raises(DemoFailed, match=r"a lock taken twice: \{'a': 1\}"):
        must(False, "a lock taken twice", {"a": 1})
