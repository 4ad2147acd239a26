"""The engine on Redis or Valkey: four keys, and a Lua script a call, which the server runs whole, by its own clock.

    comanda_hubs:leases    hash: realm -> "TOKEN UNTIL WITH_OWNER NUMBER OWNER"; UNTIL in ms
    comanda_hubs:charters  hash: realm -> what the owner has left
    comanda_hubs:members   hash: instance -> [node, address, token_hash] as JSON
    comanda_hubs:there     sorted set: instance -> until when it was heard of, in ms

A lease that was renewed (WITH_OWNER is 1) lasts as long as its owner is heard of, so that a beat writes what has
changed and not a value a realm.

Each call has an event loop and a connection of its own, 7 ms of CPU five times a lease: a broken connection ends its
whole block (coredis), and none is ever half open.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

import coredis
import orjson
import trio
from attrs import field
from coredis.exceptions import RedisError

from crdt.classes import define
from node.addresses import MASK, RedisAddress, redis_address
from node.hubs.engine import Charter, Claimed, EngineAway, Lease, Member, Standing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

logger = logging.getLogger("comanda.hubs")
logging.getLogger("coredis").setLevel(logging.CRITICAL)  # what fails is told by EngineAway, and logged once

Value = str | bytes | int

KEYS = [f"comanda_hubs:{name}" for name in ("leases", "charters", "members", "there")]

ALIKE = """
local LEASES, CHARTERS, MEMBERS, THERE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local me = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number) return string.format('%.0f', number) end

local function read(text)
  local token, till, with, number, owner = string.match(text, '^(%d+) (%d+) ([01]) (%d+) (.*)$')
  if not token then return {token = 0, till = 0, with = false, number = 0, owner = ''} end
  token, till, number = tonumber(token), tonumber(till), tonumber(number)
  return {token = token, till = till, with = with == '1', number = number, owner = owner}
end

local function lease(realm)
  local text = redis.call('HGET', LEASES, realm)
  return text and read(text)
end

local function write(realm, one)
  local words = {whole(one.token), whole(one.till), one.with and '1' or '0', whole(one.number), one.owner}
  redis.call('HSET', LEASES, realm, table.concat(words, ' '))
end

local function there(instance) return tonumber(redis.call('ZSCORE', THERE, instance) or 0) end

local function over(one) return (one.with and there(one.owner) or one.till) <= now end
"""
"""What the scripts have in common. A script writes with HSET, HSETNX or ZADD first: a server that is full refuses
that, and then all of it."""

BEAT = """
local ttl, count = tonumber(ARGV[3]), tonumber(ARGV[4])
local before = there(me)
redis.call('ZADD', THERE, whole(now + ttl), me)
redis.call('HSET', MEMBERS, me, ARGV[2])
local held = {}
for i = 1, count do held[ARGV[3 + 2 * i]] = tonumber(ARGV[4 + 2 * i]) end
for i = 5 + 2 * count, #ARGV do redis.call('HSETNX', LEASES, ARGV[i], '0 0 0 0 ') end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', THERE, '-inf', whole(now - 3600000))) do
  redis.call('ZREM', THERE, gone)
  redis.call('HDEL', MEMBERS, gone)
