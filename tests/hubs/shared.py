"""What the processes share, as tests look into it and spoil it: on PostgreSQL, and on Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import psycopg
from attrs import define, field

from node.hubs.postgres import PostgresEngine
from node.hubs.redis import ALIKE, KEYS, RedisEngine
from tests.hubs.redis_server import RedisServer
from tests.sink.postgres import Postgres
from tests.sink.rig import connected, rows

if TYPE_CHECKING:
    from collections.abc import Callable

LEASES, CHARTERS, _, THERE = KEYS


class Shared(Protocol):
    """to: its address. server: the program behind it."""

    to: str

    @property
    def server(self) -> Postgres | RedisServer: ...

    def tokens(self) -> dict[str, int]:
        """Realm -> the token of its owner, of those that have one."""

    def left(self, realm: str) -> tuple[str, bytes]:
        """Who owns a realm, and what was left for the next one."""

    def spoil(self, realm: str) -> None:
        """Nobody owns it, and what is left for the next owner cannot be read. There is a realm with a bad name."""

    def passes(self, ms: int) -> None:
        """All times lie so much further back."""

    def empty(self) -> None:
        """It loses all that it holds."""

    def written(self, act: Callable[[], object]) -> int:
        """Of how many realms something is written while it acts."""


@define
class OnPostgres:
    to: str
    server: Postgres

    def engine(self) -> PostgresEngine:
        return PostgresEngine(self.to)

    def tokens(self) -> dict[str, int]:
        return dict(rows(self.to, "SELECT realm, token FROM comanda_hubs.realms WHERE owner <> ''"))

    def left(self, realm: str) -> tuple[str, bytes]:
        owner, body = rows(self.to, "SELECT owner, body FROM comanda_hubs.realms WHERE realm = %s", realm)[0]
        return owner, body

    def spoil(self, realm: str) -> None:
        with connected(self.to) as connection:
            connection.execute("INSERT INTO comanda_hubs.realms (realm, number) VALUES ('../../x', 1)")
            connection.execute(
                "UPDATE comanda_hubs.realms SET owner = '', body = 'x', number = number + 9 WHERE realm = %s", [realm]
            )

    def passes(self, ms: int) -> None:
        with psycopg.connect(self.to, autocommit=True) as connection:
            for table in ("members", "realms"):
                connection.execute(f"UPDATE comanda_hubs.{table} SET until = until - {ms} * interval '1 ms'")

    def empty(self) -> None:
        with psycopg.connect(self.to, autocommit=True) as connection:
            connection.execute("DROP SCHEMA comanda_hubs CASCADE")

    def written(self, act: Callable[[], object]) -> int:
        def versions() -> set[tuple[str, str]]:
            return set(rows(self.to, "SELECT realm, xmin::text FROM comanda_hubs.realms"))

        before = versions()
        act()
        return len(versions() - before)


PASSES = """
for _, realm in ipairs(redis.call('HKEYS', LEASES)) do
  local one = lease(realm)
  one.till = math.max(0, one.till - tonumber(ARGV[2]))
  write(realm, one)
end
for _, instance in ipairs(redis.call('ZRANGE', THERE, 0, -1)) do
  redis.call('ZINCRBY', THERE, -tonumber(ARGV[2]), instance)
end
"""
SPOIL = """
local one = lease(ARGV[2])
one.owner, one.with, one.number = '', false, one.number + 9
write(ARGV[2], one)
redis.call('HSET', CHARTERS, ARGV[2], 'x')
write('../../x', {token = 0, till = 0, with = false, number = 1, owner = ''})
"""


@define
class OnRedis:
    """number: of a database of the server that is its own."""

    server: RedisServer
    number: int
    to: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.to = self.server.uri(self.number)

    def engine(self) -> RedisEngine:
        return RedisEngine(self.to)

    def leases(self) -> dict[str, list[str]]:
        """Realm -> token, until, with its owner, number of the charter, owner."""
        told = self.server.do(lambda client: client.hgetall(LEASES), self.number)
        return {realm: text.split(" ", 4) for realm, text in told.items()}

    def tokens(self) -> dict[str, int]:
        return {realm: int(lease[0]) for realm, lease in self.leases().items() if lease[4]}

    def left(self, realm: str) -> tuple[str, bytes]:
        body = self.server.do(lambda client: client.hget(CHARTERS, realm), self.number)
        return self.leases()[realm][4], (body or "").encode()

    def spoil(self, realm: str) -> None:
        self._run(SPOIL, realm)

    def passes(self, ms: int) -> None:
        self._run(PASSES, ms)

    def empty(self) -> None:
        self.server.do(lambda client: client.flushdb(), self.number)

    def written(self, act: Callable[[], object]) -> int:
        def calls() -> int:
            told = self.server.do(lambda client: client.info("commandstats"))
            return int(told["cmdstat_hset"]["calls"])

        before = calls()
        act()
        return calls() - before - 1  # which says who there is

    def _run(self, script: str, *words: str | int) -> None:
        self.server.do(lambda client: client.eval(ALIKE + script, KEYS, ["", *words]), self.number)
