"""Nodes on different engines in one store, and a data directory that another engine opens than wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crdt.engine import INSTALLED
from tests.e2e.test_identity import get, orders, write
from tests.faults.rig import until
from tests.processes import NodeProcess, comanda

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("first", INSTALLED)
def test_what_one_engine_wrote_another_goes_on_with(tmp_path: Path, first: str) -> None:
    second = INSTALLED[-1] if first == INSTALLED[0] else INSTALLED[0]
    store = tmp_path / "Bar São João & filhos"  # as a folder of Windows is called
    store.mkdir()
    hub = NodeProcess(store / "hub", "--id", "central", "--engine", first).start()
    node = NodeProcess(store / "caixa 1", "--id", "caixa", "--engine", second, "--upstream", hub.url).start()
    try:
        write(hub, "pos-1", "o-1")
        write(node, "pos-2", "o-2")
        until(lambda: orders(hub) == orders(node) and len(orders(hub)) == 2)
        hub.kill()
        assert node.stop() == 0
        for each, engine in ((hub, second), (node, first)):
            each.flags = tuple(engine if flag in INSTALLED else flag for flag in each.flags)
            each.start()
            assert get(each, "links")["engine"].startswith(engine.replace("_", "-"))
        write(hub, "pos-1", "o-3")
        write(node, "pos-2", "o-4")
        until(lambda: orders(hub) == orders(node) and len(orders(hub)) == 4)
    finally:
        hub.end()
        node.end()
    for each in (hub, node):
        verified = comanda("verify", "--data", each.data)
        assert verified.returncode == 0, verified.stdout
