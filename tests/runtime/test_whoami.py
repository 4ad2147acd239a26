"""`GET /api/v1/whoami` says beforehand what is then allowed: of a token, and of the page at a node without tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from node.config.sections import DEFAULT_TERMINALS, Config, NodeSection, TerminalConfig
from node.rights import ACTS, EVERY, EVERYTHING, Rights
from node.runtime.api.tokens import Tokens, made, open_page, open_rights
from tests.harness import Client, World
from tests.runtime.api_rig import Served, served
from tests.runtime.test_rights import AT, asked, endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TYPES = ["cashier_operations", "customers", "orders", "products"]
WIDE = Config(node=NodeSection(host="0.0.0.0"))


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Served]:
    world = World(tmp_path / "node")
    world.close()
    async with served(world) as node:
        yield node


async def told(node: Served, rights: Rights | None = None, query: str = "") -> Any:
    """rights: of the token that is shown; None without one."""
    who = endpoint(node) if rights is None else asked(node, rights)
    return (await who.ask("GET", f"/api/v1/whoami{query}")).json


@pytest.mark.parametrize(
    "rights", [EVERYTHING, Rights(), Rights(write=["orders"], resolve=[EVERY], read=["orders", "audit"])]
)
async def test_a_token_is_told_each_thing_that_it_may_do_by_name(node: Served, rights: Rights) -> None:
    said = await told(node, rights)
    assert (said["terminal_id"], said["type"], said["needs_token"]) == ("t", "pos", True)
    assert set(said["rights"]) == {"write", "resolve", "read", "operate"}
    for verb, over in (
        ("write", TYPES),
        ("resolve", TYPES),
        ("read", [*TYPES, "audit", "metrics"]),
        ("operate", ACTS),
    ):
        assert said["rights"][verb] == sorted(name for name in over if rights.may(verb, name))


async def test_without_a_token_it_is_about_the_type_that_is_asked_for(node: Served) -> None:
    waiter = await told(node, query="?type=waiter")
    assert (waiter["terminal_id"], waiter["type"], waiter["needs_token"]) == (None, "waiter", False)
    assert waiter["rights"]["write"] == waiter["rights"]["resolve"] == ["customers", "orders"]
    assert (await told(node))["type"] == "monitor"
    strange = await endpoint(node).ask("GET", "/api/v1/whoami?type=<b>")
    assert (strange.status, strange.json["code"]) == (400, 4002)


@pytest.mark.parametrize(
    ("config", "may"),
    [
        (Config(), True),
        (WIDE, False),
        (evolve(Config(), terminals={**DEFAULT_TERMINALS, "monitor": TerminalConfig(write=[], resolve=[])}), False),
    ],
    ids=["loopback", "network", "configured"],
)
async def test_the_page_of_an_open_node_may_decide_on_its_own_machine_only(
    node: Served, config: Config, may: bool
) -> None:
    tokens = Tokens((), open_to=open_rights(loopback=config.this_machine_only), page=open_page(config))
    node.api._tokens = tokens
    assert ((await told(node))["rights"]["resolve"] == TYPES) is may
    assert ((await told(node))["rights"]["write"] == TYPES) is may
    assert (tokens.rights_without("monitor") is not None) is may
    assert tokens.rights_without("kds") is None
    tokens.put([made("t", "pos", "", AT, {}, None)[1]])
    assert tokens.rights_without("monitor") is None, "from its first token on a node asks for one"


def test_a_monitor_that_may_resolves_and_one_that_may_not_is_told_so(world: World) -> None:
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    rui.do("customers", "ana", "CREATE", {"phone": "1"})
    lia.receive()
    rui.write("customers", "ana", "UPDATE", {"phone": "2"})
    lia.write("customers", "ana", "UPDATE", {"phone": "3"})
    world.settle()
    (row,) = world.reader.conflicts("open")
    for rights, code in ((None, 4008), (open_page(Config()), None)):
        page = Client(world, "painel", "monitor").connect(rights=rights)
        page.send({"type": "conflict_resolution", "conflict_id": row.conflict_id, "resolution": "accept_remote"})
        world.settle()
        page.receive()
        page.disconnect()
        assert [m["code"] for m in page.of("sync_error")] == ([code] if code else [])
    assert world.view("customers")["ana"]["phone"] == "3"
