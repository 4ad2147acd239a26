"""One bad connection costs nobody else anything: every rule of RFC 6455 and 7692 broken at a running node, while a
bystander's terminal keeps writing and gets its confirmations."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.e2e.rude import (
    CLOSE,
    HALF,
    JSON_PING,
    ODD_HEADS,
    PING,
    PONG,
    RUDE_FRAMES,
    RUDE_HEADS,
    TEXT,
    Answer,
    Rude,
    closing,
    deflated,
    frame,
    head,
)
from tests.patience import PATIENCE_S, connect, http_get
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bystander:
    """A terminal in a thread of its own that writes, one operation after the other, until it is told to stop."""

    def __init__(self, node: NodeProcess) -> None:
        self.confirmed = 0
        self._node = node
        self._stop = False
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        with connect(f"{self._node.url}/ws/bystander?type=pos") as terminal:
            while not self._stop:
                number = self.confirmed + 1
                operation = {
                    "id": f"bystander-{number}",
                    "entity_type": "products",
                    "entity_id": "bystander",
                    "operation": "UPDATE",
                    "data": {"n": number},
                }
                terminal.send(json.dumps({"type": "data_sync", "operation": operation}))
                while True:
                    answer = orjson.loads(terminal.recv(timeout=PATIENCE_S))
                    assert answer["type"] != "sync_error", answer
                    if answer.get("operation_id") == operation["id"]:
                        break
                with self._progress:
                    self.confirmed = number
                    self._progress.notify_all()

    def goes_on(self) -> None:
        """Wait for operations that were sent from now on."""
        with self._progress:
            wanted = self.confirmed + 2
            assert self._progress.wait_for(lambda: self.confirmed >= wanted, PATIENCE_S), "it got no confirmation"

    def end(self) -> None:
        self._stop = True
        self._thread.join(PATIENCE_S)
        shown = http_get(f"http://127.0.0.1:{self._node.port}/api/v1/entities/products/bystander").json()
        assert shown["data"]["n"] == self.confirmed


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("rude") / "data").start()
    yield process
    alive = process.process.poll() is None
    process.end()
    assert alive, "the node died"
    logged = process.said()
    assert "Traceback" not in logged, logged[-3_000:]


@pytest.fixture(scope="module")
def bystander(node: NodeProcess) -> Iterator[Bystander]:
    terminal = Bystander(node)
    yield terminal
    terminal.end()


@pytest.mark.walk(4)
@pytest.mark.parametrize("shape", RUDE_FRAMES)
def test_a_broken_rule_ends_its_own_connection_with_the_codes_the_rfc_names(
    node: NodeProcess, bystander: Bystander, shape: str
) -> None:
    code, sent = RUDE_FRAMES[shape]
    with Rude.connected(node) as client:
        client.put(sent)
        client.half_close()
        assert client.ends() == code
    bystander.goes_on()


@pytest.mark.walk(3)
@pytest.mark.parametrize("shape", RUDE_HEADS)
def test_a_handshake_against_the_rules_is_refused(node: NodeProcess, bystander: Bystander, shape: str) -> None:
    status, sent = RUDE_HEADS[shape]
    with Rude(node) as client:
        client.put(sent)
        said = client.head()
        assert int(said.split(b" ", 2)[1]) == status, said
        if status == 426:
            assert b"\r\nsec-websocket-version: 13\r\n" in said.lower() + b"\r\n"
    bystander.goes_on()


@pytest.mark.parametrize("shape", ODD_HEADS)
def test_a_handshake_that_is_only_odd_is_accepted(node: NodeProcess, bystander: Bystander, shape: str) -> None:
    with Rude(node) as client:
        client.put(ODD_HEADS[shape] + frame(JSON_PING))  # and a frame right behind it
        said = client.head()
        while b" 101 " not in said:
            assert b" 200 " in said, said
            said = client.head()
        while (found := client.next()) is not None and b'"pong"' not in found.payload:
            pass
        assert found is not None
    bystander.goes_on()


OFFERS = [
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; client_max_window_bits; server_max_window_bits=9",
    "permessage-deflate; client_max_window_bits=9; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=8, permessage-deflate; client_max_window_bits=15",
]


@pytest.mark.parametrize("offer", OFFERS)
def test_every_offer_that_is_agreed_to_is_kept(node: NodeProcess, bystander: Bystander, offer: str) -> None:
    with Rude.connected(node, offer) as client:
        for _ in range(3):
            client.put(frame(deflated(JSON_PING), rsv=4) + frame(b"mark", PING))
            found = []
            while (answer := client.next()) != Answer(PONG, b"mark"):
                assert answer is not None
                found.append(answer.payload)
            assert any(b'"pong"' in payload for payload in found)
    bystander.goes_on()


def test_nothing_behind_a_close_is_read(node: NodeProcess, bystander: Bystander) -> None:
    operation = {
        "id": "late",
        "entity_type": "products",
        "entity_id": "late",
        "operation": "CREATE",
        "data": {"n": 1},
    }
    late = frame(json.dumps({"type": "data_sync", "operation": operation}).encode())
    for code in (1000, 1001, 1010, 3_000, 4_999):
        with Rude.connected(node) as client:
            client.put(closing(code, b"bye") + late + frame(b"", PING) + closing(1001))
            assert client.ends() == code
    with Rude.connected(node) as client:
        client.put(frame(b"", CLOSE) + late)
        assert client.ends() == 1005
    bystander.goes_on()
    assert http_get(f"http://127.0.0.1:{node.port}/api/v1/entities/products/late").status_code == 404


def test_a_message_that_comes_byte_by_byte_is_read_and_others_go_on(node: NodeProcess, bystander: Bystander) -> None:
    with Rude.connected(node) as client:
        wire = frame(JSON_PING[:5], fin=False) + frame(b"slow", PING) + frame(JSON_PING[5:], 0)
        for at in range(len(wire)):
            client.put(wire[at : at + 1])
            bystander.goes_on()
        found = []
        while len(found) < 2:
            answer = client.next()
            assert answer is not None
            if answer.opcode == PONG or b'"pong"' in answer.payload:
                found.append(answer.opcode)
        assert found == [PONG, TEXT]


def test_connections_left_in_the_middle_of_anything_hold_up_nobody(node: NodeProcess, bystander: Bystander) -> None:
    halves = [
        frame(JSON_PING)[:1],
        frame(JSON_PING)[:5],
        frame(b"a" * 1_000)[:500],
        frame(HALF, fin=False),
        frame(deflated(b"abc" * 900)[:3], rsv=4, fin=False),
        frame(b"a" * 125, PING)[:60],
        closing(1000, b"bye")[:4],
        b"",
    ]
    with ExitStack() as stack:
        for number in range(48):
            client = stack.enter_context(Rude.connected(node))
            client.put(halves[number % len(halves)])
            if number % 3 == 0:
                client.half_close()
        for number in range(48):
            stack.enter_context(Rude(node)).put(head()[: number * 3])
        bystander.goes_on()


def test_a_flood_of_pings_and_bombs_that_reads_nothing_stops_nobody(node: NodeProcess, bystander: Bystander) -> None:
    flood = frame(b"x" * 125, PING) * 500 + frame(deflated(b'{"type":"ping","x":"' + b"a" * 900_000), rsv=4) * 3
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(Rude.connected(node)).put(flood)
        bystander.goes_on()
