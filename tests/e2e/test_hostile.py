"""Hostile bytes against a running node: it answers or closes, goes on, and touches nobody else's data."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from websockets.exceptions import WebSocketException

from tests.patience import PATIENCE_S, connect, http_get
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.client import ClientConnection

TRIES = int(os.environ.get("COMANDA_HOSTILE", "100"))
DOCUMENTED = range(4001, 4011)
STANDARD = {1000, 1002, 1003, 1007, 1008, 1009}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("hostile") / "data").start()
    yield process
    alive = process.process.poll() is None
    process.end()
    assert alive, "the node died"


class Healthy:
    """A terminal that must not notice anything."""

    def __init__(self, name: str, socket: ClientConnection) -> None:
        self.name = name
        self.socket = socket
        self.number = 0

    def works(self) -> None:
        self.number += 1
        operation = {
            "id": f"{self.name}-{self.number}",
            "entity_type": "products",
            "entity_id": self.name,
            "operation": "UPDATE",
            "data": {"n": self.number},
        }
        self.socket.send(json.dumps({"type": "data_sync", "operation": operation}))
        while orjson.loads(self.socket.recv(timeout=PATIENCE_S)).get("operation_id") != operation["id"]:
            pass


@pytest.fixture(scope="module")
def healthy(node: NodeProcess) -> Iterator[Healthy]:
    with connect(f"{node.url}/ws/healthy?type=pos") as socket:
        terminal = Healthy("healthy", socket)
        yield terminal
        terminal.works()
        shown = http_get(f"http://127.0.0.1:{node.port}/api/v1/entities/products/healthy").json()
        assert shown["data"]["n"] == terminal.number


def good_messages() -> list[dict[str, Any]]:
    operation = {
        "id": "op-1",
        "entity_type": "orders",
        "entity_id": "o-1",
        "operation": "UPDATE",
        "data": {"id": "o-1", "status": "x", "items": [{"id": 1}], "version": 2},
        "version": 2,
        "timestamp": "2026-01-15T10:30:00.000Z",
        "user_id": "u",
        "requires_lock": True,
        "priority": "high",
    }
    return [
        {"type": "ping", "timestamp": "2026-01-15T10:30:00.000Z"},
        {"type": "data_sync", "operation": operation},
        {"type": "sync_confirmation", "operation_id": "op-1"},
        {"type": "conflict_resolution", "conflict_id": "c-1", "resolution": "merge", "resolved_data": {"a": 1}},
        {"type": "acquire_lock", "entity_type": "orders", "entity_id": "o-1", "timeout": 1000, "lock_id": "l-1"},
        {"type": "release_lock", "lock_id": "l-1"},
    ]


STRANGE = [
    None,
    True,
    0,
    -1,
    1.5,
    2**63,
    2**64,
    "",
    "x" * 200,
    "\x00",
    [],
    {},
    [[]],
    {"a": {"b": []}},
    "../../etc",
    "\ud83d",
]


def mutated(rng: random.Random) -> str:
    """A documented message with one thing wrong, or with random characters changed."""
    message = rng.choice(good_messages())
    target: Any = message
    while True:
        key = rng.choice(list(target) if isinstance(target, dict) else range(len(target)))
        if isinstance(target[key], dict | list) and target[key] and rng.random() < 0.6:
            target = target[key]
            continue
        if isinstance(target, dict) and rng.random() < 0.2:
            del target[key]
        else:
            target[key] = rng.choice(STRANGE)
        break
    text = json.dumps(message)
    if rng.random() < 0.3:
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice('{}[]",:\\0e-\x00ÿ') + text[place + rng.randrange(3) :]
    if rng.random() < 0.05:
        text = "[" * rng.randrange(1, 5_000) + text
    return text


def answers_a_ping(client: ClientConnection) -> bool:
    """Whether the connection is still served; False when the node closed it with a code that says why."""
    try:
        client.send('{"type":"ping"}')
        while orjson.loads(client.recv(timeout=PATIENCE_S))["type"] != "pong":
            pass
    except WebSocketException:
        assert client.close_code in DOCUMENTED or client.close_code in STANDARD, client.close_code
        return False
    return True


def test_mutated_json_is_answered_or_closed_with_a_documented_code(node: NodeProcess, healthy: Healthy) -> None:
    rng = random.Random(20260115)
    with ExitStack() as stack:
        client = stack.enter_context(connect(f"{node.url}/ws/mutant?type=waiter"))
        for number in range(TRIES):
            with suppress(WebSocketException):  # closed after a hundred unreadable ones: seen below
                client.send(mutated(rng).encode("utf-8", "replace").decode())
            if number % 20 == 19:
                if not answers_a_ping(client):
                    client = stack.enter_context(connect(f"{node.url}/ws/mutant-{number}?type=waiter"))
                healthy.works()


def raw_socket(node: NodeProcess, name: str) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", node.port), timeout=PATIENCE_S)
    plain.sendall(
        f"GET /ws/{name}?type=pos HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n".encode()
    )
    assert b" 101 " in plain.recv(4096)
    return plain


def frames(rng: random.Random) -> bytes:
    """Random bytes, or frames with random headers."""
    if rng.random() < 0.4:
        return rng.randbytes(rng.randrange(1, 200))
    payload = rng.randbytes(rng.randrange(60))
    first, masked = rng.randrange(256), rng.choice([0x80, 0x80, 0])
    length = rng.choice([len(payload), 126, 127, rng.randrange(126)])
    extra = {126: struct.pack("!H", rng.randrange(70_000) % 65_536), 127: rng.randbytes(8)}.get(length, b"")
    return bytes((first, masked | length)) + extra + rng.randbytes(4) + payload


def test_random_frames_end_only_their_own_connection(node: NodeProcess, healthy: Healthy) -> None:
    rng = random.Random(7)
    for number in range(TRIES // 2):
        with raw_socket(node, f"frames-{number % 50}-{number}") as plain:
            try:
                for _ in range(rng.randrange(1, 5)):
                    plain.sendall(frames(rng))
            except OSError:
                pass
        if number % 20 == 19:
            healthy.works()


HEAD = "GET /ws/pos-9?type=pos HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
HEADS = [
    b"\x00\xff\xfe\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /api/v1/entities/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: nonsense\r\n\r\n",
    b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/v1/entities/orders/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/v1/audit?since=never&limit=x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/v1/entities/orders?limit=99999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"A" * 40_000,
    (HEAD + KEY.replace("13", "99") + "\r\n").encode(),
    (HEAD + "Sec-WebSocket-Version: 13\r\n\r\n").encode(),
    (HEAD + KEY.replace("dGhl", "====") + "\r\n").encode(),
    (HEAD + KEY + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=abc\r\n\r\n").encode(),
    (HEAD + KEY + "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n\r\n").encode(),
    (HEAD + KEY + "Sec-WebSocket-Protocol: \xe7\xe3o\r\n\r\n").encode("latin-1"),
    (HEAD.replace("Host: x", "Host: \xe7") + KEY + "\r\n").encode("latin-1"),
    (HEAD.replace("GET", "POST") + KEY + "\r\n").encode(),
    (HEAD.replace("Upgrade: websocket", "Upgrade: h2c") + KEY + "\r\n").encode(),
]


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_a_strange_request_head_gets_an_answer_and_costs_nobody_anything(
    node: NodeProcess, healthy: Healthy, head: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", node.port), timeout=PATIENCE_S) as plain:
        plain.sendall(head)
        plain.shutdown(socket.SHUT_WR)
        answer = plain.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    healthy.works()


def test_a_foreign_page_may_not_connect_and_the_nodes_own_may(node: NodeProcess) -> None:
    with (
        pytest.raises(WebSocketException, match="403"),
        connect(f"{node.url}/ws/browser?type=pos", origin="http://evil.example"),  # type: ignore[arg-type]
    ):
        pass
    with connect(f"{node.url}/ws/browser?type=pos", origin=f"http://127.0.0.1:{node.port}") as own:  # type: ignore[arg-type]
        assert orjson.loads(own.recv(timeout=PATIENCE_S))["type"] == "connection_established"


def next_of(client: ClientConnection, message_type: str) -> dict[str, Any]:
    """The next message of this type; the others are what a new terminal is sent."""
    while True:
        message: dict[str, Any] = orjson.loads(client.recv(timeout=PATIENCE_S))
        if message["type"] == message_type:
            return message


def test_a_message_over_a_megabyte_is_refused_and_the_connection_goes_on(node: NodeProcess, healthy: Healthy) -> None:
    with connect(f"{node.url}/ws/big?type=pos") as client:
        client.recv(timeout=PATIENCE_S)
        client.send(json.dumps({"type": "ping", "timestamp": "x" * 1_200_000}))
        assert next_of(client, "sync_error")["code"] == 4006
        client.send(json.dumps({"type": "ping", "timestamp": "2026-01-15T10:30:00Z"}))
        next_of(client, "pong")
    healthy.works()


def test_a_kitchen_deletes_no_product_and_nobody_writes_for_another(node: NodeProcess, healthy: Healthy) -> None:
    with connect(f"{node.url}/ws/spy?type=kds") as client:
        for extra in ({}, {"terminal_id": "healthy"}):
            operation = {
                "id": "spy-1",
                "entity_type": "products",
                "entity_id": "healthy",
                "operation": "DELETE",
                **extra,
            }
            client.send(json.dumps({"type": "data_sync", "operation": operation}))
            while (answer := orjson.loads(client.recv(timeout=PATIENCE_S)))["type"] != "sync_error":
                pass
            assert (answer["code"], answer["operation_id"]) == (4008, "spy-1")
    healthy.works()