end
local members, leases = {}, {}
for _, instance in ipairs(redis.call('ZRANGEBYSCORE', THERE, '(' .. whole(now), '+inf')) do
  members[#members + 1] = instance
  members[#members + 1] = redis.call('HGET', MEMBERS, instance) or ''
end
local all = redis.call('HGETALL', LEASES)
for i = 1, #all, 2 do
  local realm, one = all[i], read(all[i + 1])
  local renewed = held[realm] == one.token
  if one.owner == me and one.with ~= renewed then
    if not renewed then one.till = before end
    one.with = renewed
    write(realm, one)
  end
  for _, value in ipairs({realm, whole(one.token), over(one) and '' or one.owner, whole(one.number)}) do
    leases[#leases + 1] = value
  end
end
return {members, leases}
"""

CLAIM = """
local ttl, got = tonumber(ARGV[2]), {}
for i = 3, #ARGV, 2 do
  local realm, floor = ARGV[i], tonumber(ARGV[i + 1])
  local one = lease(realm)
  if one and (one.owner == '' or one.owner == me or over(one)) then
    one.token = math.max(one.token, floor) + 1
    one.owner, one.till, one.with = me, now + ttl, false
    write(realm, one)
    for _, value in ipairs({realm, whole(one.token), whole(one.number), redis.call('HGET', CHARTERS, realm) or ''}) do
      got[#got + 1] = value
    end
  end
end
return got
"""

RELEASE = """
for i = 2, #ARGV, 2 do
  local one = lease(ARGV[i])
  if one and one.owner == me and one.token == tonumber(ARGV[i + 1]) then
    one.owner, one.with = '', false
    write(ARGV[i], one)
  end
end
"""

PUT = """
local realm, token, number = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local one = lease(realm)
if not one or one.owner ~= me or one.token ~= token or one.number >= number then return 0 end
one.number = number
write(realm, one)
redis.call('HSET', CHARTERS, realm, ARGV[5])
return 1
"""

LEAVE = """
redis.call('ZREM', THERE, me)
redis.call('HDEL', MEMBERS, me)
"""


CLUSTER = "it is a Redis Cluster, and four keys must stand on one server: name a server that is of no cluster"
SENTINEL = "it is a Sentinel, which holds no keys: name the server that it watches"

TOLD = (
    ("SELECT is not allowed in cluster mode", CLUSTER),
    ("Keys in request don't hash to the same slot", CLUSTER),
    ("Hash slot not served", CLUSTER),
    ("unknown command 'SELECT'", SENTINEL),
)
"""What such a server answers where it does not tell its mode, or is not asked for it yet."""


class _Unfit(RedisError):
    """The server is of a kind on which no head office can be kept."""


@define(eq=False)
class RedisEngine:
    """It waits for the server, so it is not called by the thread that serves.

    to: a URL (`redis_address`). timeout_s: longest time for one call. Raises AddressError, and OSError where a file
    of certificates that it names cannot be read.
    """

    to: str = field(repr=False)
    timeout_s: float = 2.0
    _address: RedisAddress = field(init=False)
    _tls: ssl.SSLContext | None = field(default=None, init=False)
    _looked: bool = field(default=False, init=False)
    """Whether the server was asked how it keeps what it is given."""

    def __attrs_post_init__(self) -> None:
        address = self._address = redis_address(self.to)
        if address.secure:
            self._tls = ssl.create_default_context(cafile=address.authorities)
            if address.certificate is not None:
                self._tls.load_cert_chain(address.certificate, address.key)

    def beat(self, member: Member, held: Mapping[str, int], realms: Collection[str], ttl_ms: int) -> Standing:
        said = orjson.dumps([member.node, member.address, member.token_hash])
        pairs = [word for pair in held.items() for word in pair]
        members, leases = self._ask(BEAT, member, said, ttl_ms, len(held), *pairs, *sorted(realms))
        return Standing(
            [Member(instance.decode(), *orjson.loads(one)) for instance, one in _rows(members, 2) if one],
            {
                realm.decode(): Lease(int(token), owner.decode(), int(number))
                for realm, token, owner, number in _rows(leases, 4)
            },
        )

    def claim(self, member: Member, floors: Mapping[str, int], ttl_ms: int) -> dict[str, Claimed]:
        got = self._ask(CLAIM, member, ttl_ms, *(word for pair in floors.items() for word in pair))
        return {
            realm.decode(): Claimed(int(token), Charter(int(number), body))
            for realm, token, number, body in _rows(got, 4)
        }

    def release(self, member: Member, held: Mapping[str, int]) -> None:
        self._ask(RELEASE, member, *(word for pair in held.items() for word in pair))

    def put(self, member: Member, realm: str, token: int, charter: Charter) -> bool:
        return bool(self._ask(PUT, member, realm, token, charter.number, charter.body) == 1)

    def leave(self, member: Member) -> None:
        self._ask(LEAVE, member)

    def cut(self) -> None:
        """Nothing: each call ends by itself after timeout_s, and leaves no connection behind."""

    def close(self) -> None:
        """Nothing: no connection is kept."""

    def _ask(self, script: str, member: Member, *words: Value) -> Any:
        try:
            return trio.run(self._asked, ALIKE + script, [member.instance, *words])
        except trio.TooSlowError as error:
            raise EngineAway("it is too slow") from error
        except (RedisError, OSError) as error:
            raise EngineAway(self._reason(error)) from error
        except ExceptionGroup as group:
            known, rest = group.split((RedisError, OSError, trio.TooSlowError))
            if known is None or rest is not None:
                raise
            raise EngineAway(self._reason(known)) from group

    async def _asked(self, script: str, words: list[Value]) -> Any:
        address = self._address
        with trio.fail_after(self.timeout_s):
            async with coredis.Redis(
                address.host,
                address.port,
                address.number,
                username=address.user,
                password=address.password,
                connect_timeout=self.timeout_s,
                ssl_context=self._tls,
            ) as client:
                if not self._looked:
                    await self._look(client)
                return await client.eval(script, KEYS, words)

    async def _look(self, client: coredis.Redis[bytes]) -> None:
        """Say once what this server may forget. One that does not tell is none that is wrong. Raises _Unfit."""
        try:
            told = await client.info("server", "persistence", "memory")
        except RedisError:
            told = {}
        mode = str(told.get("redis_mode", told.get("server_mode", "")))
        if mode in ("cluster", "sentinel"):
            raise _Unfit(CLUSTER if mode == "cluster" else SENTINEL)
        self._looked = True
        policy = str(told.get("maxmemory_policy", ""))
        if policy.startswith("allkeys"):
            logger.warning("Redis may drop the stores' tokens: maxmemory-policy is %(policy)s", {"policy": policy})
        if told.get("aof_enabled") == 0:
            logger.warning("Redis may lose the stores' tokens when it ends: appendonly is off")

    def _reason(self, error: BaseException) -> str:
        """What was wrong, down to its cause; a server may repeat what it was asked, its password as well."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        root = error
        while root.__cause__ is not None:
            root = root.__cause__
        reason = str(error) if root is error else f"{error}: {root}"
        reason = next((said for told, said in TOLD if told in reason), reason)
        password = self._address.password
        return (reason if not password else reason.replace(password, MASK)).strip() or type(error).__name__


def _rows(flat: list[bytes], width: int) -> list[tuple[Any, ...]]:
    """What a script says in one list, by rows."""
    return list(zip(*[iter(flat)] * width, strict=True))
