"""Who may ask the node for what: a walk over the table of paths, methods and rights, and over that of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, get_args

import orjson
import pytest
import trio
from attrs import evolve, frozen

from node.config.sections import Config
from node.core.admission import Caller, Enter
from node.core.log.rows import ACT
from node.rights import (
    ACTS,
    EVERY,
    EVERYTHING,
    HTTP,
    KNOWN,
    MESSAGES,
    OF_TYPE,
    PUBLIC,
    REPORTS,
    SENT,
    VERBS,
    Rights,
    find,
    unknown,
)
from node.runtime.api import routes
from node.runtime.api.origins import Origins
from node.runtime.api.tokens import Tokens, made, open_rights, rotated
from node.runtime.endpoint import Endpoint, Holder
from node.runtime.net.http import Request
from node.runtime.net.listener import Acceptance, Refusal
from node.runtime.net.proxies import SIGNS
from node.wire import codec, messages
from tests.harness import Client, World
from tests.runtime.api_rig import Served, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

WITH = {
    "conflict_id": "c-1",
    "publication": "0",
    "entity_type": "orders",
    "entity_id...": "mesa-1",
    "entity_id_and_field...": "mesa-1/note",
    "page_file...": "app.js",
    "client_file...": "client.js",
}
"""What is put in a path's braces."""

QUERY = {
    "/api/v1/explain/{entity_type}": "?entity_id=mesa-1&field=note",
    "/api/v1/history/{entity_type}": "?entity_id=mesa-1",
    "/api/v1/keys/trust": "?node=n&fingerprint=0",
    "/api/v1/quarantine/drop": "?id=1",
    "/api/v1/archive": "?until=0",
    "/api/v1/tokens/add": "?terminal_id=new&type=pos",
    "/api/v1/tokens/rotate": "?terminal_id=t",
    "/api/v1/tokens/revoke": "?terminal_id=nobody",
}

LACKING = (
    "/api/v1/conflicts/{conflict_id}",
    "/api/v1/keys/trust",
    "/api/v1/keys/forget",
    "/api/v1/quarantine/drop",
    "/api/v1/join",
    *(one.path for one in HTTP if one.need.what == "publish"),
)
"""What there is nothing of here: 404; or nobody's code: 403."""

AT = "2026-01-01T00:00:00.000Z"


def target(path: str) -> str:
    for name, word in WITH.items():
        path = path.replace("{" + name + "}", word)
    return path


def without(rights: Rights, verb: str, what: str) -> Rights:
    """Everything but one right."""
    left = {EVERY: ["orders", "products", *ACTS], **{report: [report] for report in REPORTS}}
    held = {name for over in getattr(rights, verb) for name in left[over]} - {what}
    return rights.changed({verb: sorted(held)})


@frozen
class Answer:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@frozen
class Asked:
    """A node whose endpoints are asked with one token."""

    node: Served
    endpoint: Endpoint
    token: str

    async def ask(self, method: str, target: str, **headers: str) -> Answer:
        path, _, query = target.partition("?")
        pairs = {name: [word] for name, _, word in (part.partition("=") for part in query.split("&") if query)}
        said = {"host": "hub", "authorization": f"Bearer {self.token}", **headers}
        answer = await self.endpoint.http(Request(method, target, path, pairs, said, "10.0.0.7:5000"))
        body = answer.body
        whole = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
        return Answer(answer.status, whole, answer.headers)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "node")
    ana = Client(world, "ana").connect()
    ana.do("orders", "mesa-1", "CREATE", {"note": "x"})
    ana.do("products", "p-1", "CREATE", {"name": "Feijoada"})
    world.close()
    return world


@pytest.fixture
async def node(world: World) -> AsyncIterator[Served]:
    async with served(world) as node:
        yield node


def asked(node: Served, rights: Rights, *, loopback: bool = False) -> Asked:
    token, row = made("t", "pos", "", AT, rights.given(), None)
    node.tokens.put([row])
    return endpoint(node, token, loopback=loopback)


def endpoint(node: Served, token: str = "", *, loopback: bool = False) -> Asked:
    origins = Origins(frozenset(["https://loja.example"]), open_to_this_machine=loopback)
    config = Config()
    made = Endpoint(core=node.core, api=node.api, tokens=node.tokens, config=config, origins=origins)
    return Asked(node, made, token)


