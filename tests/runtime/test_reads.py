"""Reads for people: beside those that terminals wait for, given up when nobody waits, bounded in what they see."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import trio

from node.runtime import reads
from node.runtime.api import audit, routes
from node.runtime.storage_thread import Lane
from storage.records import EntityRow
from storage.sqlite.database import Interrupted, StorageError
from storage.sqlite.queries import Queries
from tests.harness import Client, World
from tests.patience import PATIENCE_S
from tests.runtime.api_rig import ADMIN, Served, request, served
from tests.runtime.rig import until
from tests.runtime.test_fair_share import turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Closed, with the log of two terminals."""
    world = World(tmp_path / "node")
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    for number in range(20):
        ana.do("orders", f"o-{number}", "CREATE", {"table": number})
        if number % 5 == 0:
            bia.do("products", f"p-{number}", "CREATE", {"price": number})
    world.close()
    return world


def endless(node: Served, began: threading.Event) -> Callable[[], object]:
    def read() -> object:
        began.set()
        return node.people.reader.queries.ask(ENDLESS)

    return read


async def test_a_read_that_nobody_waits_for_is_interrupted_and_the_next_one_served(world: World) -> None:
    async with served(world) as node, trio.open_nursery() as nursery:
        began = threading.Event()
        nursery.start_soon(node.people.read, endless(node, began))
        await until(began.is_set)
        nursery.cancel_scope.cancel()
    async with served(world) as node:
        with trio.fail_after(PATIENCE_S):
            assert await node.people.read(node.people.reader.entity, "orders", "o-1") is not None


async def test_what_terminals_wait_for_does_not_wait_for_people(world: World) -> None:
    async with served(world) as node, trio.open_nursery() as nursery:
        began = threading.Event()
        nursery.start_soon(node.people.read, endless(node, began))
        await until(began.is_set)
        with trio.fail_after(PATIENCE_S):
            answers: list[object] = []
            node.disk.start(node.disk.reader.entity, "orders", "o-1", done=answers.append)
            await until(lambda: bool(answers))
            assert isinstance(answers[0], EntityRow)
        nursery.cancel_scope.cancel()


async def test_giving_up_one_read_does_not_touch_another(world: World) -> None:
    async with served(world) as node, trio.open_nursery() as nursery:
        go, began = threading.Event(), threading.Event()
        found: list[object] = []

        def slow() -> object:
            began.set()
            go.wait()
            return node.people.reader.entity("orders", "o-1")

        async def first() -> None:
            found.append(await node.people.read(slow))

        nursery.start_soon(first)
        await until(began.is_set)
        with trio.move_on_after(0):
            await node.people.read(node.people.reader.entity, "orders", "o-2")
        go.set()
        with trio.fail_after(PATIENCE_S):
            while not found:
                await trio.lowlevel.checkpoint()
        assert found[0] is not None


async def test_a_read_that_takes_too_long_is_refused_and_is_no_fault_of_the_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "LONGEST_S", 0.05)
    async with served(world) as node:
        with pytest.raises(Interrupted, match="ask for less"):
            await node.people.read(endless(node, threading.Event()))
        assert node.core.trouble is None
        assert node.disk.read_failures == 0


async def test_an_explanation_that_nobody_waits_for_is_interrupted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(world) as node:
        past = node.api._past
        began, ended = threading.Event(), threading.Event()

        def work(history: Any) -> None:
            began.set()
            try:
                history.reader.queries.ask(ENDLESS)
            finally:
                ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(past.in_thread, work)
            await until(began.is_set)
            nursery.cancel_scope.cancel()
        await until(ended.is_set)


