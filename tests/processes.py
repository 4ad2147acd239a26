"""A node in a process of its own, and what npm provides."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import ClassVar, NoReturn

import pytest

from tests.launcher import Launched, launch_read
from tests.patience import PATIENCE_S, connect

ROOT = Path(__file__).resolve().parent.parent
CI = bool(os.environ.get("CI"))
NPM = ("ws@8", "yjs@13", "typescript@5", "@types/ws@8")


def missing(what: str) -> NoReturn:
    """Skip loudly where something cannot be had; in CI that is a failure."""
    if CI:
        pytest.fail(f"CI must not skip: {what}")
    pytest.skip(what)


def kept_port(owner: object, host: str = "127.0.0.1") -> int:
    """A free port that the system gives nobody else while the owner lives: a node may end there and come back."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # who asks for this very port may have it, too
        taken.bind((host, 0))
        port = int(taken.getsockname()[1])
        weakref.finalize(owner, os.close, taken.detach())
    return port


class NodeProcess:
    """`comanda serve` on a free port of 127.0.0.1: forked, or `python -m node` where another command wraps it.

    first: what a forked one calls before all else (launcher.launch).
    """

    process: subprocess.Popen[str] | Launched
    started: ClassVar[set[NodeProcess]] = set()
    """Those that run, or whose output is open."""

    def __init__(
        self, data: Path, *flags: str, wrap: tuple[str, ...] = (), first: tuple[str, ...] = (), config: str = ""
    ) -> None:
        self.data, self.flags, self.wrap, self.first = data, flags, wrap, first
        self.port = 0
        self.url = ""
        self.log = data.parent / f"{data.name}.log"
        if config:
            settings = data.parent / f"{data.name}.toml"
            settings.write_text(config)
            self.flags = (*flags, "--config", str(settings))

    def start(self) -> NodeProcess:
        if not self.port and sys.platform == "linux":  # elsewhere two may not share a port that none listens at
            self.port = kept_port(self)
        words = ["serve", "--host", "127.0.0.1", "--port", str(self.port), "--data", str(self.data), *self.flags]
        with self.log.open("ab") as log:
            if self.wrap:
                command = [*self.wrap, sys.executable, "-m", "node", *words]
                self.process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, start_new_session=True
                )
            else:
                self.process = launch_read(words, log, self.first)
        self.started.add(self)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"(wss?://127\.0\.0\.1:(\d+))", line)
        assert found is not None, f"no address in {line!r}; {self.log.read_text()[-2000:]}"
        self.url, self.port = found.group(1), int(found.group(2))
        return self

    def said(self) -> str:
        """Its log as people read it; what is no JSON as it is."""
        return "".join(map(_read, self.log.read_text(errors="replace").splitlines(keepends=True)))

    def kill(self) -> None:
        """SIGKILL, as a power cut to the process."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        self._close()

    def stop(self) -> int:
        """SIGTERM; the exit status of a clean stop."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        self._close()
        return status

    def end(self) -> None:
        if self.process.poll() is None:
            self.kill()
        self._close()

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.started.discard(self)


def _read(line: str) -> str:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return line
    said = [f"{record['level'].upper()} {record['logger']} {record['message']}", record.get("exception")]
    return "".join(f"{part}\n" for part in said if part)


def comanda(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    with tempfile.TemporaryFile() as errors:
        process = launch_read([str(word) for word in words], errors)
        with process.stdout as output:
            printed = output.read()
        status = process.wait()
        errors.seek(0)
        return subprocess.CompletedProcess(words, status, printed, errors.read().decode())


def node_modules() -> Path:
    """What the tests have of npm, installed once beside them (not committed), together: npm would take the one away
    when it adds the other. Skips where there is no Node or registry."""
    folder = ROOT / "tests" / "e2e" / "node_modules"
    with (folder.parent / ".npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests run in several processes
        return _installed(folder)


def _installed(folder: Path) -> Path:
    if all((folder / package.rpartition("@")[0]).is_dir() for package in NPM):
        return folder
    npm = shutil.which("npm")
    if npm is None:
        missing("Node and npm are needed for the JavaScript clients, and for yjs")
    install = subprocess.run(
        [str(npm), "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder.parent), *NPM],
        capture_output=True,
        text=True,
        check=False,
    )
    if install.returncode != 0:
        missing(f"npm install {' '.join(NPM)}: {install.stderr[-300:]}")
    return folder


def write_order(node: NodeProcess) -> None:
    """A till writes one order, and has it confirmed."""
    with connect(f"{node.url}/ws/pos-9?type=pos") as pos:
        operation = {"id": "w", "entity_type": "orders", "entity_id": "mesa-9", "operation": "CREATE"}
        more = {"data": {"status": "pending"}, "terminal_id": "pos-9"}
        pos.send(json.dumps({"type": "data_sync", "operation": {**operation, **more}}))
        while json.loads(pos.recv(PATIENCE_S)).get("operation_id") != "w":
            pass
