"""Head office as two processes, over a PostgreSQL and over a Redis: stores are shared out, links passed on, and one
takes over.

What becomes of it when a process stands still, and when the database does or is emptied, test_evening shows.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from node.cli.asking import CONTROL, ask
from node.runtime.kept_realm import new_realm
from tests.e2e.office import Page, said, shown, write
from tests.faults.rig import until
from tests.patience import http_get
from tests.processes import NodeProcess, comanda

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hubs.shared import Shared


STORES = ("loja-a", "loja-b", "loja-c", "loja-d")
LEASE_S = 4
"""A database that a busy machine holds up for a second still answers in time."""


class Chain:
    """Two processes of head office, and the hub of one store. offices: by node id. store: which it is.

    written: the orders of the store. Each test leaves everything running, so that any may be the first.
    """

    store = "loja-a"

    def __init__(self, folder: Path, shared: Shared) -> None:
        self.folder, self.shared = folder, shared
        self.written: list[str] = []
        config = f'[hubs]\ndatabase = "{shared.to}"\nlease_s = {LEASE_S}\n[time]\nrealm_rest_s = 1.0\n'
        self.offices = {name: NodeProcess(folder / name, "--id", name, config=config) for name in ("north", "south")}
        for office in self.offices.values():
            office.start()
        for realm in STORES:
            new_realm(self.offices["north"].data / "realms" / realm, realm)
        self.hub = self._hub()

    def _hub(self) -> NodeProcess:
        """It joins at the owner, and dials the process that is none."""
        data, toml = self.folder / "hub", self.folder / "hub.toml"

        def joined() -> bool:
            """With a code whose owner may have lost the store meanwhile: then whoever joins asks for another one."""
            code, url = json.loads(self._pair())["code"], self.other().url
            words = ("join", url, code, "--office", self.store, "--id", "hub", "--data", data, "--config", toml)
            return comanda(*words).returncode == 0

        until(joined, "the store's hub joins")
        toml.write_text(toml.read_text().replace("[links]\n", "[links]\npaused_s = 0.3\n"))
        return NodeProcess(data, "--config", str(toml)).start()

    def _pair(self) -> str:
        """The owner gives a code, and nobody else. The store may go from one to the other while they are asked."""
        answers: list[str] = []

        def asked() -> bool:
            owner, other = self.both()
            refused = comanda("pair", "--site", self.store, "--data", other.data)
            given = comanda("pair", "--site", self.store, "--data", owner.data, "--json")
            if refused.returncode == 1 and owner.data.name in refused.stderr and given.returncode == 0:
                answers.append(given.stdout)
            return bool(answers)

        until(asked, "the owner alone gives a code")
        return answers[0]

    # ------------------------------------------------------------------ who has what

    def realms(self, name: str) -> dict[str, dict[str, Any]]:
        found = ask(f"{CONTROL}{self.offices[name].data}", "/api/v1/realms")["realms"]
        return {row["realm"]: row for row in found}

    def owner(self, realm: str = store) -> str | None:
        """Who says of itself that it owns a store, where both say the same."""
        found = {self.realms(name).get(realm, {}).get("owner") for name in self.offices}
        return found.pop() if len(found) == 1 else None

    def both(self) -> tuple[NodeProcess, NodeProcess]:
        """The owner of the store, and the other one. The store may go from one to the other meanwhile."""
        until(lambda: self.owner() is not None, "an owner")
        owner = self.owner()
        first, second = sorted(self.offices.values(), key=lambda office: office.data.name != owner)
        return first, second

    def owning(self) -> NodeProcess:
        return self.both()[0]

    def other(self) -> NodeProcess:
        return self.both()[1]

    def kept(self, office: NodeProcess, entity: str) -> dict[str, Any] | None:
        """An order as this process holds it, whoever owns it."""
        answer = ask(f"{CONTROL}{office.data}", f"/api/v1/entities/orders?{urlencode({'realm': self.store})}")
        return next((shown(row) for row in answer["entities"] if row["entity_id"] == entity), None)

    def token(self) -> str:
        text = (self.folder / "hub.toml").read_text()
        return next(line.split('"')[1] for line in text.splitlines() if line.startswith("token"))

    def writes(self, entity: str) -> None:
        """A till in the store writes, whether or not head office is there."""
        assert write(self.hub, entity, {"total": 5})["status"] == "applied"
        self.written.append(entity)

    def has_all(self, *offices: NodeProcess) -> None:
        """These processes have all that was written, whichever tests ran before."""
        for office in offices:
            for entity in self.written:
                until(partial(self._has, office, entity), f"{entity} at {office.data.name}")

    def _has(self, office: NodeProcess, entity: str) -> bool:
        return self.kept(office, entity) == {"total": 5}

    def end(self) -> None:
        for node in (*self.offices.values(), self.hub):
            node.end()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, module_shared: Shared) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("hubs"), module_shared)
    yield made
    made.end()


def test_stores_are_shared_out_and_any_process_may_be_dialled(chain: Chain) -> None:
    until(lambda: {chain.owner(realm) for realm in STORES} == set(chain.offices), "both own stores")
    chain.writes("mesa-1")
    chain.has_all(*chain.offices.values())
    http = chain.other().url.replace("ws", "http", 1)
    answer = http_get(
        f"{http}/api/v1/entities/orders/mesa-1?realm={chain.store}",
        headers={"Authorization": f"Bearer {chain.token()}"},
    )
    assert shown(answer.json()) == {"total": 5}, "asked of the owner"
    assert http_get(f"{http}/api/v1/entities/orders/mesa-1?realm={chain.store}").status_code == 401
    again = http_get(f"{http}/api/v1/entities/orders?realm={chain.store}", headers={"Comanda-Passed": "1"})
    assert again.status_code == 503, "it was passed on already"
    listed = said("realm", "list", "--data", chain.other().data)
    assert f"{chain.store}  {chain.owning().data.name}" in listed


def test_a_list_reaches_every_store_whoever_owns_it(chain: Chain, tmp_path: Path) -> None:
    """Of the processes' own copies none is taken for a store's node."""
    prices = tmp_path / "precos.csv"
    prices.write_text("Código;Preço\r\na;1,90\r\nb;2,90\r\n", encoding="cp1252")
    until(lambda: {chain.owner(realm) for realm in STORES} == set(chain.offices), "both own stores")
    maps = ("--key", "Código", "--map", "Preço=price", "--only-mapped", "--all", "--json")
    for office in chain.offices.values():
        answers: list[dict[str, Any]] = []

        def sent(office: NodeProcess = office, answers: list[dict[str, Any]] = answers) -> bool:
            """A store may go from one to the other meanwhile; the list is sent again then."""
            done = comanda("publish", "send", prices, *maps, "--data", office.data)
            answers.append(json.loads(done.stdout) if done.returncode in (0, 1) else {})
            return done.returncode == 0

        until(sent, "every store takes it")
        assert sorted(row["site"] for row in answers[-1]["stores"]) == sorted(STORES)
        assert {row["node"] for row in answers[-1]["stores"]} <= set(chain.offices)

    def told() -> dict[str, str]:
        found = json.loads(said("publish", "status", "--data", chain.other().data, "--json"))
        return {row["site"]: row["state"] for row in found["stores"]}

    until(lambda: told() == {store: "delivered" if store == chain.store else "sent" for store in STORES})
    query = urlencode({"terminal_id": "head-office", "limit": 1000})
    for node, more in ((chain.hub, ""), *((chain.owning(), f"&realm={realm}") for realm in (chain.store,))):
        rows = ask(f"{CONTROL}{node.data}", f"/api/v1/audit?{query}{more}")["entries"]
        assert sorted(row["entity_id"] for row in rows if row["operation"] == "CREATE") == ["a", "b"]


def test_the_page_of_any_process_publishes_in_every_store(chain: Chain, tmp_path: Path) -> None:
    prices = tmp_path / "pagina.csv"
    prices.write_text("Código;Produto;Preço\r\np;Pastel;1,90\r\n", encoding="cp1252")
    until(lambda: {chain.owner(realm) for realm in STORES} == set(chain.offices), "both own stores")
    for office in chain.offices.values():
        page = Page(office)

        def sent(page: Page = page) -> bool:
            """A store may go from one to the other meanwhile; the list is sent again then."""
            looked = page.look(prices)
            assert sorted(row["site"] for row in looked["planned"]) == sorted(STORES)
            done = page.send(looked["publication"])
            return {row["wrong"] for row in done["stores"]} == {None} and done["work"]["wrong"] is None

        until(sent, "every store takes it")
    preview = page.look(prices)["work"]["preview"]
    assert (preview["unchanged"], preview["created"]) == (len(STORES), 0), "what the other one wrote"


def test_a_process_that_is_killed_is_followed_by_another_one(chain: Chain) -> None:
    killed, heir = chain.both()
    token = chain.shared.tokens()[chain.store]
    killed.kill()
    chain.writes("mesa-2")
    until(lambda: chain.realms(heir.data.name)[chain.store]["owner"] == heir.data.name, "a new owner")
    assert chain.shared.tokens()[chain.store] > token
    chain.hub.stop()
    toml = chain.folder / "hub.toml"
    toml.write_text(toml.read_text().replace(killed.url, heir.url))
    chain.hub.start()
    chain.writes("mesa-3")
    chain.has_all(heir)
    killed.start()
    chain.has_all(killed)
    chain.writes("mesa-4")
    chain.has_all(killed, heir)


def test_what_is_wrong_in_the_database_stops_no_store(chain: Chain) -> None:
    """A charter that nobody can read, and a store whose name is a path."""
    chain.shared.spoil(chain.store)

    def mended() -> bool:
        owner, body = chain.shared.left(chain.store)
        return bool(owner) and body.startswith(b"[")

    until(mended, "its owner has left what it knows itself")
    until(lambda: any("no name of a store" in office.said() for office in chain.offices.values()))
    chain.writes("mesa-10")
    chain.has_all(*chain.offices.values())
    assert not (chain.folder / "x").exists()


def test_nothing_is_lost_or_doubled_and_every_log_is_sound(chain: Chain) -> None:
    chain.writes("mesa-11")
    chain.has_all(*chain.offices.values())
    nodes = (chain.hub, *chain.offices.values())
    for node in nodes:
        assert node.stop() == 0
        assert "Traceback" not in node.said(), node.said()[-3000:]
    for folder in (chain.hub.data, *(office.data / "realms" / chain.store for office in chain.offices.values())):
        verified = comanda("verify", "--data", folder)
        assert verified.returncode == 0, verified.stdout
    for node in nodes:
        node.start()
