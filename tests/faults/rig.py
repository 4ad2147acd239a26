"""Faults of a real node: system calls that fail, clocks that jump, and what must hold after every one of them.

COMANDA_FAULTS (1) is how many seeded choices each test tries.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from click.testing import CliRunner
from websockets.exceptions import ConnectionClosed

from node.cli import main
from storage.sqlite.reader import Reader
from tests.patience import PATIENCE_S, connect, http_get
from tests.processes import ROOT, NodeProcess, missing
from tests.processes import comanda as launched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx
    from websockets.sync.client import ClientConnection

ROUNDS = int(os.environ.get("COMANDA_FAULTS", "1"))
SEED = int(os.environ.get("COMANDA_FAULTS_SEED", "20260115"))


def seeded(name: str) -> random.Random:
    """Choices that are the same at each run; the seed is printed where a test fails."""
    print(f"COMANDA_FAULTS_SEED={SEED}")
    return random.Random(f"{SEED} {name}")


def until(check: Callable[[], object], what: str = "it") -> None:
    """Ask until it is so. What takes long to ask is asked less often: the nodes that are asked need the machine."""
    deadline = time.monotonic() + PATIENCE_S
    asked = time.monotonic()
    while not check():
        now = time.monotonic()
        assert now < deadline, f"{what} never came to be"
        time.sleep(min(1.0, max(0.02, 2 * (now - asked))))
        asked = time.monotonic()


# ------------------------------------------------------------------ looking at a node


def get(node: NodeProcess, path: str) -> httpx.Response:
    return http_get(f"http://127.0.0.1:{node.port}{path}", timeout=PATIENCE_S)


def trouble(node: NodeProcess) -> str | None:
    """What /readyz says is wrong; None while the node is ready."""
    answer = get(node, "/readyz")
    assert answer.status_code in (200, 503)
    body = answer.json()
    return None if answer.status_code == 200 else f"{body['error']}: {body['reason']}"


def said(node: NodeProcess) -> str:
    """Its log so far. Nothing may go wrong with a traceback."""
    text = node.said()
    assert "Traceback" not in text, text[-3000:]
    return text


def orders(node: NodeProcess) -> dict[str, Any]:
    return {e["entity_id"]: e["data"] for e in get(node, "/api/v1/entities/orders").json()["entities"]}


def comanda(*words: str | Path) -> tuple[int, str]:
    """A command, in this process; its exit status and all it said."""
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def verified(data: Path) -> None:
    """`comanda verify` and `comanda audit verify` find nothing."""
    for words in (("verify",), ("audit", "verify")):
        status, output = comanda(*words, "--data", data)
        assert status == 0, output


def applied(data: Path) -> list[str]:
    """The operations of a stopped node's log, each once."""
    with closing(Reader(data / "comanda.db")) as reader:
        found = [row.operation_id for row in reader.rows(None, 0, 10**9, 10**6) if row.kind == "operation"]
    assert len(found) == len(set(found)), "an operation was applied twice"
    return found


def refused_start(node: NodeProcess, *wrap: str) -> str:
    """What `comanda serve` says when it does not start; one sentence, no traceback."""
    words = ["serve", "--host", "127.0.0.1", "--port", "0", "--data", str(node.data), *node.flags]
    command = [*wrap, sys.executable, "-m", "node", *words]
    run = partial(subprocess.run, command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=PATIENCE_S)
    done = run() if wrap else launched(*words)
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


# ------------------------------------------------------------------ a terminal


class Till:
    """A terminal that writes its orders, and sends again what it was told was not stored."""

    def __init__(self, name: str, node: NodeProcess) -> None:
        self.name, self.node = name, node
        self.number = 0
        self.confirmed: dict[str, int] = {}
        self.refused: dict[str, dict[str, Any]] = {}
        self.errors: list[dict[str, Any]] = []
        self.socket: ClientConnection | None = None
        self.connections = 0
        self._open = ExitStack()

    def _connected(self) -> ClientConnection:
        if self.socket is None:
            url = f"{self.node.url}/ws/{self.name}?type=pos"
            self.socket = self._open.enter_context(connect(url, close_timeout=0.1, open_timeout=PATIENCE_S))
            self.connections += 1
        return self.socket

    def close(self) -> None:
        self._open.close()
        self.socket = None

    def write(self, entity_id: str) -> dict[str, Any]:
        """One operation; the answer to it."""
        self.number += 1
        operation = {"id": f"{self.name}-{self.number}", "entity_type": "orders", "entity_id": entity_id}
        return self._send(operation | {"operation": "UPDATE", "data": {"n": self.number, "note": "x" * 200}})

    def _send(self, operation: dict[str, Any]) -> dict[str, Any]:
        try:
            message = self._answer(self._connected(), operation)
        except ConnectionClosed:
            self.close()
            return self._send(operation)
        if message["type"] == "sync_confirmation":
            self.confirmed[operation["id"]] = message["version"]
            self.refused.pop(operation["id"], None)
        else:
            assert (message["code"], message["retry"]) == (1011, True), message
            self.refused[operation["id"]] = operation
            self.errors.append(message)
        return message

    def _answer(self, socket: ClientConnection, operation: dict[str, Any]) -> dict[str, Any]:
        socket.send(json.dumps({"type": "data_sync", "operation": operation}))
        while True:
            message: dict[str, Any] = orjson.loads(socket.recv(timeout=PATIENCE_S))
            if message.get("operation_id") == operation["id"] and message["type"] != "data_sync":
                return message

    def writes(self, count: int, orders: int = 10) -> None:
        for n in range(count):
            self.write(f"{self.name}-o-{n % orders}")

    def write_until_refused(self, entity_id: str = "o", most: int = 2_000) -> None:
        for _ in range(most):
            if self.write(entity_id)["type"] == "sync_error":
                return
        raise AssertionError("nothing was refused")

    def again(self) -> None:
        """Send what was refused again, until the node takes it."""
        until(lambda: all(self._send(o)["type"] == "sync_confirmation" for o in list(self.refused.values())))


# ------------------------------------------------------------------ system calls that fail


def strace() -> str:
    return shutil.which("strace") or missing("strace is needed to make system calls fail")


@contextmanager
def failing(node: NodeProcess, *faults: str, paths: tuple[str, ...], thread: int | None = None) -> Iterator[Path]:
    """While in here, system calls of a running node on these files fail: `fdatasync:error=EIO:when=3+`.

    thread: only that one's. Yields strace's record of what it did.
    """
    record = node.data.parent / f"strace-{time.monotonic_ns()}"
    command = [strace(), "-o", str(record), "-p", str(thread or node.process.pid), *(() if thread else ("-f",))]
    for path in paths:
        command += ["-P", str(node.data / path)]
    command += ["-e", "trace=" + ",".join(dict.fromkeys(f.partition(":")[0] for f in faults))]
    for fault in faults:
        command += ["-e", f"inject={fault}"]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    if "not permitted" in line:
        missing(f"strace may not attach to a running node here: {line}")
    assert "attached" in line, line
    try:
        yield record
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(PATIENCE_S)
        tracer.stderr.close()


def injected(record: Path) -> int:
    return record.read_text().count("(INJECTED)")


def threads(node: NodeProcess) -> list[int]:
    """In the order they began: the main one, the writer, the reader, the reader for people."""
    return sorted(map(int, os.listdir(f"/proc/{node.process.pid}/task")))
