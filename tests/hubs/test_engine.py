"""The port `Engine`, over everything that stands in for it: in memory, and a real PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import psycopg
import pytest
from attrs import define, field

from node.hubs.engine import Charter, Engine, EngineAway, Lease, Member
from node.hubs.memory import MemoryEngine
from node.hubs.postgres import PostgresEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sink.postgres import Postgres

A, B = Member("a.1", "a", "ws://a:1"), Member("b.1", "b", "ws://b:1")
TTL_MS = 3_600_000
"""So long that nothing ends by itself while a test runs."""


class Side(Protocol):
    """An engine, its time, and the means to lose what it holds."""

    engine: Engine

    def passes(self, ms: int) -> None: ...

    def empty(self) -> None: ...


@define
class InMemory:
    now_ms: float = 0.0
    engine: MemoryEngine = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.engine = MemoryEngine(lambda: self.now_ms)

    def passes(self, ms: int) -> None:
        self.now_ms += ms

    def empty(self) -> None:
        self.engine.empty()


@define
class OnPostgres:
    to: str
    engine: PostgresEngine = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.engine = PostgresEngine(self.to)

    def passes(self, ms: int) -> None:
        """All times lie so much further back."""
        with psycopg.connect(self.to, autocommit=True) as connection:
            for table in ("members", "realms"):
                connection.execute(f"UPDATE comanda_hubs.{table} SET until = until - {ms} * interval '1 ms'")

    def empty(self) -> None:
        with psycopg.connect(self.to, autocommit=True) as connection:
            connection.execute("DROP SCHEMA comanda_hubs CASCADE")


@pytest.fixture(params=["memory", "postgres"])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    if request.param == "memory":
        yield InMemory()
        return
    made = OnPostgres(request.getfixturevalue("to"))
    yield made
    made.engine.close()


def claimed(side: Side, member: Member, realm: str = "loja-a", floor: int = 0) -> int | None:
    """The token with which a realm was got."""
    got = side.engine.claim(member, {realm: floor}, TTL_MS)
    return got[realm].token if realm in got else None


def lease(side: Side, realm: str = "loja-a") -> Lease:
    return side.engine.beat(A, {}, (), TTL_MS).leases[realm]


def test_who_is_there_is_seen_until_it_is_silent(side: Side) -> None:
    side.engine.beat(A, {}, ["loja-a"], TTL_MS)
    standing = side.engine.beat(B, {}, ["loja-a", "loja-b"], TTL_MS)
    assert sorted(standing.members, key=lambda one: one.node) == [A, B]
    assert standing.leases == {"loja-a": Lease(), "loja-b": Lease()}
    side.passes(TTL_MS + 1)
    assert list(side.engine.beat(B, {}, (), TTL_MS).members) == [B]
    side.engine.leave(B)
    assert list(side.engine.beat(A, {}, (), TTL_MS).members) == [A]


def test_a_realm_has_one_owner_and_each_has_a_token_of_its_own(side: Side) -> None:
    side.engine.beat(A, {}, ["loja-a", "loja-b"], TTL_MS)
    assert claimed(side, A) == 1
    assert claimed(side, B) is None
    assert claimed(side, B, "loja-b") == 1
    assert lease(side) == Lease(1, A.instance)
    assert claimed(side, A) == 2, "it did not hear that it had got it"
    side.passes(TTL_MS + 1)
    assert lease(side) == Lease(2, ""), "its time is over"
    assert claimed(side, B) == 3
    assert claimed(side, A, "loja-c") is None, "nobody made it known"


def test_only_the_latest_token_renews(side: Side) -> None:
    side.engine.beat(A, {}, ["loja-a"], TTL_MS)
    claimed(side, A)
    side.passes(TTL_MS - 1_000)
    side.engine.beat(A, {"loja-a": 1}, (), TTL_MS)
    side.passes(TTL_MS - 1_000)
    assert claimed(side, B) is None
    side.engine.beat(A, {"loja-a": 0}, (), TTL_MS)
    side.engine.beat(B, {"loja-a": 1}, (), TTL_MS)
    side.passes(2_000)
    assert claimed(side, B) == 2
    side.engine.beat(A, {"loja-a": 1}, (), TTL_MS)
    assert lease(side) == Lease(2, B.instance)


def test_what_is_released_is_free_and_by_its_owner_only(side: Side) -> None:
    side.engine.beat(A, {}, ["loja-a"], TTL_MS)
    claimed(side, A)
    side.engine.release(B, {"loja-a": 1})
    side.engine.release(A, {"loja-a": 7})
    assert claimed(side, B) is None
    side.engine.release(A, {"loja-a": 1})
    assert lease(side) == Lease(1, "")
    assert claimed(side, B) == 2


def test_a_charter_is_the_owners_and_the_next_one_gets_it(side: Side) -> None:
    side.engine.beat(A, {}, ["loja-a"], TTL_MS)
    claimed(side, A)
    put = side.engine.put
    assert put(A, "loja-a", 1, Charter(1, b"one"))
    assert put(A, "loja-a", 1, Charter(2, b"two \0"))
    assert lease(side) == Lease(1, A.instance, 2)
    assert not put(A, "loja-a", 1, Charter(1, b"one")), "it was sent before, and comes late"
    assert not put(A, "loja-a", 2, Charter(3, b"no"))
    assert not put(B, "loja-a", 1, Charter(3, b"no"))
    side.passes(TTL_MS + 1)
    assert put(A, "loja-a", 1, Charter(3, b"three")), "nobody has taken over"
    assert side.engine.claim(B, {"loja-a": 0}, TTL_MS)["loja-a"].charter == Charter(3, b"three")
    assert not put(A, "loja-a", 1, Charter(4, b"no"))
    assert not put(A, "loja-a", 2, Charter(4, b"no")), "the token is known, and another one's"
    assert put(B, "loja-a", 2, Charter(4, b"four"))


def test_tokens_grow_though_the_engine_comes_back_empty(side: Side) -> None:
    side.engine.beat(A, {}, ["loja-a"], TTL_MS)
    assert claimed(side, A, floor=6) == 7
    side.empty()
    with_it = side if isinstance(side, InMemory) else None
    if with_it is None:
        with pytest.raises(EngineAway):
            side.engine.beat(A, {"loja-a": 7}, ["loja-a"], TTL_MS)
    assert side.engine.beat(A, {"loja-a": 7}, ["loja-a"], TTL_MS).leases == {"loja-a": Lease()}
    assert not side.engine.put(A, "loja-a", 7, Charter(1, b"no"))
    assert claimed(side, B, floor=7) == 8


def test_an_engine_that_is_away_says_so_and_is_found_again(to: str, server: Postgres) -> None:
    engine = PostgresEngine(to)
    engine.beat(A, {}, ["loja-a"], TTL_MS)
    server.kill()
    with pytest.raises(EngineAway):
        engine.beat(A, {}, (), TTL_MS)
    server.start()
    assert engine.beat(A, {}, (), TTL_MS).leases == {"loja-a": Lease()}
    engine.close()
