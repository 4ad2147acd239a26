"""Head office over real processes: two stores with the same ids under one roof, each in a realm of its own."""

from __future__ import annotations

import json
import shutil
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from node.cli.asking import CONTROL, ask
from tests.e2e.office import STORES, Chain, heard, said, shown, write
from tests.faults.rig import until
from tests.patience import PATIENCE_S, connect, http_get
from tests.processes import NodeProcess, comanda

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def lock(hub: NodeProcess, terminal: str, order: str = "mesa-12") -> dict[str, Any]:
    """A till asks for a lock; the answer. The lock stays."""
    with connect(f"{hub.url}/ws/{terminal}?type=pos") as pos:
        pos.send(json.dumps({"type": "acquire_lock", "entity_type": "orders", "entity_id": order}))
        return heard(pos, "lock_acquired", "lock_failed")


def closed_with(url: str, **headers: str) -> int:
    """The code with which a node's connection is closed."""
    more = {"additional_headers": headers, "subprotocols": ["comanda.v1"]}
    with connect(url, **more) as link:
        with suppress(ConnectionClosed):
            while True:
                link.recv(PATIENCE_S)
        return link.close_code or 0


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("chain"))
    for realm, (dish, total) in STORES.items():
        assert write(made.hubs[realm], "mesa-12", {"name": dish, "total": total})["status"] == "applied"
    yield made
    made.end()


def test_the_same_ids_in_two_stores_stay_two(chain: Chain) -> None:
    for realm, (dish, total) in STORES.items():
        until(lambda realm=realm: chain.kept(realm) is not None)
        assert chain.kept(realm) == {"name": dish, "total": total}
        answer = http_get(f"{chain.hubs[realm].url.replace('ws', 'http', 1)}/api/v1/entities/orders/mesa-12")
        assert shown(answer.json()) == {"name": dish, "total": total}
    assert ask(f"{CONTROL}{chain.office.data}", "/api/v1/entities/orders")["entities"] == [], (
        "head office's own realm"
    )


def test_a_lock_is_its_stores_own_and_asks_nobody_else(chain: Chain) -> None:
    """Head office stands still, and a lock of one store refuses nobody in the other."""
    chain.office.process.send_signal(signal.SIGSTOP)
    try:
        a, b = (chain.hubs[realm] for realm in STORES)
        assert lock(a, "pos-001")["type"] == "lock_acquired"
        assert lock(b, "pos-002")["type"] == "lock_acquired"
        refused = lock(a, "pos-002")
        assert (refused["type"], refused["locked_by"]) == ("lock_failed", "pos-001")
    finally:
        chain.office.process.send_signal(signal.SIGCONT)


def test_a_token_of_one_store_opens_no_other(chain: Chain) -> None:
    """Whatever realm the greeting names, and over HTTP too."""
    token = chain.token("loja-a")
    bearer = {"Authorization": f"Bearer {token}"}
    dial = f"{chain.office.url}/ws/hub?type=node&as=peer&epoch=e&head=0&instance=i&attempt=1&realm="
    assert closed_with(f"{dial}loja-b", **bearer) == 4003
    assert closed_with(f"{dial}loja-b") == 4003
    assert closed_with(f"{dial}loja-c", **bearer) == 4008
    http = chain.office.url.replace("ws", "http", 1)
    for realm, status in (("loja-a", 200), ("loja-b", 401), ("loja-c", 404), ("../loja-b", 404)):
        answer = http_get(f"{http}/api/v1/entities/orders/mesa-12?{urlencode({'realm': realm})}", headers=bearer)
        assert answer.status_code == status, realm
    for realm in STORES:
        assert closed_with(f"{chain.hubs[realm].url}/ws/x?type=node&realm=loja-c") == 4008
        assert closed_with(f"{chain.hubs[realm].url}/ws/x?type=node") == 4008, "a node of a store without a name"
        assert closed_with(f"{chain.hubs[realm].url}/ws/x?type=pos&realm=loja-c") == 4008


