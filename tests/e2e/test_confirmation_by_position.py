"""The subprotocol `comanda.v1` as a JSON client meets it, over a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tests.e2e.test_identity import write
from tests.patience import PATIENCE_S, connect
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from pathlib import Path

    from websockets.sync.client import ClientConnection


def rows(socket: ClientConnection, upto: str) -> list[dict[str, Any]]:
    """What is sent up to the row of this entity."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["operation"]["entity_id"] != upto:
        message = orjson.loads(socket.recv(PATIENCE_S))
        found += [message] if message["type"] == "data_sync" else []
    return found


def test_a_json_client_that_offers_it_is_given_it_and_confirms_by_position(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "node").start()
    try:
        url = f"{node.url}/ws/kds-1?type=kds"
        with connect(url, subprotocols=["other", "comanda.v1"]) as socket:  # type: ignore[list-item]
            assert socket.subprotocol == "comanda.v1"
            write(node, "pos-1", "a", "b", "c")
            came = rows(socket, "c")
            assert [m["operation"]["entity_id"] for m in came] == ["a", "b", "c"]
            socket.send(orjson.dumps({"type": "sync_confirmation", "seq": came[-1]["seq"]}).decode())
            socket.send('{"type":"ping"}')
            while orjson.loads(socket.recv(PATIENCE_S))["type"] != "pong":
                pass
        with connect(url) as socket:
            assert socket.subprotocol is None
            write(node, "pos-1", "d")
            (row,) = rows(socket, "d")
            assert "seq" not in row
    finally:
        node.end()
