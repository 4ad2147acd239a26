"""The client that the protocol document prints works unmodified, also across a kill of the node.

The document is not part of the repository: it is read from beside the checkout, or where COMANDA_PROTOCOL says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.document_client import DocumentClients, document_text
from tests.patience import http_get
from tests.processes import NodeProcess, node_modules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import trio

ORDER = ("orders", "order-1")


@pytest.fixture
def document() -> str:
    """Skips where it is not there."""
    return document_text()


def entities(node: NodeProcess, entity_type: str) -> dict[str, dict[str, Any]]:
    answer = http_get(f"http://127.0.0.1:{node.port}/api/v1/entities/{entity_type}")
    return {entity["entity_id"]: entity["data"] for entity in answer.json()["entities"]}


@pytest.fixture
def modules(document: str) -> Path:
    """npm's `ws`; skips where it cannot be had."""
    return node_modules()


@pytest.fixture
def node(tmp_path: Path) -> Any:
    process = NodeProcess(tmp_path / "data").start()
    yield process
    process.end()


@pytest.fixture
async def clients(
    document: str, modules: Path, node: NodeProcess, tmp_path: Path, nursery: trio.Nursery
) -> AsyncIterator[DocumentClients]:
    """Two instances, "pos" and "kds", both greeted."""
    found = await DocumentClients.start(nursery, document, node.port, modules, tmp_path)
    for kind in ("pos", "kds"):
        await found.do("new", id=kind, terminal=f"{kind}-doc", type=kind, user="user123")
        greeting = await found.heard("established", id=kind)
        assert greeting["message"]["terminal_id"] == f"{kind}-doc"
    yield found
    await found.end()
    assert not [event for event in found.events if event["event"] == "exception"]


async def test_operations_of_every_kind_reach_the_other_instance(clients: DocumentClients) -> None:
    lock = {"requiresLock": True, "priority": "high"}
    made = {"id": "order-1", "status": "pending", "total": 25.5, "version": 1}
    assert (await clients.passes("pos", "kds", "CREATE", ORDER, made, **lock))["data"]["total"] == 25.5
    changed = {"id": "order-1", "status": "preparing", "version": 2}
    assert (await clients.passes("pos", "kds", "UPDATE", ORDER, changed, **lock))["data"]["status"] == "preparing"
    back = {"id": "order-1", "status": "ready", "version": 3}
    assert (await clients.passes("kds", "pos", "UPDATE", ORDER, back))["data"]["status"] == "ready"
    for entity_type in ("products", "customers", "cashier_operations"):
        named = {"id": "one", "name": "Açaí ☕", "version": 1}
        operation = await clients.passes("pos", "kds", "CREATE", (entity_type, "one"), named)
        assert operation["data"]["name"] == "Açaí ☕"
    await clients.passes("pos", "kds", "DELETE", ORDER, {"deleted_at": "2026-01-15T10:30:00.000Z", "version": 4})
    assert not [event for event in clients.events if '"sync_error"' in (event.get("text") or "")]
    for client in ("pos", "kds"):  # its confirmations, without a timestamp, have disturbed nothing
        assert (await clients.state(client))["open"]


async def test_what_it_queued_while_the_node_was_dead_is_stored_when_it_is_back(
    clients: DocumentClients, node: NodeProcess
) -> None:
    await clients.passes("pos", "kds", "CREATE", ORDER, {"id": "order-1", "status": "pending", "version": 1})
    gone = ("orders", "order-gone")
    await clients.passes("pos", "kds", "CREATE", gone, {"id": "order-gone", "version": 1})
    await clients.passes("pos", "kds", "DELETE", gone, {"deleted_at": "2026-01-15T10:30:00.000Z", "version": 2})
    since = len(clients.events)
    node.kill()
    for client in ("pos", "kds"):
        await clients.heard("handleClose", since, id=client)
    queued = [f"order-queued-{number}" for number in range(5)]
    for entity_id in queued:
        data = {"id": entity_id, "status": "offline", "version": 1}
        await clients.do("sync", id="pos", args=["orders", entity_id, "CREATE", data])
    assert (await clients.state("pos"))["queue"] == 5
    node.start()
    for client in ("pos", "kds"):
        await clients.heard("handleOpen", since, id=client)
    for entity_id in queued:
        wanted = entity_id

        def applied(event: dict[str, Any], wanted: str = wanted) -> bool:
            return event["event"] == "apply" and event["operation"]["entity_id"] == wanted

        await clients.first(applied, since)
    orders = entities(node, "orders")
    assert {*queued, "order-1"} <= orders.keys()
    assert "order-gone" not in orders
    assert (await clients.state("pos"))["queue"] == 0


async def test_the_lines_that_show_its_use_run_as_they_stand(clients: DocumentClients, node: NodeProcess) -> None:
    await clients.do("usage")
    update = await clients.first(
        lambda event: event["event"] == "apply" and event["operation"]["entity_id"] == "order-789"
    )
    assert update["operation"]["data"]["status"] == "preparing"
    assert entities(node, "orders")["order-789"]["status"] == "preparing"
