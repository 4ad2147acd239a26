"""Head office as three processes, and stores that write all the while: nothing is lost or doubled.

Every store is a hub in a process of its own. They dial one address, behind which the three processes of head office
stand. Each test lets something fail, has every store write, and mends it, so any may be the first. COMANDA_STORES (5)
says how many stores.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import uuid
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psutil
import pytest

from node.cli.asking import CONTROL, ask
from node.runtime.api.tokens import made
from node.runtime.kept_realm import new_realm
from storage.sqlite.database import DATABASE
from storage.sqlite.store import Store
from tests.faults.rig import until
from tests.hubs.balancer import Balancer
from tests.hubs.shared import OnPostgres
from tests.patience import PATIENCE_S, connect
from tests.processes import NodeProcess, comanda
from tests.sink.conftest import made as new_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hubs.shared import Shared
    from tests.sink.postgres import Postgres

OFFICES = ("north", "south", "east")
STORES = tuple(f"loja-{number + 1}" for number in range(int(os.environ.get("COMANDA_STORES", "5"))))
LEASE_S = 4
"""A database that a busy machine holds up for a second still answers in time."""


class Evening:
    """offices: by node id. hubs: by store. orders: confirmed so far, in each store."""

    def __init__(self, folder: Path, shared: Shared) -> None:
        self.folder, self.shared = folder, shared
        self.hubs: dict[str, NodeProcess] = {}
        self.orders: list[str] = []
        config = f'[hubs]\ndatabase = "{shared.to}"\nlease_s = {LEASE_S}\n'
        self.offices = {name: NodeProcess(self.folder / name, "--id", name, config=config) for name in OFFICES}
        self.balancer = Balancer(lambda: [office.port for office in self.offices.values()])
        for store in STORES:
            token, row = made("hub", "node", "", "2026-01-15T10:00:00.000Z", {}, None)
            kept = self.folder / "north" / "realms" / store
            new_realm(kept, store)
            with closing(Store.open(kept, None, lambda: uuid.uuid4().hex)) as opened:
                opened.put_tokens([row])
            links = f'[links]\noffice = "{self.balancer.url}"\ntoken = "{token}"\npaused_s = 0.3\n'
            said = f'[node]\nsite = "{store}"\nid = "hub"\n{links}'
            self.hubs[store] = NodeProcess(self.folder / store, config=said)
        for node in (*self.offices.values(), *self.hubs.values()):
            node.start()

    def write(self) -> None:
        """A till of every store writes one more order, and has it confirmed, whatever head office does."""
        name = f"mesa-{len(self.orders)}"
        operation = {"id": name, "entity_type": "orders", "entity_id": name, "operation": "CREATE"}
        more = {"data": {"total": len(self.orders)}, "terminal_id": "pos-1"}
        for hub in self.hubs.values():
            with connect(f"{hub.url}/ws/pos-1?type=pos") as till:
                till.send(json.dumps({"type": "data_sync", "operation": {**operation, **more}}))
                while (answer := json.loads(till.recv(PATIENCE_S)))["type"] != "sync_confirmation":
                    pass
                assert answer["status"] == "applied"
        self.orders.append(name)

    def realms(self, office: str) -> dict[str, dict[str, Any]]:
        found = ask(f"{CONTROL}{self.offices[office].data}", "/api/v1/realms")["realms"]
        return {row["realm"]: row for row in found}

    def owned(self, *offices: str) -> dict[str, str]:
        """Each store's owner, where those of these (all, unless said) agree on one that have it at all."""
        told = [self.realms(office) for office in offices or OFFICES]
        said = {store: {realms[store].get("owner") for realms in told if store in realms} for store in STORES}
        return {store: str(*owners) for store, owners in said.items() if len(owners) == 1 and None not in owners}

    def settled(self) -> dict[str, str]:
        """Who owns each store, once all processes say so and each has some."""
        found: dict[str, str] = {}

        def shared() -> bool:
            found.update(self.owned())
            return len(found) == len(STORES) and set(found.values()) == set(OFFICES)

        until(shared, "each process owns stores")
        return found

    def holds(self, office: str, store: str) -> list[str]:
        """The orders of a store that a process holds, whoever owns it."""
        query = urlencode({"realm": store, "limit": 500})
        with suppress(Exception):  # it keeps no copy of this one
            answer = ask(f"{CONTROL}{self.offices[office].data}", f"/api/v1/entities/orders?{query}")
            return sorted(row["entity_id"] for row in answer["entities"])
        return []

    def whole(self, *offices: str) -> None:
        """Of these processes (all, unless said) two hold all that a store has written, its owner one of them."""

        written = sorted(self.orders)

        def there(store: str) -> bool:
            having = {office for office in offices or OFFICES if self.holds(office, store) == written}
            return len(having) > 1 and self.owned(*offices).get(store) in having

        for store in STORES:
            until(lambda store=store: there(store), f"{store} is whole in two processes")

    def given_up(self, office: str) -> int:
        """How often a process has said that it owns stores no more."""
        return self.offices[office].said().count("not owned here any more")

    def unanswered(self, office: str) -> int:
        """How often a process has said that the database does not answer."""
        return self.offices[office].said().count("does not answer")

    def tokens(self) -> dict[str, int]:
        return self.shared.tokens()

    def end(self) -> None:
        for node in (*self.offices.values(), *self.hubs.values()):
            with suppress(AttributeError):  # it was not started
                node.end()
        self.balancer.end()


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory, server: Postgres) -> Iterator[Evening]:
    made = Evening(tmp_path_factory.mktemp("evening"), OnPostgres(new_database(server), server))
    yield made
    made.end()


