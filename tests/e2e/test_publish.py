"""`comanda publish` over real processes: who is away gets it later, nothing twice, and it is said who has it."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from node.cli.asking import CONTROL, ask
from tests.e2e.office import STORES, Chain, said
from tests.faults.rig import until
from tests.launcher import launch_read
from tests.patience import PROGRAM_S
from tests.processes import comanda

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAPS = ("--key", "Código", "--map", "Preço=price", "--map", "Produto=name", "--only-mapped")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("chain"))
    yield made
    made.end()


def prices(path: Path, count: int, cents: int = 90) -> Path:
    lines = ["Código;Produto;Preço", *(f"{path.stem}-{one};Prato {one};{one},{cents}" for one in range(count))]
    path.write_text("\r\n".join(lines), encoding="cp1252")
    return path


def publish(chain: Chain, file: Path, *more: str, status: int = 0) -> dict[str, dict[str, Any]]:
    done = comanda("publish", "send", file, *MAPS, *more, "--data", chain.office.data, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    return {row["site"]: row for row in json.loads(done.stdout)["stores"]}


def states(chain: Chain) -> dict[str, str]:
    """Of the latest publication, by store."""
    found = json.loads(said("publish", "status", "--data", chain.office.data, "--json"))
    return {row["site"]: row["state"] for row in found["stores"]}


def written(url: str, prefix: str, realm: str | None = None) -> list[str]:
    """The products of a list that head office created there, by its audit: each as often as it was."""
    query = "" if realm is None else f"&realm={realm}"
    rows = ask(url, f"/api/v1/audit?terminal_id=head-office&newest=1&limit=1000{query}")["entries"]
    created = [row["entity_id"] for row in rows if row["operation"] == "CREATE"]
    return sorted(name for name in created if name.startswith(prefix))


def test_a_store_that_is_away_gets_it_later_and_it_is_said_who_has_it(chain: Chain, tmp_path: Path) -> None:
    a, b = STORES
    chain.hubs[b].stop()
    file = prices(tmp_path / "menu.csv", 3)
    dry = publish(chain, file, "--all", "--dry-run")
    assert {site: (row["created"], row["seq"]) for site, row in dry.items()} == {a: (3, None), b: (3, None)}
    done = publish(chain, file, "--all", "--user", "maria")
    assert {site: (row["created"], row["refused"], row["wrong"]) for site, row in done.items()} == dict.fromkeys(
        STORES, (3, 0, None)
    )
    until(lambda: states(chain) == {a: "delivered", b: "sent"})
    said_so = said("publish", "status", "--data", chain.office.data)
    assert "entregue / delivered  hub" in said_so
    assert "a caminho / on its way" in said_so
    chain.hubs[b].start()
    until(lambda: states(chain) == {a: "delivered", b: "delivered"})
    for site in STORES:
        assert written(f"{CONTROL}{chain.hubs[site].data}", "menu-") == [f"menu-{one}" for one in range(3)]


def test_again_it_changes_nothing_and_a_new_price_is_one_act(chain: Chain, tmp_path: Path) -> None:
    publish(chain, prices(tmp_path / "again.csv", 4), "--all")
    heads = {site: chain.realms()[site]["head"] for site in STORES}
    again = publish(chain, tmp_path / "again.csv", "--all")
    assert {(row["created"], row["changed"], row["unchanged"]) for row in again.values()} == {(0, 0, 4)}
    assert {site: chain.realms()[site]["head"] for site in STORES} == heads
    one = publish(chain, prices(tmp_path / "again.csv", 4, cents=50), "--site", "loja-b")
    assert {site: row["changed"] for site, row in one.items()} == {"loja-b": 4}
    assert chain.realms()["loja-b"]["head"] == heads["loja-b"] + 1


def test_killed_in_the_middle_it_is_finished_by_the_next_run(chain: Chain, tmp_path: Path) -> None:
    file = prices(tmp_path / "long.csv", 400)
    words = ["publish", "send", str(file), *MAPS, "--all", "--data", str(chain.office.data)]
    office = f"{CONTROL}{chain.office.data}"
    with (tmp_path / "log").open("wb") as log:
        process = launch_read(words, log)
        until(lambda: bool(written(office, "long-", "loja-a")))
        process.send_signal(signal.SIGKILL)
        process.wait(PROGRAM_S)
        process.stdout.close()
    done = publish(chain, file, "--all")
    assert {row["created"] + row["unchanged"] for row in done.values()} == {400}
    for site in STORES:
        assert written(office, "long-", site) == sorted(f"long-{one}" for one in range(400))
    until(lambda: set(states(chain).values()) == {"delivered"})


def test_what_a_store_refuses_is_named_and_stops_nobody(chain: Chain, tmp_path: Path) -> None:
    file = prices(tmp_path / "wrong.csv", 2)
    file.write_text(f"{file.read_text('cp1252')}\r\na b;Prato;1,00", encoding="cp1252")
    done = publish(chain, file, "--all", status=1)
    assert {(row["created"], row["refused"], row["refusals"][0]["line"]) for row in done.values()} == {(2, 1, 4)}
    assert comanda("publish", "send", file, "--data", chain.office.data).returncode == 2
    other = comanda("publish", "send", file, "--site", "loja-c", "--data", chain.office.data)
    assert (other.returncode, "loja-c" in other.stderr) == (2, True)
    assert comanda("publish", "status", "--data", tmp_path).returncode == 1


def test_it_writes_with_the_rights_of_its_terminal_type(chain: Chain, tmp_path: Path) -> None:
    done = publish(chain, prices(tmp_path / "kds.csv", 1), "--all", "--terminal-type", "kds", status=1)
    assert {(row["created"], row["refused"]) for row in done.values()} == {(0, 1)}
    assert "4008" in done["loja-a"]["refusals"][0]["reason"]
