"""A hub that asks everybody for a certificate: who joins gets one, and nobody else comes in, meanwhile neither."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from node.client.sync import connect as terminal
from node.config.sections import TlsSection
from node.runtime import x509
from node.runtime.net.client import ConnectError, connect
from node.runtime.net.tls import Trust
from node.wire.pairing import NEWCOMER, key_of, name_of, proof
from tests.authority import Authority, make
from tests.e2e.test_joining import code_of, running
from tests.e2e.test_tls import up, write
from tests.faults.rig import until
from tests.patience import PATIENCE_S
from tests.processes import NodeProcess, comanda

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return make(folder / "hub" / "tls")


@pytest.fixture(scope="module")
def hub(folder: Path, authority: Authority) -> Iterator[NodeProcess]:
    flags = ("--id", "hub", *authority.flags(), "--tls-client-ca", authority.ca)
    with running(folder / "hub", *flags) as node:
        made = comanda("token", "add", "--data", node.data, "--type", "pos", "pos-1")
        node.token = made.stdout.strip()  # type: ignore[attr-defined]
        yield node


def told(hub: NodeProcess, authority: Authority, path: str, **more: Any) -> int | None:
    """The status of an answer to somebody without a certificate; None where he is not even let in."""
    try:
        with httpx.Client(verify=authority.context(), timeout=PATIENCE_S) as client:
            method = "POST" if "json" in more else "GET"
            return client.request(method, hub.url.replace("wss:", "https:") + path, **more).status_code
    except httpx.TransportError:
        return None


def test_without_a_certificate_nobody_is_let_in_but_to_join_while_a_code_is_open(
    hub: NodeProcess, authority: Authority
) -> None:
    assert told(hub, authority, "/healthz") is None
    code = code_of(hub, "--type", "kds", "--id", "kds-1")["code"]
    bearer = {"Authorization": f"Bearer {hub.token}"}  # type: ignore[attr-defined]
    for path in ("/", "/healthz", "/metrics", "/api/v1/entities/orders", "/api/v1/join/", "//api/v1/join"):
        assert told(hub, authority, path, headers=bearer) == 403
    assert told(hub, authority, "/api/v1/tokens/add?terminal_id=x&type=pos", headers=bearer, json={}) == 403

    async def knock() -> None:
        with pytest.raises(ConnectError, match="403"):
            await connect(f"{hub.url}/ws/pos-1?type=pos", trust=Trust(authority.context()))

    trio.run(knock)
    assert told(hub, authority, "/api/v1/join", json={"code": "AAAA-AAAA-AAAA"}) == 403
    assert told(hub, authority, "/api/v1/join", json={"code": code, "certificate_request": "none"}) == 400
    assert told(hub, authority, "/api/v1/join", json={"code": code}) == 200
    assert told(hub, authority, "/api/v1/join", json={"code": code}) is None  # the door is shut behind him


def test_a_machine_that_joins_is_given_a_certificate_and_is_linked_with_it(tmp_path: Path, hub: NodeProcess) -> None:
    code, settings, data = code_of(hub)["code"], tmp_path / "comanda.toml", tmp_path / "tablet"
    joined = comanda("join", hub.url, code, "--id", "tablet", "--data", data, "--config", settings)
    assert joined.returncode == 0, joined.stderr
    assert "own_certificate" in settings.read_text()
    assert (data / "hub-client.key").stat().st_mode & 0o077 == 0
    with running(data, "--config", str(settings)) as tablet:
        until(lambda: up(tablet))
        write(tablet, "mesa-1")


def test_a_hub_that_can_make_none_says_so_and_takes_one_that_is_brought(tmp_path: Path) -> None:
    own, others = make(tmp_path / "hub" / "tls"), make(tmp_path / "theirs")
    flags = ("--id", "hub", *own.flags(), "--tls-client-ca", others.ca)
    with running(tmp_path / "hub", *flags) as hub:
        settings, data = tmp_path / "comanda.toml", tmp_path / "tablet"
        words = ("--id", "tablet", "--data", data, "--config", settings)
        bare = comanda("join", hub.url, code_of(hub)["code"], *words)
        assert bare.returncode == 0, bare.stderr
        assert "own_certificate" in bare.stderr
        settings.unlink()
        assert comanda("token", "revoke", "--data", hub.data, "tablet").returncode == 0
        shown = ("--client-cert", others.certificate, "--client-key", others.key)
        brought = comanda("join", hub.url, code_of(hub)["code"], *shown, *words)
        assert (brought.returncode, brought.stderr) == (0, "")
        with running(data, "--config", str(settings)) as tablet:
            until(lambda: up(tablet))


def test_commands_and_programs_show_theirs_and_know_the_hub_by_its_authority(
    tmp_path: Path, hub: NodeProcess, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = comanda("tls", "client", "pos-1", "--data", hub.data, "--json")
    assert made.returncode == 0, made.stderr
    files = json.loads(made.stdout)
    assert (hub.data / "tls" / "clients" / "pos-1.key").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("COMANDA_TOKEN", hub.token)  # type: ignore[attr-defined]
    url = hub.url.replace("wss:", "https:")
    ca = ("--ca", authority.ca)
    shown = (*ca, "--client-cert", files["certificate"], "--client-key", files["key"])
    (tmp_path / "list.csv").write_text("id,name\n1,Feijoada\n")
    who = ("--terminal", "pos-1")
    for words in (
        ("status",),
        ("send", '{"type": "ping"}', *who),
        ("import", tmp_path / "list.csv", "--type", "products", "--key", "id", *who),
        ("export", "entities", "--type", "products"),
        ("listen", "--count", "1", "--state", *who, "--terminal-type", "pos"),
        ("top", "--json"),
    ):
        done = comanda(*words, "--url", url, *shown)
        assert done.returncode == 0, (words, done.stderr)
        refused = comanda(*words, "--url", url, *ca)
        assert refused.returncode == 1, words
    for unknown in ((), shown[2:]):
        strange = comanda("status", "--url", url, *unknown)
        assert strange.returncode == 1
        assert "certificate" in strange.stderr.lower()
    context = authority.context()
    context.load_cert_chain(files["certificate"], files["key"])
    with terminal(hub.url, "pos-1", "pos", token=hub.token, tls=context) as program:  # type: ignore[attr-defined]
        program.contact(timeout_s=PATIENCE_S)
    with pytest.raises(ssl.SSLError), terminal(hub.url, "pos-1", "pos", ca=files["key"]):
        pass


def test_a_program_knows_a_hub_by_an_authority_of_its_own(tmp_path: Path) -> None:
    own = make(tmp_path / "tls")
    with (
        running(tmp_path / "hub", *own.flags()) as hub,
        terminal(hub.url, "pos-1", "pos", ca=own.ca) as program,
    ):
        program.contact(timeout_s=PATIENCE_S)


def test_a_clients_certificate_is_no_hubs(tmp_path: Path, authority: Authority) -> None:
    """Who has a tablet's certificate cannot stand in the hub's place, though the same authority made it."""
    key, asked = x509.request("127.0.0.1")
    files = {"pem": x509.issue(authority.folder, "127.0.0.1", asked, datetime.now(UTC)), "key": key}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    settings = TlsSection(str(tmp_path / "pem"), str(tmp_path / "key"))
    with running(
        tmp_path / "mallory", "--tls-cert", settings.certificate or "", "--tls-key", settings.key or ""
    ) as mallory:
        assert told(mallory, authority, "/healthz") is None


def test_a_code_and_a_request_for_a_certificate_are_worth_one_token(hub: NodeProcess, authority: Authority) -> None:
    code, fingerprint = code_of(hub)["code"], authority.fingerprint()
    _, asked = x509.request("node-9")
    said = {"name": name_of(code), "nonce": "n", "terminal_id": "node-9", "certificate_request": asked.decode()}
    said["proof"] = proof(key_of(code), NEWCOMER, fingerprint, "n", "node-9")
    assert [told(hub, authority, "/api/v1/join", json=said) for _ in range(2)] == [200, None]