def test_head_office_says_which_stores_it_keeps_running_or_not(chain: Chain, tmp_path: Path) -> None:
    until(lambda: all(row.get("linked") == ["hub"] for row in chain.realms().values()))
    lines = said("realm", "list", "--data", chain.office.data, "--json").splitlines()
    assert {row["realm"]: row["linked"] for row in map(json.loads, lines)} == {realm: ["hub"] for realm in STORES}
    assert "loja-a  hub" in said("realm", "list", "--data", chain.office.data)
    for again in ("loja-a", "Loja", "../x"):
        assert comanda("realm", "add", again, "--data", chain.office.data).returncode != 0, again
    assert comanda("realm", "add", "loja-a", "--data", tmp_path).returncode == 1, "no node is there"
    for realm in STORES:
        (tmp_path / "realms" / realm).mkdir(parents=True)
        (tmp_path / "realms" / realm / "comanda.db").touch()
    assert said("realm", "list", "--data", tmp_path).count("closed") == len(STORES)


def test_what_is_not_used_is_closed_and_a_link_opens_it_again(chain: Chain) -> None:
    hub = chain.hubs["loja-a"]
    until(lambda: chain.realms()["loja-a"]["open"])
    url = f"{chain.office.url.replace('ws', 'http', 1)}/api/v1/entities/orders?realm=loja-a"
    answer = httpx.head(url, headers={"Authorization": f"Bearer {chain.token('loja-a')}"}, timeout=PATIENCE_S)
    assert answer.status_code == 200, "a long answer, of which nobody asks for a piece"
    hub.stop()
    until(lambda: not chain.realms()["loja-a"]["open"])
    assert chain.realms()["loja-b"]["open"]
    verified = comanda("verify", "--data", chain.office.data / "realms" / "loja-a")
    assert verified.returncode == 0, "its folder is a data directory that nobody has open"
    hub.start()
    assert write(hub, "mesa-13", {"total": 5})["status"] == "applied"
    until(lambda: chain.realms()["loja-a"].get("linked") == ["hub"])
    until(lambda: chain.kept("loja-a", "mesa-13") == {"total": 5})
    status = comanda("status", "--data", chain.office.data / "realms" / "loja-a", "--json")
    assert json.loads(status.stdout)["links"], "and has a control socket of its own"


def test_a_damaged_store_stops_no_other(chain: Chain) -> None:
    hub, folder = chain.hubs["loja-b"], chain.office.data / "realms" / "loja-b"
    hub.stop()
    until(lambda: not chain.realms()["loja-b"]["open"])
    whole = (folder / "comanda.db").read_bytes()
    (folder / "comanda.db").write_bytes(b"x" * len(whole))
    hub.start()
    assert write(hub, "mesa-20", {"total": 1})["status"] == "applied"
    until(lambda: "loja-b" in chain.office.said() and "not open" in chain.office.said())
    assert write(chain.hubs["loja-a"], "mesa-21", {"total": 1})["status"] == "applied"
    until(lambda: chain.kept("loja-a", "mesa-21") is not None)
    (folder / "comanda.db").write_bytes(whole)
    until(lambda: chain.realms()["loja-b"].get("linked") == ["hub"])
    until(lambda: chain.kept("loja-b", "mesa-20") is not None)


def test_a_hub_that_lost_its_disk_gets_its_store_back_from_head_office(chain: Chain) -> None:
    hub = chain.hubs["loja-a"]
    until(lambda: chain.kept("loja-a") is not None)
    before = chain.kept("loja-a")
    hub.kill()
    shutil.rmtree(hub.data)
    hub.flags = (*hub.flags, "--id", "hub")
    hub.start()
    folder = chain.office.data / "realms" / "loja-a"

    def offered() -> list[dict[str, str]]:
        done = comanda("keys", "list", "--json", "--data", folder)
        found: list[dict[str, str]] = json.loads(done.stdout)["offered"].get("hub", []) if done.stdout else []
        return found

    until(offered)
    said("keys", "trust", "hub", offered()[0]["fingerprint"], "--data", folder)
    http = hub.url.replace("ws", "http", 1)

    def back() -> bool:
        answer = http_get(f"{http}/api/v1/entities/orders/mesa-12")
        return answer.status_code == 200 and shown(answer.json()) == before

    until(back)
    assert write(hub, "mesa-30", {"total": 3})["status"] == "applied"
    until(lambda: chain.kept("loja-a", "mesa-30") is not None)
    assert chain.kept("loja-b", "mesa-30") is None