def test_a_statement_that_begins_as_its_read_is_given_up_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite forgets an interruption that comes while nothing runs."""
    World(tmp_path / "n").close()
    queries = Queries(tmp_path / "n" / "comanda.db")
    monkeypatch.setattr(queries, "check", queries.interrupt)  # between the look and the statement
    with pytest.raises(Interrupted):
        queries.ask(ENDLESS)
    queries.close()


class AtOnce(Lane):
    """Runs each call when it is put, so that the answers to all that asked in one pass are there in the next."""

    def _one_more(self) -> None:
        self._run_next()


LISTS = 20


PEOPLES = [("/api/v1/entities/orders", {}), ("/api/v1/audit", {}), ("/api/v1/audit", {"newest": ["1"]})]


@pytest.mark.parametrize(("path", "query"), PEOPLES)
async def test_lists_asked_at_once_are_encoded_one_page_a_pass(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str, query: dict[str, Any]
) -> None:
    """So what a terminal waits for comes after one page at most, however many screens ask for everything."""
    monkeypatch.setattr(routes, "AT_ONCE", 2)
    monkeypatch.setattr(audit, "AT_ONCE", 2)
    async with served(world) as node, turns() as (worked, called):
        shown, entry, texts = node.api._shown, audit._entry, list[bytes]()
        monkeypatch.setattr(node.people, "_thread", AtOnce())
        monkeypatch.setattr(node.api, "_shown", lambda row: (worked(row), shown(row))[1])
        monkeypatch.setattr(audit, "_entry", lambda row: (worked(row), entry(row))[1])

        async def one() -> None:
            answer = await node.api.answer(request(path, query), ADMIN)
            assert not isinstance(answer.body, bytes)
            texts.append(b"".join([piece async for piece in answer.body]))

        async with trio.open_nursery() as nursery:
            for _ in range(LISTS):
                nursery.start_soon(one)
        (rows,) = {len(answer.get("entries", answer.get("entities"))) for answer in map(json.loads, texts)}
        assert len(texts) == LISTS
        assert sum(called.values()) == rows * LISTS
        assert max(called.values()) <= 2 * 2  # a pass has no fixed order, so two may fall between two of the others


# ------------------------------------------------------------------ the audit


async def pages(node: Served, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Every page of an answer, as its cursor leads."""
    back = "newest" in query
    found: list[dict[str, Any]] = []
    place = FAR if back else 0
    while True:
        cursor = {"before" if back else "after": [str(place)]}
        answer = await node.api.answer(request(path, {**query, **cursor}), ADMIN)
        assert answer.status == 200
        assert not isinstance(answer.body, bytes)
        found.append(json.loads(b"".join([part async for part in answer.body])))
        following = found[-1]["next"]
        if following is None:
            return found
        assert following < place if back else following > place
        place = following


FAR = 2**40
"""Behind every row."""

FILTERS: list[dict[str, list[str]]] = [
    {},
    {"terminal_id": ["bia"]},
    {"terminal_id": ["nobody"]},
    {"entity_type": ["products"]},
    {"entity_id": ["o-3"]},
    {"since": ["2020-01-01T00:00:00Z"]},
    {"since": ["2100-01-01T00:00:00Z"]},
    {"until": ["2020-01-01T00:00:00Z"]},
    {"limit": ["2"], "entity_type": ["orders"]},
    {"limit": ["2"], "entity_id": ["o-3"]},
    {"user_id": ["nobody"]},
]


@pytest.mark.walk(2)
@pytest.mark.parametrize("query", FILTERS, ids=str)
@pytest.mark.parametrize("path", ["/api/v1/audit", "/api/v1/refused"])
async def test_the_newest_first_is_the_audit_from_behind(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str, query: dict[str, list[str]]
) -> None:
    async with served(world) as node:
        whole = [entry for page in await pages(node, path, query) for entry in page["entries"]]
        for looked_through, looking_s in ((20_000, 2.0), (3, 2.0), (3, -1.0)):
            monkeypatch.setattr(audit, "LOOKED_THROUGH", looked_through)
            monkeypatch.setattr(audit, "LOOKING_S", looking_s)
            back = await pages(node, path, {**query, "newest": ["1"]})
            assert [entry for page in back for entry in page["entries"]] == whole[::-1]


@pytest.mark.walk(2)
@pytest.mark.parametrize("query", FILTERS, ids=str)
@pytest.mark.parametrize("path", ["/api/v1/audit", "/api/v1/refused"])
async def test_an_audit_that_looks_through_much_answers_in_parts_that_make_the_whole(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str, query: dict[str, list[str]]
) -> None:
    async with served(world) as node:
        whole = [entry for page in await pages(node, path, query) for entry in page["entries"]]
        monkeypatch.setattr(audit, "LOOKED_THROUGH", 3)
        assert [entry for page in await pages(node, path, query) for entry in page["entries"]] == whole
        monkeypatch.setattr(audit, "LOOKING_S", -1)
        parts = await pages(node, path, query)
        assert [entry for page in parts for entry in page["entries"]] == whole
        if path.endswith("audit") and "entity_id" not in query:
            assert len(parts) >= 8


async def test_a_read_that_was_given_up_does_not_keep_the_node_from_being_ready_again(world: World) -> None:
    async with served(world) as node:
        broken = ["once", "twice"]

        def read() -> object:
            if broken:
                raise StorageError(broken.pop())
            return node.people.reader.entity("orders", "o-1")

        with pytest.raises(StorageError):
            await node.people.read(read)
        assert node.disk.faults.said is not None
        async with trio.open_nursery() as nursery:
            began = threading.Event()
            nursery.start_soon(node.people.read, endless(node, began))
            await until(began.is_set)
            nursery.cancel_scope.cancel()
        await node.disk.read_again()
        assert node.disk.faults.said is None
