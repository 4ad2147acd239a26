"""Nodes in processes of their own, with temporary data directories."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

UNLIMITED = "[limits]\nrate_per_second = 1000000\nrate_burst = 1000000\n"
"""The benchmark asks for more than the default rate allows one terminal."""


STOP_S = 300
"""How long a node may take to end, of hundreds of stores on a busy machine."""


@contextmanager
def running_node(config: str = UNLIMITED, *flags: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a node; yields its ws:// URL (without a path) and the process. flags: more of `serve`'s."""
    with tempfile.TemporaryDirectory(prefix="comanda-bench-") as folder:
        settings = Path(folder, "comanda.toml")
        settings.write_text(config)
        command = [sys.executable, "-m", "node", "serve", "--port", "0", "--host", "127.0.0.1"]
        command += ["--data", str(Path(folder, "data")), "--config", str(settings), *flags]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            found = re.search(r"ws://[^/]+", process.stdout.readline())
            if found is None:
                raise RuntimeError("the node did not start")
            yield found.group(), process
        finally:
            process.terminate()
            process.wait(10)


def cpu_of(pid: int) -> float:
    """Processor time that a process has used since its start, in seconds, to the nanosecond."""
    return time.clock_gettime(~pid << 3 | 2)  # the clock of a process, clock_getcpuclockid(3)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@cache
def _bytecode() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="comanda-bytecode-")


def _as_installed() -> dict[str, str]:
    """The environment of a node whose modules are compiled once, as an installed one's are, and not at each start."""
    if not os.environ.get("PYTHONDONTWRITEBYTECODE"):
        return dict(os.environ)
    return os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": _bytecode().name}


class NodeProcess:
    """A node that keeps its port and data over restarts.

    folder: for its data, configuration and log. checkout: whose code it runs; this one's, unless said.
    """

    def __init__(self, folder: Path, name: str, *flags: str, checkout: Path | None = None) -> None:
        self.name, self.port, self._checkout = name, free_port(), checkout
        self.url = f"ws://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        settings = folder / "comanda.toml"
        settings.write_text(UNLIMITED)
        self.command = [sys.executable, "-m", "node", "serve", "--port", str(self.port), "--host", "127.0.0.1"]
        self.command += ["--data", str(folder / name), "--config", str(settings), "--id", name, *flags]
        self._running: subprocess.Popen[str] | None = None

    def timed(self) -> Path:
        """Before it starts: it is to note its long turns. Returns where (bench/rig/turns_node.py)."""
        notes = self.log.with_suffix(".turns")
        self.command[1:3] = ["-m", "bench.rig.turns_node", str(notes)]
        return notes

    def start(self, nice: int = 0) -> float:
        """Start it; returns when (perf_counter, seconds) it said that it is ready."""
        command = ["nice", "-n", str(nice), *self.command] if nice else self.command
        with self.log.open("a") as log:
            self._running = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self._checkout, env=_as_installed()
            )
        assert self._running.stdout is not None
        if "ws://" not in self._running.stdout.readline():
            raise RuntimeError(f"{self.name} did not start: {self.log.read_text()[-2000:]}")
        return time.perf_counter()

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        if self._running is not None:
            self._running.terminate()
            self._running.wait(STOP_S)
            assert self._running.stdout is not None
            self._running.stdout.close()
            self._running = None

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    def memory_mb(self) -> tuple[float, float]:
        """Resident memory, now and at most since its start."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        now, most = (re.search(rf"{name}:\s+(\d+) kB", text) for name in ("VmRSS", "VmHWM"))
        assert now is not None
        assert most is not None
        return int(now.group(1)) / 1024, int(most.group(1)) / 1024

    def cpu_s(self) -> float:
        """Processor time used since its start, in seconds."""
        return cpu_of(self.pid)
