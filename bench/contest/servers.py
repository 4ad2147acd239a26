"""The servers of the contest, each as a process of its own with a folder for what it keeps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
from attrs import define, field, frozen

from bench.rig.node_process import UNLIMITED, cpu_of, free_port

SERVERS = Path(__file__).parent / "servers"
PACKAGES = SERVERS / "node_modules"
INSTALL = "pip install -e '.[contest]' && npm ci --prefix bench/contest/servers"
"""The one command that installs every contestant."""


@frozen
class Server:
    """One contestant. before: what it has done when it acknowledges a change, as its documents say."""

    name: str
    dialect: str
    before: str
    command: Callable[[int, Path], list[str]]
    """From a port and a folder."""
    installed: Callable[[], bool]
    environment: Callable[[int, Path], dict[str, str]] = lambda port, folder: {}
    stores: bool = True


def _comanda(port: int, folder: Path) -> list[str]:
    settings = folder / "comanda.toml"
    settings.write_text(UNLIMITED)
    where = ["--port", str(port), "--host", "127.0.0.1", "--data", str(folder / "data"), "--config", str(settings)]
    return [sys.executable, "-m", "node", "serve", *where]


def _node(script: str) -> Callable[[int, Path], list[str]]:
    return lambda port, folder: ["node", str(SERVERS / script), str(port), str(folder)]


def _npm() -> bool:
    return PACKAGES.is_dir() and shutil.which("node") is not None


def _pip() -> bool:
    try:
        return all(find_spec(name) for name in ("uvicorn", "pycrdt.websocket", "pycrdt.store"))
    except ModuleNotFoundError:  # a parent of one
        return False


ALL = [
    Server("Comanda", "documented", "fsynced, audited", _comanda, lambda: True),
    Server("Comanda, each confirmed", "documented, each confirmed", "fsynced, audited", _comanda, lambda: True),
    Server(
        "y-websocket, LevelDB",
        "yjs",
        "nothing",
        _node("node_modules/y-websocket/bin/server.cjs"),
        _npm,
        lambda port, folder: {"HOST": "127.0.0.1", "PORT": str(port), "YPERSISTENCE": str(folder / "leveldb")},
    ),
    Server("Hocuspocus, file", "hocuspocus", "nothing", _node("hocuspocus.mjs"), _npm),
    Server(
        "pycrdt-websocket, SQLite",
        "yjs",
        "nothing",
        lambda port, folder: [sys.executable, str(SERVERS / "pycrdt_server.py"), str(port), str(folder)],
        _pip,
    ),
    Server("ws, a relay", "relayed", "nothing", _node("relay.mjs"), _npm, stores=False),
]


@define
class Running:
    """A server that runs, until `stop`. It keeps its folder and port when it is started again."""

    server: Server
    folder: Path
    port: int = field(factory=free_port)
    _process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with (self.folder.parent / f"{self.folder.name}.log").open("a") as log:
            self._process = subprocess.Popen(
                self.server.command(self.port, self.folder),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self.server.environment(self.port, self.folder)},
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if any(word in line for word in ("ready", "running at", "ws://")):
                return
        raise RuntimeError(f"{self.server.name} did not start: {Path(log.name).read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def settle(self) -> None:
        """Until it neither works nor writes: what some have not written yet, they lose when they are stopped."""
        before: tuple[float, int] | None = None
        for _ in range(120):
            time.sleep(0.5)
            now = round(self.cpu_s(), 1), self.disk_bytes()
            if now == before:
                return
            before = now

    def cpu_s(self) -> float:
        return cpu_of(self.pid)

    def memory_mb(self) -> float:
        return float(psutil.Process(self.pid).memory_info().rss) / 2**20

    def disk_bytes(self) -> int:
        """What it keeps, without its settings."""
        total = 0
        for file in self.folder.rglob("*"):
            with suppress(FileNotFoundError):  # a journal that has just gone
                total += file.stat().st_size if file.is_file() and file.suffix != ".toml" else 0
        return total
