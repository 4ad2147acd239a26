"""The port `Engine`, over everything that stands in for it: in memory, a real PostgreSQL and a real Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from attrs import define, field

from node.hubs.engine import Charter, Engine, EngineAway, Lease, Member
from node.hubs.memory import MemoryEngine
from node.hubs.postgres import PostgresEngine
from node.hubs.redis import RedisEngine
from tests.hubs.conftest import shared_on
from tests.hubs.shared import OnPostgres, OnRedis
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

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
class Real:
    """On a server."""

    shared: OnPostgres | OnRedis
    engine: PostgresEngine | RedisEngine = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.engine = self.shared.engine()

    def passes(self, ms: int) -> None:
        self.shared.passes(ms)

    def empty(self) -> None:
        self.shared.empty()


@pytest.fixture(params=["memory", "postgres", "redis"])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    if request.param == "memory":
        yield InMemory()
        return
    made = Real(shared_on(request))
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
    if isinstance(side.engine, PostgresEngine):
        with pytest.raises(EngineAway):  # its tables are gone, and made by the next connection
            side.engine.beat(A, {"loja-a": 7}, ["loja-a"], TTL_MS)
    assert side.engine.beat(A, {"loja-a": 7}, ["loja-a"], TTL_MS).leases == {"loja-a": Lease()}
    assert not side.engine.put(A, "loja-a", 7, Charter(1, b"no"))
    assert claimed(side, B, floor=7) == 8


def test_a_lease_that_its_owner_holds_no_more_ends_when_it_was_last_renewed(side: Side) -> None:
    side.engine.beat(A, {}, ["loja-a", "loja-b"], TTL_MS)
    side.engine.claim(A, {"loja-a": 0, "loja-b": 0}, TTL_MS)
    side.engine.beat(A, {"loja-a": 1, "loja-b": 1}, (), TTL_MS)
    side.passes(TTL_MS - 1_000)
    side.engine.beat(A, {"loja-b": 1}, (), TTL_MS)
    side.engine.beat(A, {"loja-b": 1}, (), TTL_MS)
    assert claimed(side, B) is None
    side.passes(2_000)
    assert claimed(side, B, "loja-b") is None
    assert claimed(side, B) == 2
    assert side.engine.beat(A, {"loja-b": 1}, (), TTL_MS).leases == {
        "loja-a": Lease(2, B.instance),
        "loja-b": Lease(1, A.instance),
    }
    side.passes(TTL_MS + 1)
    assert claimed(side, B, "loja-b") == 2, "its owner is silent"


def test_a_beat_writes_what_has_changed_and_not_a_row_for_each_realm(shared: OnPostgres | OnRedis) -> None:
    engine = shared.engine()
    held = {f"loja-{number}": 1 for number in range(50)}
    engine.beat(A, {}, held, TTL_MS)
    assert shared.written(lambda: engine.claim(A, dict.fromkeys(held, 0), TTL_MS)) in (50, 49)  # no beat on Redis
    assert shared.written(lambda: engine.beat(A, held, held, TTL_MS)) == 50
    assert shared.written(lambda: engine.beat(A, held, held, TTL_MS)) == 0
    assert shared.written(lambda: engine.beat(A, {**held, "loja-7": 0}, held, TTL_MS)) == 1
    engine.close()


def test_a_process_that_is_stopped_within_a_transaction_holds_up_nobody(to: str) -> None:
    stopped, other = PostgresEngine(to, timeout_s=2), PostgresEngine(to, timeout_s=PATIENCE_S)
    stopped.beat(A, {}, ["loja-a"], TTL_MS)
    stopped.claim(A, {"loja-a": 0}, TTL_MS)
    connection = stopped._connection
    assert connection is not None
    connection.execute("BEGIN")
    connection.execute("SELECT FROM comanda_hubs.members, comanda_hubs.realms FOR UPDATE")
    assert other.claim(B, {"loja-a": 0}, TTL_MS) == {}, "it may go on"
    with pytest.raises(EngineAway):
        stopped.beat(A, {"loja-a": 1}, (), TTL_MS)
    assert stopped.beat(A, {"loja-a": 1}, (), TTL_MS).leases == {"loja-a": Lease(1, A.instance)}
    for engine in (stopped, other):
        engine.close()


def test_an_engine_that_is_away_says_so_and_is_found_again(shared: OnPostgres | OnRedis) -> None:
    engine = shared.engine()
    engine.beat(A, {}, ["loja-a"], TTL_MS)
    engine.claim(A, {"loja-a": 0}, TTL_MS)
    shared.server.kill()
    with pytest.raises(EngineAway):
        engine.beat(A, {}, (), TTL_MS)
    shared.server.start()
    assert engine.beat(A, {}, (), TTL_MS).leases == {"loja-a": Lease(1, A.instance)}
    engine.close()
