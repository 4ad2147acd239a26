"""Head office and its stores' hubs, set up as the README has it."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

from node.cli.asking import CONTROL, ask
from tests.faults.rig import until
from tests.patience import PATIENCE_S, connect
from tests.processes import NodeProcess, comanda

if TYPE_CHECKING:
    from pathlib import Path

    from websockets.sync.client import ClientConnection

STORES = {"loja-a": ("feijoada", 10), "loja-b": ("pizza", 99)}
"""By realm, what mesa-12 has there."""

FIELDS = {"Código": "", "Produto": "name", "Preço": "price"}
"""Of the columns of a price list."""


class Chain:
    """Head office, and by realm each store's hub. They all are called `hub`, and their tills `pos-001`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.office = NodeProcess(folder / "office", "--id", "office", config="[time]\nrealm_rest_s = 1.0\n")
        self.office.start()
        self.hubs = {realm: self._store(realm) for realm in STORES}

    def _store(self, realm: str) -> NodeProcess:
        """As the README has it."""
        data, toml = self.folder / realm, self.folder / f"{realm}.toml"
        said("realm", "add", realm, "--data", self.office.data)
        code = said("pair", "--site", realm, "--data", self.office.data, "--json")
        url = self.office.url
        said(
            "join", url, json.loads(code)["code"], "--office", realm, "--id", "hub", "--data", data, "--config", toml
        )
        toml.write_text(toml.read_text().replace("[links]\n", "[links]\npaused_s = 0.3\n"))
        return NodeProcess(data, "--config", str(toml)).start()

    def realms(self) -> dict[str, dict[str, Any]]:
        found = ask(f"{CONTROL}{self.office.data}", "/api/v1/realms")["realms"]
        return {row["realm"]: row for row in found}

    def kept(self, realm: str, entity: str = "mesa-12") -> dict[str, Any] | None:
        """An order as head office holds it for a store."""
        answer = ask(f"{CONTROL}{self.office.data}", f"/api/v1/entities/orders?{urlencode({'realm': realm})}")
        return next((shown(row) for row in answer["entities"] if row["entity_id"] == entity), None)

    def token(self, realm: str) -> str:
        """What the hub of a store shows to head office."""
        text = (self.folder / f"{realm}.toml").read_text()
        return next(line.split('"')[1] for line in text.splitlines() if line.startswith("token"))

    def end(self) -> None:
        for node in (self.office, *self.hubs.values()):
            with suppress(ProcessLookupError):
                node.process.send_signal(signal.SIGCONT)
            node.end()


class Page:
    """Asks head office over the network, as its page does when it publishes. token: which it shows."""

    def __init__(self, office: NodeProcess, token: str = "") -> None:
        self.url = office.url.replace("ws", "http", 1)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, path: str, status: int = 200, **more: Any) -> dict[str, Any]:
        headers = {**self.headers, **more.pop("headers", {})}
        answer = httpx.request(method, f"{self.url}/api/v1/{path}", headers=headers, timeout=PATIENCE_S, **more)
        assert answer.status_code == status, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def take(self, file: Path) -> dict[str, Any]:
        return self.ask("POST", "publish/list", params={"file": file.name}, content=file.read_bytes())

    def wish(self, file: Path, **more: object) -> dict[str, Any]:
        taken = self.take(file)
        base = {"list": taken["list"], "file": taken["file"], "type": "products", "key": "Código", "columns": FIELDS}
        return {**base, **more}

    def look(self, file: Path, **more: object) -> dict[str, Any]:
        """What it would change, once it is known of each store."""
        return self.over(self.ask("POST", "publish/look", json=self.wish(file, **more))["publication"])

    def send(self, publication: str, **more: object) -> dict[str, Any]:
        self.ask("POST", "publish/send", json={"publication": publication, **more})
        return self.over(publication)

    def over(self, publication: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def ended() -> bool:
            found.append(self.ask("GET", f"publications/{publication}"))
            return not found[-1]["work"]["running"]

        until(ended)
        return found[-1]


def said(*words: str | Path) -> str:
    done = comanda(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row["data"].items() if name != "version"}


def write(hub: NodeProcess, entity: str, data: dict[str, Any], kind: str = "CREATE") -> dict[str, Any]:
    """A till of a store writes an order; the node's answer."""
    with connect(f"{hub.url}/ws/pos-001?type=pos") as pos:
        pos.send(
            json.dumps(
                {
                    "type": "data_sync",
                    "operation": {
                        "id": f"{entity}.{kind}",
                        "entity_type": "orders",
                        "entity_id": entity,
                        "operation": kind,
                        "data": data,
                        "terminal_id": "pos-001",
                    },
                }
            )
        )
        return heard(pos, "sync_confirmation")


def heard(pos: ClientConnection, *kinds: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(pos.recv(PATIENCE_S))
        if message["type"] in kinds:
            return message
