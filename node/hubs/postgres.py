"""The engine on PostgreSQL: a row a process and a row a realm. A lease ends by the server's clock.

`now()` is when a transaction began: a statement that waited for a lock gives a lease that is shorter, never longer.
A lease that was renewed lasts as long as its owner is heard of, so that a beat writes the row of its process and what
has changed, not a row for each store. Who claims locks the rows of processes before those of realms, as who beats
does: so a beat that is under way is waited for.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from os import dup
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from attrs import asdict, field

from crdt.classes import define
from node.hubs.engine import Charter, Claimed, EngineAway, Lease, Member, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

T = TypeVar("T")

TABLES = """
CREATE SCHEMA IF NOT EXISTS comanda_hubs;
CREATE TABLE IF NOT EXISTS comanda_hubs.members (
    instance text PRIMARY KEY, node text NOT NULL, address text NOT NULL, token_hash text NOT NULL,
    until timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS comanda_hubs.realms (
    realm text PRIMARY KEY, token bigint NOT NULL DEFAULT 0, owner text NOT NULL DEFAULT '',
    until timestamptz NOT NULL DEFAULT '-infinity', number bigint NOT NULL DEFAULT 0, body bytea NOT NULL DEFAULT '');
ALTER TABLE comanda_hubs.realms ADD COLUMN IF NOT EXISTS renewed boolean NOT NULL DEFAULT false;
"""
SETTLE = "SELECT pg_advisory_xact_lock(20181985)"
"""Two processes that begin at once make the tables one after the other."""

OVER = """
CASE WHEN r.renewed
THEN coalesce((SELECT m.until FROM comanda_hubs.members m WHERE m.instance = r.owner), '-infinity')
ELSE r.until END <= now()
"""
"""Whether a lease has ended, of `comanda_hubs.realms r`."""

LOCKED = "SELECT FROM comanda_hubs.members WHERE instance = %(instance)s FOR UPDATE"
LEFT = """
UPDATE comanda_hubs.realms r
SET renewed = false,
    until = coalesce((SELECT m.until FROM comanda_hubs.members m WHERE m.instance = r.owner), '-infinity')
WHERE r.owner = %(instance)s AND r.renewed AND NOT EXISTS (
    SELECT FROM unnest(%(held)s::text[], %(tokens)s::bigint[]) AS h(realm, token)
    WHERE h.realm = r.realm AND h.token = r.token)
"""
"""What its owner holds no more ends when it was last renewed."""

THERE = """
INSERT INTO comanda_hubs.members
VALUES (%(instance)s, %(node)s, %(address)s, %(token_hash)s, now() + %(ttl_ms)s * interval '1 ms')
ON CONFLICT (instance) DO UPDATE SET until = excluded.until
"""
KNOWN = "INSERT INTO comanda_hubs.realms (realm) SELECT unnest(%(realms)s::text[]) ON CONFLICT DO NOTHING"
RENEW = """
UPDATE comanda_hubs.realms r SET renewed = true
FROM unnest(%(held)s::text[], %(tokens)s::bigint[]) AS h(realm, token)
WHERE r.realm = h.realm AND r.token = h.token AND r.owner = %(instance)s AND NOT r.renewed
"""
FORGET = """
DELETE FROM comanda_hubs.members WHERE instance IN (
    SELECT instance FROM comanda_hubs.members WHERE until < now() - interval '1 hour' FOR UPDATE SKIP LOCKED)
"""
MEMBERS = "SELECT instance, node, address, token_hash FROM comanda_hubs.members WHERE until > now() ORDER BY instance"
LEASES = f"SELECT realm, token, CASE WHEN {OVER} THEN '' ELSE owner END, number FROM comanda_hubs.realms r"

OWNERS = """
SELECT FROM comanda_hubs.members WHERE instance IN (
    SELECT owner FROM comanda_hubs.realms WHERE realm = ANY(%(wanted)s)) ORDER BY instance FOR SHARE
"""
FREE = f"""
SELECT realm FROM comanda_hubs.realms r
WHERE realm = ANY(%(wanted)s) AND (owner IN ('', %(instance)s) OR {OVER}) ORDER BY realm FOR UPDATE
"""
"""In one order, so that two who claim the same never wait for each other."""

CLAIM = """
UPDATE comanda_hubs.realms r
SET token = greatest(r.token, f.floor) + 1, owner = %(instance)s, renewed = false,
    until = now() + %(ttl_ms)s * interval '1 ms'
FROM unnest(%(free)s::text[], %(floors)s::bigint[]) AS f(realm, floor)
WHERE r.realm = f.realm RETURNING r.realm, r.token, r.number, r.body
"""
RELEASE = """
UPDATE comanda_hubs.realms r SET owner = '', renewed = false
FROM unnest(%(held)s::text[], %(tokens)s::bigint[]) AS h(realm, token)
WHERE r.realm = h.realm AND r.token = h.token AND r.owner = %(instance)s
"""
PUT = """
UPDATE comanda_hubs.realms SET number = %(number)s, body = %(body)s
WHERE realm = %(realm)s AND token = %(token)s AND owner = %(instance)s AND number < %(number)s
"""
LEAVE = "DELETE FROM comanda_hubs.members WHERE instance = %(instance)s"


@define(eq=False)
class PostgresEngine:
    """Called by one thread at a time; it waits for the server, so not by the one that serves.

    to: a URL. timeout_s: longest time for a connection, and as far as the server counts for a statement and between
    two of a transaction, so that a process that was stopped holds up nobody with its locks.
    """

    to: str = field(repr=False)
    timeout_s: float = 2.0
    _connection: psycopg.Connection[Any] | None = field(default=None, init=False)
    _cuts: int = field(default=0, init=False)

    def beat(self, member: Member, held: Mapping[str, int], realms: Collection[str], ttl_ms: int) -> Standing:
        words: dict[str, Any] = {**_said(member), **_pairs(held), "realms": sorted(realms), "ttl_ms": ttl_ms}

        def ask(connection: psycopg.Connection[Any]) -> Standing:
            for statement in (LOCKED, LEFT, THERE, KNOWN, RENEW, FORGET):
                connection.execute(statement, words)
            members = [Member(*row) for row in connection.execute(MEMBERS)]
            return Standing(members, {realm: Lease(*lease) for realm, *lease in connection.execute(LEASES)})

        return self._ask(ask)

    def claim(self, member: Member, floors: Mapping[str, int], ttl_ms: int) -> dict[str, Claimed]:
        words: dict[str, Any] = {**_said(member), "wanted": sorted(floors), "ttl_ms": ttl_ms}

        def ask(connection: psycopg.Connection[Any]) -> dict[str, Claimed]:
            connection.execute(OWNERS, words)
            free = [realm for (realm,) in connection.execute(FREE, words)]
            given = {**words, "free": free, "floors": [floors[realm] for realm in free]}
            return {
                realm: Claimed(token, Charter(number, body))
                for realm, token, number, body in connection.execute(CLAIM, given)
            }

        return self._ask(ask)

    def release(self, member: Member, held: Mapping[str, int]) -> None:
        self._ask(lambda connection: connection.execute(RELEASE, {**_said(member), **_pairs(held)}))

    def put(self, member: Member, realm: str, token: int, charter: Charter) -> bool:
        words = {**_said(member), "realm": realm, "token": token, "number": charter.number, "body": charter.body}
        return self._ask(lambda connection: connection.execute(PUT, words).rowcount) == 1

    def leave(self, member: Member) -> None:
        self._ask(lambda connection: connection.execute(LEAVE, _said(member)))

    def cut(self) -> None:
        """End a call that another thread waits in: a server that stands still answers nothing, ever."""
        connection, self._connection = self._connection, None
        self._cuts += 1
        if connection is not None and not connection.closed:
            with suppress(OSError, psycopg.Error), socket.socket(fileno=dup(connection.fileno())) as opened:
                opened.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _ask(self, ask: Callable[[psycopg.Connection[Any]], T]) -> T:
        """One transaction. Its connection is kept for the next one, unless it failed."""
        connection, cuts = self._connection, self._cuts
        try:
            if connection is None or connection.closed:
                connection = self._connected()
                if cuts != self._cuts:
                    raise psycopg.OperationalError("given up while it connected")
                self._connection = connection
            with connection.transaction():
                return ask(connection)
        except psycopg.Error as error:
            if connection is not None:
                connection.close()
            if self._connection is connection:
                self._connection = None
            raise EngineAway(str(error).strip()) from error

    def _connected(self) -> psycopg.Connection[Any]:
        milliseconds = int(self.timeout_s * 1000)
        connection: psycopg.Connection[Any] = psycopg.connect(
            self.to,
            autocommit=True,
            connect_timeout=max(2, int(self.timeout_s)),
            options=f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}",
        )
        with connection.transaction():
            connection.execute(SETTLE)
            connection.execute(TABLES)
        return connection


def _said(member: Member) -> dict[str, str]:
    return asdict(member)


def _pairs(held: Mapping[str, int]) -> dict[str, list[Any]]:
    return {"held": list(held), "tokens": list(held.values())}
