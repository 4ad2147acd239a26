"""The control socket of a real node: its own machine's commands need neither a token nor a stopped node."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from node.cli import main
from node.control import NAME, is_there
from tests.faults.rig import until
from tests.patience import PATIENCE_S, connect, http_get
from tests.processes import NodeProcess, write_order

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result
    from websockets.sync.client import ClientConnection


class GuardedNode(NodeProcess):
    """A node that wants a token. token: the one of `pos-1`."""

    token: str


def comanda(*arguments: str, data: Path) -> Result:
    """A command, in this process, which is much faster."""
    return CliRunner().invoke(main, [*arguments, "--data", str(data)])


@pytest.fixture
def node(tmp_path: Path) -> Iterator[GuardedNode]:
    """A node that asks for tokens, in a directory deeper than a UNIX socket's address is long."""
    data = tmp_path / ("deep" * 20) / ("deeper" * 20)
    made = comanda("token", "add", "pos-1", "--type", "pos", data=data)
    assert made.exit_code == 0, made.stderr
    node = GuardedNode(data)
    node.token = made.stdout.strip()
    node.start()
    yield node
    node.end()


def test_commands_reach_the_running_node_of_this_machine_without_a_token(node: GuardedNode) -> None:
    assert stat.S_IMODE((node.data / NAME).stat().st_mode) == 0o600
    for command in (["status"], ["quarantine", "list"], ["keys", "list"], ["backup"], ["archive", "--until", "1"]):
        done = comanda(*command, data=node.data)
        assert done.exit_code == 0, (command, done.stderr)
    assert len(list((node.data / "backups").iterdir())) == 1


def test_a_value_is_explained_and_restored_through_it(node: GuardedNode) -> None:
    with connect(f"{node.url}/ws/pos-1?type=pos&token={node.token}") as pos:
        for number, (kind, status) in enumerate((("CREATE", "pending"), ("UPDATE", "ready"))):
            operation = {"id": f"o{number}", "entity_type": "orders", "entity_id": "mesa-1", "operation": kind}
            more = {"data": {"status": status}, "terminal_id": "pos-1"}
            pos.send(json.dumps({"type": "data_sync", "operation": {**operation, **more}}))
        while json.loads(pos.recv(PATIENCE_S)).get("operation_id") != "o1":
            pass
    field = ("explain", "orders", "mesa-1", "status")
    restored = comanda(*field, "--restore", "o0", "--terminal", "gerente", "--json", data=node.data)
    assert restored.exit_code == 0, restored.stderr
    assert '"value": "pending"' in restored.stdout


def test_the_socket_of_a_killed_node_is_replaced_and_that_of_a_stopped_one_is_gone(node: GuardedNode) -> None:
    node.kill()
    assert is_there(node.data)
    refused = comanda("status", data=node.data)
    assert refused.exit_code == 1
    assert "Connection refused" in refused.stderr
    node.start()
    assert comanda("status", data=node.data).exit_code == 0
    assert node.stop() == 0
    assert not (node.data / NAME).exists()


def test_a_backup_that_the_node_made_by_itself_is_restored(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "node", config="[backup]\nevery_h = 0.0003\nkeep = 2\n").start()
    try:
        write_order(node)
        folder = node.data / "backups"
        until(lambda: folder.is_dir() and len(list(folder.glob("auto-*.db"))) == 2)
        assert node.stop() == 0
        backup = max(folder.glob("auto-*.db"))
        restored = comanda("restore", str(backup), data=node.data)
        assert restored.exit_code == 0, restored.stderr
        node.start()
        assert comanda("show", "orders", "mesa-9", data=node.data).exit_code == 0
        assert "comanda.backup backup " in node.said()
    finally:
        node.end()


def closed(connection: ClientConnection, within_s: float = 5.0) -> int | None:
    """The code with which the node closes a connection."""
    try:
        while True:
            connection.recv(within_s)
    except ConnectionClosed:
        return connection.close_code


def test_a_token_that_is_revoked_while_both_run_ends_its_connection(node: GuardedNode) -> None:
    data, place = node.data, f"{node.url}/ws/pos-1?type=pos&token="
    with connect(place + node.token) as pos:
        pos.recv(PATIENCE_S)
        listed = [json.loads(line) for line in comanda("token", "list", "--json", data=data).stdout.splitlines()]
        assert [(row["terminal_id"], row["state"], row["used_from"]) for row in listed] == [
            ("pos-1", "live", "127.0.0.1")
        ]
        new = comanda("token", "rotate", "pos-1", data=data).stdout.strip()
        assert closed(pos) == 4003
    with connect(place + node.token) as refused:
        assert closed(refused) == 4003
    as_browsers_do = [Subprotocol("comanda.v1"), Subprotocol(f"token.{new}")]
    with connect(f"{node.url}/ws/pos-1?type=pos", subprotocols=as_browsers_do) as pos:
        pos.recv(PATIENCE_S)
        assert pos.subprotocol == "comanda.v1"
        assert comanda("token", "revoke", "pos-1", data=data).stdout == "1 revogado(s) / revoked\n"
        assert closed(pos) == 4003
    url = f"http://127.0.0.1:{node.port}/api/v1/entities/orders"
    assert http_get(url).status_code == http_get(url, params={"token": new}).status_code == 401  # stays closed
    assert node.stop() == 0
    node.start()
    assert http_get(f"http://127.0.0.1:{node.port}/api/v1/entities/orders").status_code == 401


def test_a_linked_node_whose_token_is_revoked_waits_and_goes_on_with_a_new_one(
    node: GuardedNode, tmp_path: Path
) -> None:
    token = comanda("token", "add", "below", "--type", "node", data=node.data).stdout.strip()
    config = f'[links]\ntoken = "{token}"\npaused_s = 0.2\n'
    below = NodeProcess(tmp_path / "below", "--id", "below", "--upstream", node.url, config=config).start()
    try:
        until(lambda: link_state(below) == "up")
        comanda("token", "revoke", "below", data=node.data)
        until(lambda: link_state(below) != "up")
        write_order(below)
        assert below.stop() == 0
        again = comanda("token", "add", "below", "--type", "node", data=node.data).stdout.strip()
        (tmp_path / "below.toml").write_text(config.replace(token, again))
        below.start()
        until(lambda: comanda("show", "orders", "mesa-9", data=node.data).exit_code == 0)
    finally:
        below.end()


def link_state(node: NodeProcess) -> str:
    links = http_get(f"http://127.0.0.1:{node.port}/api/v1/links").json()["links"]
    return str(links[0]["state"]) if links else "none"


def test_restore_revives_no_revoked_token_and_forgets_no_newer_one(node: GuardedNode) -> None:
    data = node.data
    comanda("backup", data=data)
    assert comanda("token", "revoke", "pos-1", data=data).exit_code == 0
    new = comanda("token", "add", "pos-2", "--type", "pos", data=data).stdout.strip()
    assert node.stop() == 0
    (backup,) = (data / "backups").iterdir()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    restored = comanda("restore", str(backup), data=data)
    assert restored.exit_code == 0, restored.stderr
    node.start()
    with connect(f"{node.url}/ws/pos-1?type=pos&token={node.token}") as refused:
        assert closed(refused) == 4003
    with connect(f"{node.url}/ws/pos-2?type=pos&token={new}") as pos:
        assert json.loads(pos.recv(PATIENCE_S))["type"] == "connection_established"