@pytest.mark.walk(2)
@pytest.mark.parametrize("one", HTTP, ids=lambda one: f"{one.method} {one.path}")
async def test_each_endpoint_is_answered_to_who_has_its_right_and_to_nobody_else(node: Served, one: Any) -> None:
    place = target(one.path) + QUERY.get(one.path, "")
    who = asked(node, EVERYTHING)
    stranger = evolve(who, token="cmd_wrong")
    missing = await stranger.ask(one.method, place)
    if one.need is PUBLIC:
        assert missing.status == 200 or one.path in LACKING
    else:
        assert missing.status == 401
    if one.need not in (PUBLIC, KNOWN):
        what = "orders" if one.need.what == OF_TYPE else one.need.what
        for rights in (without(EVERYTHING, one.need.verb, what), Rights()):
            refused = await asked(node, rights).ask(one.method, place)
            assert refused.status == 403, rights
            assert refused.json["code"] == 4008
        who = asked(node, Rights().changed({one.need.verb: [what]}))
    answered = await who.ask(one.method, place)
    assert answered.status == 200 or one.path in LACKING


async def test_a_path_is_matched_exactly_and_what_acts_answers_no_get(node: Served) -> None:
    who = asked(node, EVERYTHING)
    before = node.core.replica.log.head
    for one in HTTP:
        if one.path != "/":
            await exactly(one, who)
    assert node.core.replica.log.head == before


async def exactly(one: Any, who: Asked) -> None:
    place = target(one.path)
    if "..." not in one.path:  # of an id a slash may be a part
        letter = place[-1:].encode().hex().upper()
        ways = [
            f"{place}/",
            f"/{place}",
            f"{place}//",
            place.replace("/", "//"),
            f"{place[:-1]}%{letter}",
            f"{place};x",
        ]
        if "{" in one.path:
            ways = ways[1:2]
        for way in [way for way in ways if way != place]:
            for method in ("GET", "HEAD", "POST"):
                assert one.path not in [found.path for found in find(way)[0]], way
                assert (await who.ask(method, way + QUERY.get(one.path, ""))).status in (403, 404), way
    if one.method == "POST":
        assert one.need.verb == "operate" or one.path == "/api/v1/join", "or who shows a code"
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            assert (await who.ask(method, place + QUERY.get(one.path, ""))).status == 405
    else:
        for method in ("GET", "HEAD"):
            await who.ask(method, place + QUERY.get(one.path, ""))


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_foreign_page_is_refused_whatever_it_asks(node: Served, origin: str) -> None:
    who = asked(node, EVERYTHING)
    for one in HTTP:
        for method in one.methods:
            answer = await who.ask(method, target(one.path) + QUERY.get(one.path, ""), origin=origin)
            assert answer.status == 403, (method, one.path)
            assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("sign", SIGNS)
async def test_a_node_without_tokens_answers_nothing_that_came_through_a_proxy(node: Served, sign: str) -> None:
    """Its proxy would open it to the street; what the proxy asks itself is answered."""
    anybody, through = endpoint(node, loopback=True), {sign: "192.0.2.7", "host": "127.0.0.1"}
    for one in HTTP:
        answer = await anybody.ask(one.method, target(one.path) + QUERY.get(one.path, ""), **through)
        assert (answer.status == 403) is (one.path not in ("/healthz", "/readyz")), one.path
    upgrade = Request("GET", "/ws/pos-1", "/ws/pos-1", {"type": ["pos"]}, through, "127.0.0.1:5000")
    assert isinstance(await anybody.endpoint.accepts(upgrade), Refusal)
    who = asked(node, EVERYTHING)
    assert (await who.ask("GET", "/api/v1/conflicts", **through)).status == 200
    assert isinstance(await who.endpoint.accepts(upgrade), Acceptance)


def test_every_path_has_an_answer_and_every_answer_a_path(world: World) -> None:
    assert len({(one.method, one.path) for one in HTTP}) == len(HTTP)
    for one in HTTP:
        found, _ = find(target(one.path))
        assert [other.path for other in found] == [one.path]


