"""A machine joins a hub with a code, and a browser too. Who does not know the code, or is no hub, gets nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from node.core.pairing import TRIES
from node.runtime.net.proxies import SIGNS
from node.wire.pairing import HUB, NEWCOMER, key_of, name_of, proof
from tests.authority import Authority, make
from tests.e2e.test_tls import up, write
from tests.faults.rig import until
from tests.patience import PATIENCE_S, http_get, http_post
from tests.processes import NodeProcess, comanda

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def code_of(node: NodeProcess, *more: str) -> dict[str, Any]:
    said = comanda("pair", "--data", str(node.data), "--json", *more)
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = orjson.loads(said.stdout)
    return found


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make(tmp_path / "tls")


@contextmanager
def running(data: Path, *flags: str, config: str = "") -> Iterator[NodeProcess]:
    node = NodeProcess(data, *flags, config=config).start()
    try:
        yield node
    finally:
        node.end()


@pytest.fixture
def hub(tmp_path: Path, authority: Authority) -> Iterator[NodeProcess]:
    with running(
        tmp_path / "hub", "--id", "hub", *authority.flags(), config='[time]\nzone = "America/Sao_Paulo"\n'
    ) as node:
        assert comanda("token", "add", "--data", str(node.data), "--type", "pos", "pos-0").returncode == 0
        yield node


def posted(
    node: NodeProcess, authority: Authority, body: dict[str, str], source: str = "127.0.0.1"
) -> httpx.Response:
    """source: the address that it comes from."""
    url = node.url.replace("wss:", "https:")
    way = httpx.HTTPTransport(verify=authority.context(), local_address=source)
    with httpx.Client(transport=way, timeout=PATIENCE_S) as client:
        return client.post(f"{url}/api/v1/join", json=body)


def test_a_machine_joins_with_two_commands_and_stays_joined(
    tmp_path: Path, hub: NodeProcess, authority: Authority
) -> None:
    told = code_of(hub)
    assert told["url"] == hub.url
    settings = tmp_path / "comanda.toml"
    data = tmp_path / "tablet"
    joined = comanda(
        "join", hub.url, told["code"].lower(), "--id", "tablet", "--data", str(data), "--config", str(settings)
    )
    assert joined.returncode == 0, joined.stderr
    written = settings.read_text()
    assert settings.stat().st_mode & 0o077 == 0
    assert 'zone = "America/Sao_Paulo"' in written, "what a store has in common"
    assert "hub-authority.pem" in written
    with running(data, "--config", str(settings)) as tablet:
        until(lambda: up(tablet))
        write(tablet, "mesa-1")
        authority.again()
        hub.stop()
        hub.start()
        until(lambda: up(tablet))
    again = comanda("join", hub.url, told["code"], "--id", "other", "--data", str(tmp_path / "other"))
    assert again.returncode == 1
    assert "not known" in again.stderr
    tokens = comanda("token", "list", "--data", str(hub.data)).stdout
    assert tokens.count("tablet  node") == 1
    assert told["code"] not in hub.log.read_text()
    assert "could not connect with TLS" not in hub.log.read_text(), "what is ordinary alarms nobody"


def test_strangers_who_try_codes_have_to_wait_and_end_nobodys(hub: NodeProcess, authority: Authority) -> None:
    told = code_of(hub, "--type", "kds", "--id", "kds-1")
    wrong = {"name": name_of(told["code"]), "nonce": "0", "terminal_id": "x", "proof": "0" * 64}
    for status in [403] * TRIES + [429] * TRIES:
        assert posted(hub, authority, wrong).status_code == status
    answer = posted(hub, authority, {"code": told["code"]})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert posted(hub, authority, {"code": told["code"]}, source="127.0.0.2").status_code == 200


def test_a_browser_gets_the_token_of_its_terminal_once(hub: NodeProcess, authority: Authority) -> None:
    told = code_of(hub, "--type", "kds", "--id", "kds-1")
    assert told["page"] == f"{hub.url.replace('wss:', 'https:')}/#pair={told['code']}"
    answer = posted(hub, authority, {"code": told["code"]})
    said = orjson.loads(answer.json()["said"])
    assert {**said, "token": ""} == {"terminal_id": "kds-1", "type": "kds", "token": ""}
    assert posted(hub, authority, {"code": told["code"]}).status_code == 403
    read = http_get(
        f"{hub.url.replace('wss:', 'https:')}/api/v1/entities/orders",
        headers={"Authorization": f"Bearer {said['token']}"},
        verify=authority.context(),
    )
    assert read.status_code == 200
    qr = comanda("pair", "--data", str(hub.data), "--type", "kds", "--id", "kds-2")
    assert "#pair=" in qr.stdout
    assert "\u2580" in qr.stdout, "a QR code"


def test_an_id_that_has_a_token_is_not_given_away_and_the_code_stays(hub: NodeProcess, authority: Authority) -> None:
    assert code_of(hub)["type"] == "node"
    said = comanda("pair", "--data", str(hub.data), "--type", "pos", "--id", "pos-0")
    assert said.returncode == 1
    assert "revoke" in said.stderr
    told = code_of(hub)
    key, nonce = key_of(told["code"]), "n"
    fingerprint = authority.fingerprint()
    for name, status in (("pos-0", 409), ("hub", 409), ("a b", 400), ("new", 200)):
        body = {"name": name_of(told["code"]), "nonce": nonce, "terminal_id": name}
        body["proof"] = proof(key, NEWCOMER, fingerprint, nonce, name)
        answer = posted(hub, authority, body)
        assert answer.status_code == status, answer.text
    assert answer.json()["proof"] == proof(key, HUB, fingerprint, nonce, answer.json()["said"])


def test_a_false_hub_is_not_joined(tmp_path: Path, hub: NodeProcess) -> None:
    """It has a certificate of its own, and does not know the code; all the same it answers."""
    other = make(tmp_path / "false")
    told = code_of(hub)
    with running(tmp_path / "mallory", "--id", "mallory", *other.flags()) as mallory:
        data = tmp_path / "tablet"
        said = comanda("join", mallory.url, told["code"], "--data", str(data), "--config", str(tmp_path / "c.toml"))
        assert said.returncode == 1
        assert not (tmp_path / "c.toml").exists()


def test_a_code_is_not_taken_in_clear_from_beyond_a_proxy(tmp_path: Path) -> None:
    """A proxy on the hub's machine makes everybody look like loopback."""
    with running(tmp_path / "hub", "--id", "hub") as node:
        assert comanda("token", "add", "--data", str(node.data), "--type", "pos", "pos-0").returncode == 0
        told = code_of(node, "--type", "kds", "--id", "kds-1")
        url = f"{node.url.replace('ws:', 'http:')}/api/v1/join"
        for sign in SIGNS:
            assert http_post(url, json={"code": told["code"]}, headers={sign: "127.0.0.1"}).status_code == 403
        assert http_post(url, json={"code": told["code"]}).status_code == 200
