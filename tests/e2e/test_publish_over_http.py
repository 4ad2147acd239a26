"""Head office publishes over HTTP, as its page does: the same lists, the same records, and what nobody may."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from node.cli.asking import CONTROL
from node.rights import LIST_BYTES
from tests.e2e.office import FIELDS, STORES, Chain, Page, said
from tests.e2e.test_publish import prices, states, written
from tests.faults.rig import until
from tests.processes import comanda

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("chain"))
    yield made
    made.end()


@pytest.fixture
def page(chain: Chain) -> Page:
    return Page(chain.office)


def by_site(rows: list[dict[str, Any]], *names: str) -> dict[str, tuple[Any, ...]]:
    return {row["site"]: tuple(row[name] for name in names) for row in rows}


def test_what_a_list_is_and_what_it_changes_is_said_before_it_is_sent(
    chain: Chain, page: Page, tmp_path: Path
) -> None:
    file = prices(tmp_path / "menu.csv", 3)
    taken = page.take(file)
    assert (taken["key"], taken["rows"], taken["recognised"]["delimiter"]) == ("Código", 3, ";")
    assert [(one["field"], one["sample"]) for one in taken["columns"]][1:] == [
        ("name", "Prato 0"),
        ("price", "0,90"),
    ]
    first = page.look(file)
    assert by_site(first["planned"], "created", "changed", "seq") == dict.fromkeys(STORES, (3, 0, None))
    assert {row["state"] for row in first["stores"]} == {"missing"}
    assert not written(page.url, "menu-", None)
    assert page.ask("GET", "publications")["publications"] == [], "nothing was sent"
    done = page.send(first["publication"], user="Marina")
    assert (done["work"]["wrong"], done["work"]["preview"]["created"]) == (None, 6)
    until(lambda: states(chain) == dict.fromkeys(STORES, "delivered"))
    audit = page.ask("GET", "audit", params={"newest": 1, "limit": 5})["entries"]
    act = next(one for one in audit if one["operation"] == "publish")
    assert (act["user_id"], act["changes"]["after"]["stores"]) == ("Marina", 2)
    assert comanda("publish", "status", "--data", chain.office.data).stdout.startswith(first["publication"])


def test_the_same_change_in_many_stores_is_one_line(chain: Chain, page: Page, tmp_path: Path) -> None:
    page.send(page.look(prices(tmp_path / "one.csv", 1))["publication"])
    page.send(page.look(prices(tmp_path / "one.csv", 1, cents=50), sites=["loja-a"])["publication"])
    changes = page.look(prices(tmp_path / "one.csv", 1, cents=70))["work"]["preview"]["changes"]
    assert [(one["before"], one["after"], one["stores"]) for one in changes] == [(0.5, 0.7, 1), (0.9, 0.7, 1)]
    changes = page.look(prices(tmp_path / "one.csv", 1, cents=80), sites=["loja-b"])["work"]["preview"]["changes"]
    assert [(one["entity_id"], one["field"], one["stores"]) for one in changes] == [("one-0", "price", 1)]


def test_a_store_that_is_away_gets_it_later(chain: Chain, page: Page, tmp_path: Path) -> None:
    chain.hubs["loja-b"].stop()
    done = page.send(page.look(prices(tmp_path / "later.csv", 2))["publication"])

    def told() -> dict[str, tuple[Any, ...]]:
        return by_site(page.ask("GET", f"publications/{done['publication']}")["stores"], "state")

    until(lambda: told() == {"loja-a": ("delivered",), "loja-b": ("sent",)})
    chain.hubs["loja-b"].start()
    until(lambda: told() == dict.fromkeys(STORES, ("delivered",)))


def test_what_is_wrong_with_a_list_is_named_by_line_and_column(chain: Chain, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "wrong.csv"
    rows = [
        "Código;Produto;Preço",
        *(f"w-{one};Prato;{one},00" for one in range(9)),
        "w-1;Prato;2,00",
        "w-x;Prato;3,0x",
    ]
    file.write_text("\r\n".join(rows), encoding="cp1252")
    preview = page.look(file)["work"]["preview"]
    assert (preview["created"], preview["refused"]) == (18, 2)
    assert [(one["line"], one["column"], one["value"]) for one in preview["refusals"]] == [
        (11, "Código", "w-1"),
        (12, "Preço", "3,0x"),
    ]
    file.write_text("Código;Preço;Preço\r\n1;2;3", encoding="cp1252")
    post = {"params": {"file": "a.csv"}}
    assert "Preço" in page.ask("POST", "publish/list", 400, content=file.read_bytes(), **post)["error"]
    assert "SQLite" in page.ask("POST", "publish/list", 400, content=b"SQLite format 3\x00", **post)["error"]
    page.ask("POST", "publish/list", 413, content=b"x" * (LIST_BYTES + 1), **post)
    taken = page.wish(prices(tmp_path / "good.csv", 1))
    for wish in (
        {**taken, "list": "../../../node.key"},
        {**taken, "columns": {**FIELDS, "Código": "name"}},
        {**taken, "columns": ["price"]},
        {**taken, "key": "EAN"},
        {**taken, "sites": ["loja-z"]},
        {**taken, "sites": []},
        {**taken, "sites": [{}]},
    ):
        page.ask("POST", "publish/look", 400, json=wish)
    page.ask("POST", "publish/look", 400, content=b"[]")
    page.ask("POST", "publish/send", 404, json={"publication": "0" * 12})
    page.ask("GET", "publications/nothing", 404)


def test_head_office_that_was_killed_goes_on_with_what_is_missing(chain: Chain, page: Page, tmp_path: Path) -> None:
    name = page.look(prices(tmp_path / "long.csv", 600))["publication"]
    page.ask("POST", "publish/send", json={"publication": name})
    page.ask("POST", "publish/send", 409, json={"publication": name})
    until(lambda: page.ask("GET", f"publications/{name}")["work"]["done"] > 0)
    chain.office.kill()
    chain.office.start()
    after = Page(chain.office)
    found = after.ask("GET", f"publications/{name}")
    assert (found["work"], found["kept"]) == (None, True)
    assert "missing" in {row["state"] for row in found["stores"]}
    after.send(name)
    until(lambda: states(chain) == dict.fromkeys(STORES, "delivered"))
    for site, hub in chain.hubs.items():
        assert written(f"{CONTROL}{hub.data}", "long-") == sorted(f"long-{one}" for one in range(600)), site


def test_it_can_be_stopped_and_goes_on_when_it_is_wanted(chain: Chain, tmp_path: Path) -> None:
    page = Page(chain.office)
    name = page.look(prices(tmp_path / "stop.csv", 600))["publication"]
    page.ask("POST", "publish/send", json={"publication": name})
    assert page.ask("POST", "publish/stop") == {"stopped": True}
    found = page.over(name)
    assert [row["site"] for row in found["stores"] if row["wrong"] or row["state"] == "missing"]
    page.send(name)
    until(lambda: states(chain) == dict.fromkeys(STORES, "delivered"))


def test_who_may_not_publish_is_refused_and_no_long_list_is_read_of_him(chain: Chain, tmp_path: Path) -> None:
    """Last: from now on head office asks for tokens."""
    file = prices(tmp_path / "who.csv", 1)
    tokens: dict[str, Page] = {}
    for name, rights in (
        ("reads", ()),
        ("asks", ("--operate", "publish", "--write", "orders")),
        ("may", ("--operate", "publish", "--write", "products")),
    ):
        made = comanda("token", "add", name, "--type", "monitor", *rights, "--data", chain.office.data)
        tokens[name] = Page(chain.office, next(word for word in made.stdout.split() if word.startswith("cmd_")))
    query = {"params": {"file": "a.csv"}}
    Page(chain.office).ask("POST", "publish/list", 401, content=b"a;b", **query)
    tokens["reads"].ask("POST", "publish/list", 403, content=b"a;b", **query)
    tokens["reads"].ask("GET", "publications", 403)
    for nobody in (Page(chain.office), tokens["reads"]):
        nobody.ask("POST", "publish/list", 413, content=b"x" * 100_000, **query)
    long = b"C\xf3digo;x\r\n" + b"1;2\r\n" * 20_000
    assert tokens["may"].ask("POST", "publish/list", content=long, **query)["rows"] == 20_000
    foreign = {"Origin": "https://evil.example"}
    tokens["may"].ask("POST", "publish/list", 403, content=b"a;b", headers=foreign, **query)
    tokens["may"].ask("POST", "publish/list", 413, content=b"x" * 100_000, headers=foreign, **query)
    tokens["asks"].ask("POST", "publish/look", 403, json=tokens["asks"].wish(file))
    done = tokens["may"].send(tokens["may"].look(file)["publication"])
    assert by_site(done["stores"], "created") == dict.fromkeys(STORES, (1,))
    realm = {"realm": "loja-a"}
    tokens["may"].ask("GET", "publications", 401, params=realm)
    found = json.loads(said("publish", "status", "--data", chain.office.data, "--json"))
    assert found["file"] == "who.csv"
