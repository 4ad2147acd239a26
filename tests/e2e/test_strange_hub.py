"""A node whose hub, or whatever answers at the hub's address, does not follow RFC 6455: it serves its terminals."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson

from tests.e2e.rude import RUDE_FRAMES, deflated, frame
from tests.patience import PATIENCE_S, connect
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from pathlib import Path

GOOD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate"
TAKEN = b"Sec-WebSocket-Protocol: comanda.v1\r\n\r\n"
ANSWERS = [
    GOOD + DEFLATE + b"; client_max_window_bits\r\n\r\n",
    GOOD + DEFLATE + b"; server_max_window_bits=\r\n\r\n",
    GOOD + DEFLATE + b", permessage-deflate\r\n\r\n",
    GOOD + b"Sec-WebSocket-Protocol: other\r\n\r\n",
    GOOD.replace(b"%s", b"AAAA") + b"\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"",
    GOOD + TAKEN + frame(b"masked"),
    GOOD + DEFLATE + b"\r\n" + TAKEN + frame(deflated(b"[]" * 900), rsv=4, mask=False) * 3,
    GOOD + DEFLATE + b"\r\n" + TAKEN + frame(b"\xff" * 30, rsv=4, mask=False),
    *(GOOD + TAKEN + sent for _, sent in RUDE_FRAMES.values() if len(sent) < 200),
]


class StrangeHub:
    """Gives each of these answers to one connection, and hangs up. done: all were given."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        for answer in ANSWERS:
            client, _ = self._server.accept()
            with client, suppress(OSError):
                client.settimeout(PATIENCE_S)
                key = re.search(rb"sec-websocket-key: (\S+)", client.recv(65_536), re.IGNORECASE)
                assert key is not None
                digest = hashlib.sha1(key.group(1) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
                client.sendall(answer.replace(b"%s", base64.b64encode(digest)))
                client.shutdown(socket.SHUT_WR)
                while client.recv(65_536):
                    pass
        self._server.close()
        self.done.set()


def test_a_node_below_a_strange_hub_serves_its_terminals(tmp_path: Path) -> None:
    hub = StrangeHub()
    settings = "[links]\nbackoff_ms = 1\nbackoff_max_ms = 2\npaused_s = 0.01\n"
    node = NodeProcess(tmp_path / "below", "--upstream", hub.url, config=settings).start()
    try:
        with connect(f"{node.url}/ws/waiter-1?type=waiter") as terminal:
            number = 0
            while number == 0 or not hub.done.wait(0.01):
                number += 1
                operation = {
                    "id": f"op-{number}",
                    "entity_type": "orders",
                    "entity_id": "o-1",
                    "operation": "UPDATE",
                    "data": {"n": number},
                }
                terminal.send(json.dumps({"type": "data_sync", "operation": operation}))
                while orjson.loads(terminal.recv(timeout=PATIENCE_S)).get("operation_id") != operation["id"]:
                    pass
        assert node.stop() == 0
    finally:
        node.end()
    assert "Traceback" not in node.log.read_text()
