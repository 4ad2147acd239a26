from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.rig import Till
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Store:
    """The nodes and terminals of a test; whatever it leaves running ends with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nodes: list[NodeProcess] = []
        self.tills: list[Till] = []

    def node(self, name: str = "data", *flags: str, folder: Path | None = None, **more: Any) -> NodeProcess:
        """Not started yet. folder: elsewhere than the log."""
        node = NodeProcess((folder or self.directory) / name, *flags, **more)
        node.log = self.directory / f"{name}.log"
        self.nodes.append(node)
        return node

    def till(self, name: str, node: NodeProcess) -> Till:
        self.tills.append(Till(name, node))
        return self.tills[-1]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    for till in store.tills:
        till.close()
    for node in store.nodes:
        if hasattr(node, "process"):
            node.end()
