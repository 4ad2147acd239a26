"""kill -9 in the middle of load: nothing confirmed is lost, nothing is applied twice, versions never go back."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from websockets.exceptions import WebSocketException

from storage.audit.chain_walk import verify
from storage.sqlite.reader import Reader
from tests.patience import PATIENCE_S, connect, http_get
from tests.processes import NodeProcess, comanda, missing

if TYPE_CHECKING:
    from pathlib import Path

    from websockets.sync.client import ClientConnection

KILLS = int(os.environ.get("COMANDA_KILLS", "3"))


class Waiter:
    """A terminal that writes to its own order, resends what was not confirmed, and remembers what was."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self.pending: dict[str, dict[str, Any]] = {}
        self.confirmed: dict[str, int] = {}
        self.versions: list[int] = []

    def serve(self, node: NodeProcess, stop: threading.Event) -> None:
        """Write until the node dies, and a little more."""
        try:
            with connect(f"{node.url}/ws/{self.name}?type=waiter", close_timeout=0.1) as socket:
                for operation in self.pending.values():
                    socket.send(json.dumps({"type": "data_sync", "operation": operation}))
                while not stop.is_set():
                    for _ in range(20):
                        self._write(socket)
                    self._read(socket)
        except (WebSocketException, OSError, TimeoutError):
            return

    def _write(self, socket: ClientConnection) -> None:
        self.number += 1
        operation = {
            "id": f"{self.name}-{self.number}",
            "entity_type": "orders",
            "entity_id": f"order-{self.name}",
            "operation": "UPDATE",
            "data": {"n": self.number},
            "timestamp": "2026-01-15T10:00:00.000Z",
            "terminal_id": self.name,
        }
        self.pending[str(operation["id"])] = operation
        socket.send(json.dumps({"type": "data_sync", "operation": operation}))

    def _read(self, socket: ClientConnection) -> None:
        while len(self.pending) > 10:
            message = orjson.loads(socket.recv(timeout=PATIENCE_S))
            if message["type"] == "sync_confirmation":
                self.pending.pop(message["operation_id"], None)
                self.confirmed.setdefault(message["operation_id"], message["version"])
                if message["status"] != "duplicate":
                    self.versions.append(message["version"])
            elif message["type"] == "sync_error":
                raise AssertionError(message)


def test_kill_9_in_the_middle_of_load_loses_nothing_confirmed_and_applies_nothing_twice(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data")
    waiters = [Waiter(f"w-{number}") for number in range(3)]
    rng = random.Random(20260115)
    for _ in range(KILLS):
        node.start()
        stop = threading.Event()
        threads = [threading.Thread(target=waiter.serve, args=(node, stop)) for waiter in waiters]
        before = sum(len(waiter.confirmed) for waiter in waiters)
        for thread in threads:
            thread.start()
        target = before + rng.randrange(20, 400)
        while sum(len(waiter.confirmed) for waiter in waiters) < target:
            threads[0].join(0.001)
        node.kill()
        stop.set()
        for thread in threads:
            thread.join()
    node.start()
    try:
        shown = http_get(f"http://127.0.0.1:{node.port}/api/v1/entities/orders").json()["entities"]
    finally:
        assert node.stop() == 0
    reader = Reader(tmp_path / "data" / "comanda.db")
    applied = [row.operation_id for row in reader.rows(None, 0, 10**9, 10**6) if row.kind == "operation"]
    assert len(applied) == len(set(applied)), "an operation was applied twice"
    versions = {entity["entity_id"]: entity["version"] for entity in shown}
    for waiter in waiters:
        assert set(waiter.confirmed) <= set(applied), "a confirmed operation is gone"
        assert waiter.versions == sorted(set(waiter.versions)), "a version went back"
        own = sum(operation.startswith(f"{waiter.name}-") for operation in applied)
        assert versions[f"order-{waiter.name}"] == own
    assert not list(verify(reader)), "the audit chain is broken"
    reader.close()
    check = sqlite3.connect(tmp_path / "data" / "comanda.db")
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


def test_no_confirmation_leaves_before_its_fsync(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        missing("strace is needed to see that no confirmation leaves before its fsync")
    trace = tmp_path / "trace"
    calls = "trace=write,sendto,sendmsg,fsync,fdatasync,pwrite64"
    wrap = (str(strace), "-f", "-tt", "-s", "200", "-e", calls, "-o", str(trace))
    node = NodeProcess(tmp_path / "data", wrap=wrap).start()
    count = 30
    with connect(f"{node.url}/ws/pos-1?type=pos") as socket:
        for number in range(count):
            operation = {
                "id": f"op-{number}",
                "entity_type": "orders",
                "entity_id": "o",
                "operation": "UPDATE",
                "data": {"n": number},
            }
            socket.send(json.dumps({"type": "data_sync", "operation": operation}))
            while orjson.loads(socket.recv(timeout=PATIENCE_S)).get("operation_id") != f"op-{number}":
                pass
    os.killpg(node.process.pid, 15)
    node.process.wait(PATIENCE_S)
    node._close()
    synced, confirmations = 0, 0
    for line in trace.read_text(errors="replace").splitlines():
        if re.search(r"f(data)?sync\(\d+.*= 0|<\.\.\. f(data)?sync resumed.*= 0", line):
            synced += 1
        elif "sync_confirmation" in line and re.search(r"\b(write|sendto)\(", line):
            confirmations += 1
            assert synced > 0, f"confirmed before an fsync: {line}"
            synced = 0  # one in flight at a time: each confirmation needs an fsync of its own
    assert confirmations == count


def test_a_second_node_on_the_same_data_directory_is_refused(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data").start()
    try:
        again = comanda("serve", "--port", "0", "--data", node.data)
    finally:
        node.end()
    assert again.returncode == 1
    assert "in use by another node" in again.stderr


def test_a_clean_stop_closes_terminals_with_1001_and_exits_0(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data").start()
    with connect(f"{node.url}/ws/pos-1?type=pos") as socket:
        socket.recv(timeout=PATIENCE_S)
        assert node.stop() == 0
        with pytest.raises(WebSocketException):
            socket.recv(timeout=PATIENCE_S)
        assert socket.close_code == 1001
