"""The control socket of a real node: its own machine's commands need neither a token nor a stopped node."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from websockets.sync.client import connect

from node.control import NAME
from tests.processes import ROOT, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class GuardedNode(NodeProcess):
    """A node that wants a token. token: the one of `pos-1`."""

    token: str


def comanda(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "node", *arguments, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[GuardedNode]:
    """A node that asks for tokens, in a directory deeper than a UNIX socket's address is long."""
    data = tmp_path / ("deep" * 20) / ("deeper" * 20)
    made = comanda("token", "add", "pos-1", "--type", "pos", data=data)
    assert made.returncode == 0, made.stderr
    node = GuardedNode(data)
    node.token = made.stdout.strip()
    node.start()
    yield node
    node.end()


def test_commands_reach_the_running_node_of_this_machine_without_a_token(node: GuardedNode) -> None:
    assert stat.S_IMODE((node.data / NAME).stat().st_mode) == 0o600
    for command in (["status"], ["quarantine", "list"], ["keys", "list"], ["backup"], ["archive", "--until", "1"]):
        done = comanda(*command, data=node.data)
        assert done.returncode == 0, (command, done.stderr)
    assert len(list((node.data / "backups").iterdir())) == 1


def test_a_value_is_explained_and_restored_through_it(node: GuardedNode) -> None:
    with connect(f"{node.url}/ws/pos-1?type=pos&token={node.token}") as pos:
        for number, (kind, status) in enumerate((("CREATE", "pending"), ("UPDATE", "ready"))):
            operation = {"id": f"o{number}", "entity_type": "orders", "entity_id": "mesa-1", "operation": kind}
            more = {"data": {"status": status}, "terminal_id": "pos-1"}
            pos.send(json.dumps({"type": "data_sync", "operation": {**operation, **more}}))
        while json.loads(pos.recv(10)).get("operation_id") != "o1":
            pass
    field = ("explain", "orders", "mesa-1", "status")
    restored = comanda(*field, "--restore", "o0", "--terminal", "gerente", "--json", data=node.data)
    assert restored.returncode == 0, restored.stderr
    assert '"value": "pending"' in restored.stdout


def test_the_socket_of_a_killed_node_is_replaced_and_that_of_a_stopped_one_is_gone(node: GuardedNode) -> None:
    node.kill()
    assert (node.data / NAME).is_socket()
    refused = comanda("status", data=node.data)
    assert refused.returncode == 1
    assert "Connection refused" in refused.stderr
    node.start()
    assert comanda("status", data=node.data).returncode == 0
    assert node.stop() == 0
    assert not (node.data / NAME).exists()
