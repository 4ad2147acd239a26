"""Nodes that start in a moment: a process that has imported all of a node forks itself for each.

A node's imports cost a second of CPU, and the tests start hundreds of nodes, and run hundreds of commands. Whatever
wraps the command starts `python -m node` itself.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, NoReturn

from sqlite_utils import Database

from node.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
REQUEST_BYTES = 1 << 16
"""The longest request: arguments and environment."""

HANDED = "TESTS_LAUNCHER"
"""The variable that names the socket of a launcher, in a process that was handed one."""


PR_SET_PDEATHSIG = 1
"""Of `prctl`, as <linux/prctl.h> has it."""


class Launched:
    """A node that was forked: what is needed of a `subprocess.Popen`."""

    stdout: IO[str]

    def __init__(self, pid: int, status: IO[str]) -> None:
        self.pid, self._status = pid, status
        self._returned: int | None = None

    def poll(self) -> int | None:
        """Its exit status once it is over; of a killed one, the signal below zero."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if self._returned is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("node", timeout or 0)
            self._returned = int(self._status.readline())
            self._status.close()
        return self._returned

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def launcher() -> socket.socket:
    """Where to ask for nodes; the process behind it ends with the one that asks first."""
    if handed := os.environ.get(HANDED):
        return socket.socket(fileno=int(handed))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "tests.launcher", str(theirs.fileno())]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def handed_on() -> tuple[list[int], dict[str, str]]:
    """Files and environment for a process that is to ask the same launcher."""
    file = launcher().fileno()
    return [file], {**os.environ, HANDED: str(file)}


def launch(words: list[str], log: IO[bytes], output: int, first: tuple[str, ...] = ()) -> Launched:
    """`comanda` with these words, in a session of its own.

    output, log: its standard output and error.
    first: a function, as `module:name`, and its arguments; the new process calls it before it is a node.
    """
    read_status, status = os.pipe()
    request = json.dumps({"words": words, "environment": dict(os.environ), "first": first}).encode()
    assert len(request) <= REQUEST_BYTES
    socket.send_fds(launcher(), [request], [status, output, log.fileno()])
    os.close(status)
    told = os.fdopen(read_status)
    return Launched(int(told.readline()), told)


def launch_read(words: list[str], log: IO[bytes], first: tuple[str, ...] = ()) -> Launched:
    """The same; what it prints is read from `stdout`."""
    read_output, output = os.pipe()
    try:
        launched = launch(words, log, output, first)
    finally:
        os.close(output)
    launched.stdout = os.fdopen(read_output)
    return launched


def serve(asked: socket.socket) -> None:
    """Fork for each request, until nobody can ask any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    while True:
        request, files, _, _ = socket.recv_fds(asked, REQUEST_BYTES, 3)
        if not request:
            return
        if os.fork() == 0:
            asked.close()
            tell(request, *files)
        for file in files:
            os.close(file)


def tell(request: bytes, status: int, output: int, log: int) -> NoReturn:
    """Fork the node, and say its process id and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    end_with_parent()
    pid = os.fork()
    if pid == 0:
        os.close(status)
        become(json.loads(request), output, log)
    os.close(output)
    os.write(status, f"{pid}\n".encode())
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(status, f"{ended}\n".encode())
    os._exit(0)


def end_with_parent() -> None:
    """From here on this process is killed when its parent ends: no node outlives the tests that forgot it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def become(request: dict[str, object], output: int, log: int) -> NoReturn:
    """Be the node."""
    from node.__main__ import main

    os.setsid()
    end_with_parent()
    for file, number in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (log, 2)):
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    environment, words, first = request["environment"], request["words"], request["first"]
    assert isinstance(environment, dict)
    assert isinstance(words, list)
    assert isinstance(first, list)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["comanda", *words]
    if first:
        module, _, name = first[0].partition(":")
        getattr(import_module(module), name)(*first[1:])
    main()


def with_environment(*variables: str) -> None:
    """What a node's process calls first to have these too, each as NAME=VALUE."""
    os.environ.update(variable.split("=", 1) for variable in variables)


OF_A_NODE = ("node.runtime.app", "node.runtime.logs", "node.runtime.x509", "node.runtime.api.metrics")
MODULES = (*COMMANDS.values(), *OF_A_NODE, "httpx", "encodings.idna")
"""What a node imports, and each command: what is left of a small one is a fifth."""


if __name__ == "__main__":
    for module in MODULES:
        import_module(module)
    import_module("node.config.reading").structured({}, "nothing")  # of every section how it is read
    migrate = import_module("storage.sqlite.migrations").migrate
    migrate(Database(memory=True, execute_plugins=False), "memory")  # the first one of a process takes longer
    serve(socket.socket(fileno=int(sys.argv[1])))