def test_stores_are_shared_out_among_three(evening: Evening) -> None:
    evening.write()
    evening.settled()
    evening.whole()


def test_an_owner_is_killed(evening: Evening) -> None:
    owners, tokens = evening.settled(), evening.tokens()
    killed = owners[STORES[0]]
    rest = [office for office in OFFICES if office != killed]
    evening.write()
    evening.offices[killed].kill()
    evening.write()
    until(lambda: set(evening.owned(*rest)) == set(STORES) and killed not in evening.owned(*rest).values())
    evening.write()
    evening.whole(*rest)
    now = evening.tokens()
    assert all(now[store] > tokens[store] for store in STORES if owners[store] == killed)
    evening.offices[killed].start()
    evening.write()
    evening.settled()
    evening.whole()


def test_an_owner_stands_still_and_is_fenced_when_it_goes_on(evening: Evening) -> None:
    owners = evening.settled()
    zombie = owners[STORES[1]]
    rest = [office for office in OFFICES if office != zombie]
    ended, process = evening.given_up(zombie), evening.offices[zombie].process
    process.send_signal(signal.SIGSTOP)
    evening.write()
    until(lambda: zombie not in evening.owned(*rest).values() and set(evening.owned(*rest)) == set(STORES))
    tokens = evening.tokens()
    process.send_signal(signal.SIGCONT)
    evening.write()
    until(lambda: evening.given_up(zombie) > ended)
    evening.settled()
    assert all(token >= tokens[store] for store, token in evening.tokens().items())
    evening.whole()


def test_the_database_stands_still(evening: Evening, server: Postgres) -> None:
    evening.settled()
    before = {office: evening.given_up(office) for office in OFFICES}
    postgres = psutil.Process(server.process.pid)
    everyone = [postgres, *postgres.children(recursive=True)]
    for one in everyone:
        one.suspend()
    try:
        evening.write()
        for office, count in before.items():
            until(lambda office=office, count=count: evening.given_up(office) > count, f"{office} stops")
        evening.write()
    finally:
        for one in everyone:
            one.resume()
    evening.whole()


def test_the_database_is_killed_and_then_emptied(evening: Evening) -> None:
    killed_and_emptied(evening)


def killed_and_emptied(evening: Evening) -> None:
    evening.settled()
    before = {office: evening.unanswered(office) for office in OFFICES}
    evening.shared.server.kill()
    evening.write()
    for office, count in before.items():
        until(lambda office=office, count=count: evening.unanswered(office) > count)
    evening.shared.server.start()
    evening.write()
    evening.settled()
    evening.whole()
    tokens = evening.tokens()
    evening.shared.empty()
    evening.write()

    def owned_anew() -> bool:
        with suppress(Exception):  # the tables are not there for a moment
            now = evening.tokens()
            return all(now.get(store, 0) > tokens[store] for store in STORES)
        return False

    until(owned_anew, "higher tokens than before")
    evening.write()
    evening.settled()
    evening.whole()


def test_all_logs_hold_each_order_once_and_are_sound(evening: Evening) -> None:
    evening.write()
    owners = evening.settled()
    evening.whole()
    nodes = (*evening.hubs.values(), *evening.offices.values())
    for node in nodes:
        assert node.stop() == 0
        assert "Traceback" not in node.said(), node.said()[-3000:]
    whole = []
    for folder in [hub.data for hub in evening.hubs.values()] + [
        office.data / "realms" / store for office in evening.offices.values() for store in STORES
    ]:
        if (folder / DATABASE).exists():
            found = logged(folder)
            assert len(found) == len(set(found)), folder
            assert set(found) <= set(evening.orders), folder
            whole += [folder] * (len(found) == len(evening.orders))
    for store in STORES:
        holders = [folder for folder in whole if folder.name == store]
        assert evening.hubs[store].data in holders
        assert evening.offices[owners[store]].data / "realms" / store in holders
        assert len(holders) >= 3, holders
    for folder in (evening.hubs[STORES[0]].data, whole[-1]):
        verified = comanda("verify", "--data", folder)
        assert verified.returncode == 0, verified.stdout
    for node in nodes:
        node.start()


def logged(folder: Path) -> list[str]:
    """The orders' operations, as they stand in a log."""
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        found = database.execute("SELECT operation_id FROM log WHERE kind = 'operation' AND entity_type = 'orders'")
        return [str(name) for (name,) in found]
