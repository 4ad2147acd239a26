"""One of head office's processes answers for a store while it owns it, and at no other time."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from node.hubs.engine import EngineAway, Member
from node.hubs.memory import MemoryEngine
from node.runtime.api.tokens import token_hash
from node.runtime.hubs import NOBODY, Hubs
from node.runtime.net.http import Response
from node.runtime.net.passing import OFFICE, PASSED, Way
from tests.runtime.test_kept_realm import asking, kept, office, store, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping
    from pathlib import Path

    import pytest

    from node.hubs.engine import Standing
    from node.runtime.net.http import Request
    from node.runtime.realm import Realm

TOKEN = "cmd_other"
OTHER = Member("other.1", "other", "ws://127.0.0.1:1", token_hash(TOKEN))


class Engine(MemoryEngine):
    """away: it does not answer."""

    away = False

    def beat(self, member: Member, held: Mapping[str, int], realms: Collection[str], ttl_ms: int) -> Standing:
        if self.away:
            raise EngineAway("it is away")
        return super().beat(member, held, realms, ttl_ms)


@asynccontextmanager
async def process(data: Path, engine: Engine) -> AsyncIterator[Hubs]:
    """It keeps the store "a"."""
    store(data, "a")
    async with office(data) as realms, trio.open_nursery() as nursery:
        config = evolve(realms.config, hubs=evolve(realms.config.hubs, lease_s=1.0))
        hubs = Hubs(nursery=nursery, realms=realms, config=config, node_id="office", address="ws://a", engine=engine)
        nursery.start_soon(hubs.run)
        yield hubs
        nursery.cancel_scope.cancel()


def now_ms() -> float:
    """The engine's clock; it is asked on a thread."""
    return time.monotonic() * 1000


async def opened(hubs: Hubs) -> Realm:
    assert (await kept(hubs.realms, "a").http(asking())).status == 200
    realm = hubs.realms.open("a")
    assert realm is not None
    return realm


def ended(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often the connections of a store were ended since."""
    found: list[str] = []
    monkeypatch.setattr(realm.endpoint, "close_all", lambda code, reason: found.append(reason))
    return lambda: len(found)


async def test_a_process_that_has_not_heard_of_the_database_answers_for_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(now_ms)
    engine.away = True
    async with process(tmp_path, engine) as hubs:
        for name in ("a", "b"):
            refused = hubs.way(asking(), name)
            assert isinstance(refused, Response)
            assert refused.status == 503
            assert hubs.misplaced(name) == NOBODY
        closed = ended(await opened(hubs), monkeypatch)
        await until(closed)  # whoever has come in by whatever way
        engine.away = False
        await until(lambda: hubs.serves("a"))
        assert hubs.way(asking(), "a") is None
        assert hubs.misplaced("a") is None
        assert hubs.way(asking(), "b") is None, "nobody keeps such a store, which the router says"


async def test_whom_another_process_speaks_for_reads_and_writes_as_a_terminal_of_what_is_owned_here(
    tmp_path: Path,
) -> None:
    def passed(token: str = TOKEN, method: str = "GET", **headers: str) -> Request:
        return evolve(asking(user=None), method=method, headers={OFFICE: token, PASSED: "1", **headers})

    engine = Engine(now_ms)
    async with process(tmp_path, engine) as hubs:
        assert hubs.user_of(passed(), "a") is None, "nobody is known yet"
        engine.beat(OTHER, {}, (), 60_000)
        await until(lambda: hubs.serves("a") and hubs.offices() == ["other"])
        assert hubs.user_of(passed(), "a") == "other"
        for refused in (passed("cmd_nobodys"), passed(""), passed(method="POST"), asking(user=None)):
            assert hubs.user_of(refused, "a") is None
        assert hubs.user_of(evolve(passed(), headers={OFFICE: TOKEN}), "a") is None, "it was not passed on"
        assert hubs.user_of(passed(), "b") is None, "it is not owned here"
        engine.beat(evolve(OTHER, instance="third.1", node="third"), {}, (), 60_000)
        await until(lambda: hubs.offices() == ["other", "third"])
        weighed = {one: [member.node for member in hubs.ownership._order(one)] for one in map(str, range(99))}
        name = next(one for one, order in weighed.items() if order[-1] == "office")  # it copies none of these
        theirs = evolve(engine.realms["a"], owner=OTHER.instance, token=9, until_ms=now_ms() + 60_000)
        engine.realms |= {name: theirs, "../x": theirs}
        await until(lambda: hubs.elsewhere() == [{"realm": name, "owner": "other"}])
        ways = [hubs.way(asking(user=user), name) for user in ("root", None)]
        assert [isinstance(way, Way) and way.token != "" for way in ways] == [True, False]


async def test_whoever_comes_in_while_a_store_is_lost_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(now_ms)
    async with process(tmp_path, engine) as hubs:
        await until(lambda: hubs.serves("a"))
        closed = ended(await opened(hubs), monkeypatch)
        assert closed() == 0
        engine.beat(OTHER, {}, (), 60_000)
        engine.realms["a"] = evolve(engine.realms["a"], owner=OTHER.instance, token=9, until_ms=now_ms() + 60_000)
        await until(lambda: isinstance(hubs.way(asking(), "a"), Way))
        await until(closed)
        before = closed()
        await until(lambda: closed() > before)  # also who was let in just before, and sits down just after