async def test_the_answers_are_those_of_the_table(node: Served) -> None:
    assert set(node.api._answers) == {one.path for one in HTTP}


async def test_without_tokens_a_network_reads_and_does_not_operate(node: Served) -> None:
    for loopback, status in ((True, 200), (False, 403)):
        node.tokens._open_to = open_rights(loopback=loopback)
        anybody = endpoint(node)
        assert (await anybody.ask("GET", "/api/v1/entities/orders")).status == 200
        assert (await anybody.ask("POST", "/api/v1/quarantine/retry")).status == status


async def test_no_request_says_what_another_terminal_has_read(node: Served) -> None:
    reads = node.core.replica.knowledge.reads
    node.tokens._open_to = open_rights(loopback=True)
    for who, readers in ((endpoint(node, loopback=True), set()), (asked(node, EVERYTHING), {"t"})):
        for one in HTTP:
            if one.method == "GET":
                place = target(one.path) + QUERY.get(one.path, "")
                await who.ask("GET", f"{place}{'&' if '?' in place else '?'}terminal_id=tab-1")
        assert {terminal_id for terminal_id, _ in reads} == readers


async def test_lists_leave_out_what_may_not_be_read(node: Served) -> None:
    who = asked(node, Rights(read=["orders", "audit"]))
    answer = await who.ask("GET", "/api/v1/audit")
    assert {entry["entity_type"] for entry in answer.json["entries"]} == {"orders"}


async def test_ready_says_to_strangers_only_whether(node: Served) -> None:
    answer = await evolve(asked(node, EVERYTHING), token="").ask("GET", "/readyz")
    assert answer.json == {"status": "ready"}
    node.core.failed("/var/lib/comanda: disk full")
    answer = await evolve(asked(node, EVERYTHING), token="").ask("GET", "/readyz")
    assert (answer.status, answer.body) == (503, b'{"error":"not ready"}')


async def test_every_act_is_a_row_of_the_audit_with_who(node: Served) -> None:
    who = asked(node, EVERYTHING)
    acts = [one for one in HTTP if one.need.verb == "operate" and one.method == "POST"]
    done = []
    for one in acts:
        answer = await who.ask("POST", target(one.path) + QUERY.get(one.path, ""))
        body = answer.json
        if answer.status == 200 and body != {"revoked": 0}:
            done.append(one.path)
            who = evolve(who, token=body.get("token", who.token) if "rotate" in one.path else who.token)
    rows = [row for row in node.core.replica.log.group.rows if row.kind == ACT]
    said = [(row.terminal_id, orjson.loads(row.operation)["operation"]) for row in rows]
    names = {"/api/v1/quarantine/retry": "quarantine retry", "/api/v1/backup": "backup", "/api/v1/archive": "archive"}
    names |= {"/api/v1/pair": "pair", "/api/v1/tokens/add": "token add", "/api/v1/tokens/rotate": "token rotate"}
    assert said == [("t", names[path]) for path in done]
    assert set(done) == set(names)
    assert not any(b"cmd_" in row.changes for row in rows)  # no token


# ---------------------------------------------------------------------- rights themselves, and messages


def test_who_may_not_read_a_type_may_not_write_it_either() -> None:
    rights = Rights(write=[EVERY], resolve=[EVERY], read=["orders"])
    assert [rights.may(verb, "orders") for verb in ("read", "write", "resolve")] == [True] * 3
    assert [rights.may(verb, "products") for verb in ("read", "write", "resolve")] == [False] * 3


def test_every_entity_type_is_no_report_and_no_act() -> None:
    assert not any(Rights(read=[EVERY]).may("read", report) for report in REPORTS)
    assert all(Rights(operate=[EVERY]).may("operate", act) for act in ACTS)
    assert not any(Rights(write=[EVERY], resolve=[EVERY], read=[EVERY]).may("operate", act) for act in ACTS)


def test_what_is_no_right_is_named() -> None:
    given: Mapping[str, list[str]] = {"read": ["orders", "audit", "ships"], "operate": ["fly"], "dance": ["*"]}
    assert unknown(given, ["orders"]) == ["read ships", "operate fly", "dance *"]
    assert unknown({verb: [EVERY] for verb in VERBS}, ["orders"]) == []


