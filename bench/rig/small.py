"""What a hub takes of its machine: memory, processor time, wake-ups and what it writes to disk."""

from __future__ import annotations

import re
import select
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from bench.rig.crowd import EACH, Terminal
from bench.rig.node_process import cpu_of

if TYPE_CHECKING:
    from collections.abc import Sequence

HEARTBEAT_S = 30
"""How often a terminal says that it is there."""


@frozen
class Taken:
    """Since a process began. written: bytes that it handed to the disk; asked: bytes of its write calls."""

    cpu_s: float
    wakes: int
    written: int
    asked: int

    @classmethod
    def of(cls, pid: int) -> Taken:
        process = Path(f"/proc/{pid}")
        wakes = sum(
            int(count)
            for task in (process / "task").iterdir()
            for count in re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)
        )
        io = dict(re.findall(r"^(\w+): (\d+)$", (process / "io").read_text(), re.MULTILINE))
        return cls(cpu_of(pid), wakes, int(io["write_bytes"]), int(io["wchar"]))


def files_mb(pid: int) -> float:
    """What of a process's resident memory is pages of files."""
    found = re.search(r"^RssFile:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) / 1024


class Crowd:
    """Terminals that confirm what they are sent and say every HEARTBEAT_S that they are there, on a thread."""

    def __init__(self, port: int, count: int) -> None:
        self._terminals = [Terminal(port, f"t-{number}", EACH) for number in range(count)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        sockets = {terminal.wire.fileno(): terminal for terminal in self._terminals}
        watched = select.poll()
        for descriptor in sockets:
            watched.register(descriptor, select.POLLIN)
        due = [time.monotonic() + HEARTBEAT_S * (n + 1) / len(sockets) for n in range(len(sockets))]
        while not self._over.is_set():
            for descriptor, _ in watched.poll(200):
                sockets[descriptor].read()
            for place, terminal in enumerate(self._terminals):
                if time.monotonic() >= due[place]:
                    terminal.send(b'{"type":"ping"}')
                    due[place] += HEARTBEAT_S

    def rows(self) -> Sequence[int]:
        """What each has been sent."""
        return [terminal.rows for terminal in self._terminals]

    def leave(self) -> None:
        self._over.set()
        self._thread.join()
        for terminal in self._terminals:
            terminal.wire.close()
