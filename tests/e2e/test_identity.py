"""Backups, copies and twins, as an IT person meets them: real nodes, the command line, HTTP."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.faults.rig import until
from tests.patience import PATIENCE_S, connect, http_get
from tests.processes import NodeProcess, comanda

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def get(node: NodeProcess, path: str) -> Any:
    return http_get(f"http://127.0.0.1:{node.port}/api/v1/{path}").json()


def orders(node: NodeProcess) -> dict[str, Any]:
    return {e["entity_id"]: e["data"] for e in get(node, "entities/orders")["entities"]}


def write(node: NodeProcess, terminal: str, *entity_ids: str) -> None:
    """Orders, each confirmed."""
    with connect(f"{node.url}/ws/{terminal}?type=pos") as socket:
        for entity_id in entity_ids:
            operation = {"id": f"{terminal}-{entity_id}", "entity_type": "orders", "entity_id": entity_id}
            operation |= {"operation": "CREATE", "data": {"by": terminal}, "terminal_id": terminal}
            socket.send(orjson.dumps({"type": "data_sync", "operation": operation}).decode())
            while orjson.loads(socket.recv(PATIENCE_S))["type"] != "sync_confirmation":
                pass


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """A hub and a node below it."""
    hub = NodeProcess(tmp_path / "hub", "--id", "central").start()
    node = NodeProcess(tmp_path / "node", "--id", "caixa", "--upstream", hub.url).start()
    yield hub, node
    hub.end()
    node.end()


def test_a_restored_node_regains_what_it_lost_and_its_hub_loses_nothing(
    store: tuple[NodeProcess, NodeProcess],
) -> None:
    hub, node = store
    write(node, "pos-1", "o-1", "o-2")
    until(lambda: len(orders(hub)) == 2)
    made = comanda("backup", "--url", f"http://127.0.0.1:{node.port}")
    assert made.returncode == 0, made.stderr
    backup = node.data / made.stdout.strip()
    write(node, "pos-1", "o-3", "o-4")
    until(lambda: len(orders(hub)) == 4)
    busy = comanda("restore", "--data", node.data, backup)
    assert busy.returncode != 0
    assert "in use" in busy.stderr
    node.kill()
    (node.data / "comanda.db").write_bytes(b"not a database any more" * 1000)
    restored = comanda("restore", "--data", node.data, backup)
    assert restored.returncode == 0, restored.stderr
    assert "caixa" in restored.stdout
    node.start()
    write(node, "pos-2", "o-5")
    until(lambda: orders(node) == orders(hub) and len(orders(hub)) == 5)
    assert (
        get(node, "links")["quarantine"] == get(hub, "links")["quarantine"] == {"bad": 0, "waiting": 0, "by_node": {}}
    )
    ids = [sorted(e["operation_id"] for e in get(each, "audit")["entries"]) for each in store]
    assert ids[0] == ids[1] == sorted(f"pos-{1 + (n == 5)}-o-{n}" for n in range(1, 6))
    assert comanda("audit", "verify", "--data", node.data).returncode == 0


def test_a_backup_that_is_damaged_is_refused_and_the_database_stays(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "node", "--id", "caixa").start()
    write(node, "pos-1", "o-1")
    node.stop()
    bad = tmp_path / "bad.db"
    bad.write_bytes((node.data / "comanda.db").read_bytes()[:5_000] + b"\xff" * 20_000)
    refused = comanda("restore", "--data", node.data, bad)
    assert refused.returncode != 0
    node.start()
    try:
        assert set(orders(node)) == {"o-1"}
    finally:
        node.end()


def test_a_copied_data_directory_beside_the_first_is_refused_and_both_sides_say_so(
    store: tuple[NodeProcess, NodeProcess], tmp_path: Path
) -> None:
    hub, node = store
    write(node, "pos-1", "o-1")
    until(lambda: len(orders(hub)) == 1)
    node.stop()
    shutil.copytree(node.data, tmp_path / "copy")
    node.start()
    until(lambda: get(node, "links")["links"][0]["state"] == "up")
    copy = NodeProcess(tmp_path / "copy", "--upstream", hub.url).start()
    try:
        until(lambda: bool(get(copy, "links")["twins"]) and bool(get(node, "links")["twins"]))
        assert get(copy, "links")["links"][0]["state"] != "up"
        assert get(node, "links")["links"][0]["state"] == "up"
        said = comanda("status", "--url", f"http://127.0.0.1:{node.port}")
        assert "TWO NODES WITH ONE ID" in said.stdout
        # The copy goes on working for its own terminals; under its own id it joins, and nothing is lost.
        write(copy, "pos-9", "o-9")
        write(node, "pos-1", "o-2")
        until(lambda: set(orders(hub)) == {"o-1", "o-2"})
    finally:
        copy.stop()
    node.stop()
    late = NodeProcess(tmp_path / "copy", "--upstream", hub.url).start()
    try:
        until(lambda: set(orders(hub)) == {"o-1", "o-2", "o-9"} and orders(late) == orders(hub))
        assert get(hub, "links")["quarantine"] == {"bad": 0, "waiting": 0, "by_node": {}}
    finally:
        late.end()


def test_a_node_whose_token_is_refused_says_so_and_works_on(tmp_path: Path) -> None:
    hub = NodeProcess(tmp_path / "hub", "--id", "central")
    assert comanda("token", "add", "--data", hub.data, "--type", "node", "caixa").returncode == 0
    hub.start()
    node = NodeProcess(tmp_path / "node", "--id", "caixa", "--upstream", hub.url).start()
    try:
        until(lambda: get(node, "links")["links"][0]["state"] == "paused")
        write(node, "pos-1", "o-1")
        assert set(orders(node)) == {"o-1"}
        assert "4003" in get(node, "links")["links"][0]["last_error"]
    finally:
        hub.end()
        node.end()


def test_a_node_with_its_token_is_linked(tmp_path: Path) -> None:
    hub = NodeProcess(tmp_path / "hub", "--id", "central")
    token = comanda("token", "add", "--data", hub.data, "--type", "node", "caixa").stdout.strip()
    hub.start()
    config = f'[links]\nupstream = "{hub.url}"\ntoken = "{token}"\n'
    node = NodeProcess(tmp_path / "node", "--id", "caixa", config=config).start()
    try:
        until(lambda: get(node, "links")["links"][0]["state"] == "up")
        assert token not in node.log.read_text()
    finally:
        hub.end()
        node.end()
