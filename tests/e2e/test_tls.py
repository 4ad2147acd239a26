"""Nodes in processes of their own, with TLS between them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import trio

from node.runtime.terminal import Terminal
from storage.system import RELOAD
from tests.authority import Authority, make
from tests.faults.rig import until
from tests.patience import http_get
from tests.processes import ROOT, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make(tmp_path / "tls")


@pytest.fixture
def hub(tmp_path: Path, authority: Authority) -> Iterator[NodeProcess]:
    node = NodeProcess(tmp_path / "hub", "--id", "hub", *authority.flags()).start()
    yield node
    node.end()


def below(tmp_path: Path, hub: NodeProcess, *said: str) -> NodeProcess:
    """A node that dials the hub. said: how it recognises it."""
    settings = f'[links]\nupstream = "{hub.url}"\npaused_s = 0.1\n'
    settings += "\n".join([f'[links.at."{hub.url}"]', *said])
    return NodeProcess(tmp_path / "below", "--id", "below", config=settings).start()


def links(node: NodeProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http_get(f"http://127.0.0.1:{node.port}/api/v1/links").json()["links"]
    return found


def up(node: NodeProcess) -> bool:
    return [link["state"] for link in links(node)] == ["up"]


def order(hub: NodeProcess, authority: Authority, entity_id: str) -> dict[str, Any]:
    """The entity as the hub shows it over HTTPS."""
    url = hub.url.replace("wss:", "https:")
    answer = http_get(f"{url}/api/v1/entities/orders/{entity_id}", verify=authority.context())
    found: dict[str, Any] = orjson.loads(answer.content)
    return found.get("data", {})


def write(node: NodeProcess, entity_id: str) -> None:
    """A terminal beside the node writes an order."""

    async def write() -> None:
        async with trio.open_nursery() as nursery:
            terminal = Terminal(f"pos-{entity_id}", "pos", "ana", lambda _, __: None)
            await terminal.come_online(node.url, nursery)
            terminal.write("orders", entity_id, "CREATE", {"status": "pending"})
            await terminal.all_confirmed()
            await terminal.go_offline()

    trio.run(write)


def test_orders_pass_a_link_under_tls_and_a_new_certificate_is_taken_meanwhile(
    tmp_path: Path, hub: NodeProcess, authority: Authority
) -> None:
    node = below(tmp_path, hub, f'ca = "{authority.ca}"')
    try:
        until(lambda: up(node))
        write(node, "mesa-1")
        until(lambda: order(hub, authority, "mesa-1").get("status") == "pending")

        fingerprint = authority.again()
        for number in RELOAD:  # where there is none, the node looks at its files
            os.kill(hub.process.pid, number)
        until(lambda: fingerprint in hub.said())
        assert up(node), "what is connected stays"
        write(node, "mesa-2")
        until(lambda: order(hub, authority, "mesa-2").get("status") == "pending")

        hub.kill()
        hub.start()
        until(lambda: up(node))
        assert "Traceback" not in hub.said() + node.said()
    finally:
        node.end()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([f'certificates = ["{"0" * 64}"]'], "its certificate is another one, with the fingerprint"),
        ([], "its certificate is not accepted"),
        (['node_key = "0000-0000"', 'ca = "CA"'], "has the key"),
    ],
)
def test_a_hub_that_is_not_the_expected_one_is_not_linked(
    tmp_path: Path, hub: NodeProcess, authority: Authority, said: list[str], why: str
) -> None:
    node = below(tmp_path, hub, *[line.replace("CA", authority.ca) for line in said])
    try:
        until(lambda: why in node.said())
        write(node, "mesa-1")
        assert not up(node)
        assert order(hub, authority, "mesa-1") == {}
    finally:
        node.end()


def test_one_node_listens_in_clear_beside_itself_and_with_tls_on_the_network(
    tmp_path: Path, authority: Authority
) -> None:
    settings = tmp_path / "comanda.toml"
    settings.write_text(
        f'[tls]\ncertificate = "{authority.certificate}"\nkey = "{authority.key}"\n'
        '[[listen]]\nhost = "127.0.0.1"\nport = 0\ntls = false\n'
        '[[listen]]\nhost = "127.0.0.1"\nport = 0\n'
    )
    command = [sys.executable, "-m", "node", "serve", "--config", str(settings), "--data", str(tmp_path / "node")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            clear, secured = (process.stdout.readline().split()[1].partition("/ws/")[0] for _ in range(2))
            assert (clear.partition(":")[0], secured.partition(":")[0]) == ("ws", "wss")
            assert http_get(clear.replace("ws:", "http:") + "/healthz").status_code == 200
            encrypted = secured.replace("wss:", "https:") + "/healthz"
            assert http_get(encrypted, verify=authority.context()).status_code == 200
            told = http_get(encrypted.replace("https:", "http:"))
            assert (told.status_code, "https://" in told.text) == (400, True)
        finally:
            process.terminate()
