"""A real node under a notify socket of the test's own, as systemd runs it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from node.cli.systemd_unit import TEMPLATE
from node.runtime.supervisor import ALIVE, READY, STOPPING
from tests.patience import PATIENCE_S
from tests.processes import NodeProcess, comanda, missing

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.linux  # systemd and its notify socket

ENVIRONMENT = "tests.launcher:with_environment"


def test_a_node_says_when_it_is_ready_lives_and_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(PATIENCE_S)
        told = (f"NOTIFY_SOCKET={tmp_path / 'notify'}", "WATCHDOG_USEC=150000")
        node = NodeProcess(tmp_path / "node", first=(ENVIRONMENT, *told))
        try:
            node.start()
            assert heard.recv(100).decode() == READY
            with socket.create_connection(("127.0.0.1", node.port), timeout=PATIENCE_S):
                assert [heard.recv(100).decode() for _ in range(4)] == [ALIVE] * 4
            assert node.stop() == 0
        finally:
            node.end()
        heard.setblocking(False)
        rest = []
        while not rest or rest[-1] != STOPPING:
            rest.append(heard.recv(100).decode())
        assert set(rest[:-1]) <= {ALIVE}


def test_killed_it_says_nothing_and_starts_again(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(PATIENCE_S)
        node = NodeProcess(tmp_path / "node", first=(ENVIRONMENT, f"NOTIFY_SOCKET={tmp_path / 'notify'}"))
        try:
            for _ in range(2):
                node.start()
                assert heard.recv(100).decode() == READY
                node.kill()
        finally:
            node.end()


def test_a_node_that_the_watchdog_ends_says_where_it_hung(tmp_path: Path) -> None:
    [told] = re.findall(r"^Environment=(.*)$", TEMPLATE, re.MULTILINE)
    node = NodeProcess(tmp_path / "node", wrap=("env", told)).start()
    try:
        node.process.send_signal(signal.SIGABRT)  # what systemd sends
        assert node.process.wait(PATIENCE_S) == -signal.SIGABRT
        node._close()
    finally:
        node.end()
    assert "Fatal Python error: Aborted" in node.said()
    assert "in run" in node.said()


def allowed(name: str) -> set[str]:
    """The system calls of a set of systemd's, with the sets in it."""
    lines = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    names = {word for line in lines[1:] if (word := line.strip()) and not word.startswith("#")}
    return {one for name in names for one in (allowed(name) if name.startswith("@") else [name])}


def test_every_system_call_of_a_node_is_one_that_its_unit_allows(tmp_path: Path) -> None:
    for program in ("strace", "systemd-analyze"):
        if shutil.which(program) is None:
            missing(program)
    made = comanda("tls", "create", "--host", "127.0.0.1", "--data", tmp_path / "node")
    assert made.returncode == 0, made.stderr
    files = [str(tmp_path / "node/tls" / name) for name in ("certificate.pem", "certificate.key")]
    trace = tmp_path / "trace"
    told = ("strace", "-f", "-qq", "-o", str(trace), "env", f"NOTIFY_SOCKET={tmp_path / 'nobody'}")
    node = NodeProcess(tmp_path / "node", "--tls-cert", files[0], "--tls-key", files[1], wrap=told)
    try:
        node.start()
        for command in ("backup", "doctor", "status"):
            comanda(command, "--data", node.data)
        os.killpg(node.process.pid, signal.SIGTERM)
        node.process.wait(PATIENCE_S)
        node._close()
    finally:
        node.end()
    [name] = re.findall(r"^SystemCallFilter=(.*)$", TEMPLATE, re.MULTILINE)
    made_calls = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE))
    assert {"sendto", "epoll_wait", "prlimit64"} <= made_calls
    assert made_calls - allowed(name) == set()