def test_every_message_states_the_right_that_it_needs() -> None:
    assert set(MESSAGES) == set(codec.TYPES)
    assert len(MESSAGES) == len(get_args(messages.Message))
    assert all(need is KNOWN or need.verb in VERBS for need in (*MESSAGES.values(), *SENT.values()))


def test_a_token_that_was_revoked_leaves_the_node_closed() -> None:
    _, row = made("t", "pos", "", AT, {}, None)
    assert Tokens([evolve(row, revoked_at=AT)]).required
    assert not Tokens([]).required


class Line:
    """A connection that remembers how it was closed."""

    closed: int | None = None
    peer = "127.0.0.1:50000"

    async def run(self) -> None:
        """It ends at once."""

    def close(self, code: int, reason: str) -> None:
        self.closed = code


@pytest.mark.parametrize("ends", ["revoked", "expired", "first token made"])
async def test_who_came_with_what_is_worth_nothing_any_more_is_closed(node: Served, ends: str) -> None:
    """Terminals and links alike; not who came through the control socket."""
    _, row = made("t", "pos", "", AT, {}, None)
    if ends != "first token made":
        node.tokens.put([row])
    who = endpoint(node)
    name = None if ends == "first token made" else row.token_hash
    lines = {"t": Line(), "operator": Line()}
    for terminal, line in lines.items():
        here = terminal == "operator"
        holder = Holder(cast("Any", line), cast("Any", None), token=None if here else name, here=here)
        who.endpoint._admission.take(Caller(terminal, "pos"), holder)
    who.endpoint.end_untrusted()
    assert [line.closed for line in lines.values()] == [None, None]
    gone = {"revoked": {"revoked_at": AT}, "expired": {"expires_at": AT}, "first token made": {}}[ends]
    node.tokens.put([evolve(row, **gone)])
    who.endpoint.end_untrusted()
    assert [line.closed for line in lines.values()] == [4003, None]


async def test_a_token_that_is_revoked_while_the_terminal_is_let_in_lets_nobody_in(node: Served) -> None:
    """Else it would be connected with the rights of its type, until the next look."""
    token, row = made("t", "kds", "", AT, {"read": ["orders"]}, None)
    node.tokens.put([row])
    who = endpoint(node).endpoint
    asked_for = Request(
        "GET", f"/ws/t?type=kds&token={token}", "/ws/t", {"type": ["kds"], "token": [token]}, {}, "p:1"
    )
    line = Line()

    async def revoked_meanwhile(caller: Caller) -> Any:
        node.tokens.put([evolve(row, revoked_at=AT)])
        return Enter()

    who._verdict = revoked_meanwhile  # type: ignore[method-assign]
    await who.websocket(asked_for, cast("Any", line))
    assert line.closed == 4003
    assert not node.core.sessions.online


@pytest.mark.parametrize("ends", ["revoked", "expired", "rotated"])
async def test_an_answer_that_is_under_way_breaks_off_with_its_token(
    node: Served, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Reading all of a large store takes minutes."""
    monkeypatch.setattr(routes, "PAGE", 1)
    who = asked(node, EVERYTHING)
    (row,) = node.tokens.rows

    async def begun() -> AsyncIterator[bytes]:
        said = {"authorization": f"Bearer {who.token}"}
        place = "/api/v1/entities/orders"
        answer = await who.endpoint.http(Request("GET", place, place, {}, said, "10.0.0.7:5000"))
        assert not isinstance(answer.body, bytes)
        return answer.body

    whole = b"".join([piece async for piece in await begun()])
    assert [one["entity_id"] for one in orjson.loads(whole)["entities"]] == ["mesa-1"]
    pieces = await begun()
    assert await anext(pieces)
    gone = {"revoked": {"revoked_at": AT}, "expired": {"expires_at": AT}}
    at = "2026-01-02T00:00:00.000Z"
    changed = (rotated([row], "t", at) or ("", []))[1] if ends == "rotated" else [evolve(row, **gone[ends])]
    node.tokens.put(changed)
    with pytest.raises(trio.BrokenResourceError):
        await anext(pieces)
