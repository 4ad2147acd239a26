"""The engine on a real Redis: what it refuses, by whom it is recognised, and what it may forget."""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from node.errors import ConfigError
from node.hubs.engine import Charter, EngineAway, Lease, Member
from node.hubs.engines import engine_at
from node.hubs.redis import KEYS, RedisEngine
from node.runtime import x509
from tests.authority import Authority, make
from tests.hubs.conftest import on_redis
from tests.hubs.redis_server import PASSWORD, QUOTED, RedisServer
from tests.patience import PATIENCE_S
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hubs.shared import OnRedis

A = Member("a.1", "a", "ws://a:1")
TTL_MS = 3_600_000


@pytest.fixture
def on(redis_server: RedisServer) -> OnRedis:
    return on_redis(redis_server)


def refused(engine: RedisEngine) -> str:
    """What is said of a beat that gets no answer."""
    with pytest.raises(EngineAway) as caught:
        engine.beat(A, {}, ["loja-a"], TTL_MS)
    said = str(caught.value)
    assert PASSWORD not in said
    assert QUOTED not in said
    return said


@pytest.fixture(params=["cluster", "cluster that serves", "sentinel"])
def unfit(request: pytest.FixtureRequest) -> Iterator[tuple[str, RedisServer]]:
    """A server of a mode on which no head office can be kept."""
    mode, *more = request.param.split()
    running = RedisServer(mode=mode)
    if more:
        running.do(lambda client: client.cluster_addslots(range(16384)))
    yield mode, running
    running.end()


def test_a_cluster_and_a_sentinel_are_called_so(
    unfit: tuple[str, RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever database, and also where the user may not ask for the mode."""
    mode, server = unfit
    said = f"it is a {'Redis Cluster' if mode == 'cluster' else 'Sentinel'}"
    for number in (0, 1):
        assert said in refused(RedisEngine(server.uri(number)))
    monkeypatch.setattr(RedisEngine, "_look", silent)
    for number in (0, 1) if mode == "cluster" else (1,):  # to a script it says what others without scripts say
        assert said in refused(RedisEngine(server.uri(number)))


async def silent(*_: object) -> None:
    """It may not be asked."""


@pytest.mark.parametrize(
    ("shown", "why"),
    [("", "HELLO must be called"), (":wrong@", "invalid username-password"), (f"no:{QUOTED}@", "invalid username")],
)
def test_who_shows_no_password_or_a_wrong_one_is_told(on: OnRedis, shown: str, why: str) -> None:
    assert why in refused(RedisEngine(f"redis://{shown}127.0.0.1:{on.server.port}/{on.number}"))


def test_a_user_that_may_not_write_is_told(on: OnRedis) -> None:
    on.server.do(lambda client: client.acl_setuser("reader", "on", f">{PASSWORD}", "~*", "+@all", "-hset"))
    engine = RedisEngine(f"redis://reader:{QUOTED}@127.0.0.1:{on.server.port}/{on.number}")
    said = refused(engine)
    assert "can't run this command" in said or "no permissions" in said, "a Redis, or a Valkey"
    assert QUOTED not in repr(engine)


def test_the_user_of_the_readme_may_do_all_that_is_needed(on: OnRedis) -> None:
    said = re.search(r"`ACL SETUSER (.*) on >PASSWORD (.*)`", (ROOT / "node/hubs/README.md").read_text())
    assert said is not None
    user, allowed = said.groups()
    on.server.do(lambda client: client.acl_setuser(user, "on", f">{PASSWORD}", *allowed.split()))
    engine = RedisEngine(f"redis://{user}:{QUOTED}@127.0.0.1:{on.server.port}/{on.number}")
    engine.beat(A, {}, ["loja-a"], TTL_MS)
    assert engine.claim(A, {"loja-a": 0}, TTL_MS)["loja-a"].token == 1
    assert engine.put(A, "loja-a", 1, Charter(1, b"x"))
    engine.release(A, {"loja-a": 1})
    engine.leave(A)


def test_a_server_that_is_full_refuses_the_whole_of_a_call(on: OnRedis) -> None:
    engine = on.engine()
    engine.beat(A, {}, ["loja-a"], TTL_MS)
    engine.claim(A, {"loja-a": 0}, TTL_MS)
    before = on.leases()
    on.server.do(lambda client: client.config_set({"maxmemory": "1"}))
    try:
        assert "OOM" in refused(engine) or "memory" in refused(engine)
        for call in (
            lambda: engine.claim(A, {"loja-a": 0}, TTL_MS),
            lambda: engine.put(A, "loja-a", 1, Charter(1, b"x")),
            lambda: engine.release(A, {"loja-a": 1}),
        ):
            with pytest.raises(EngineAway):
                call()
        assert on.leases() == before
        assert on.server.do(lambda client: client.exists([KEYS[1]]), on.number) == 0
    finally:
        on.server.do(lambda client: client.config_set({"maxmemory": "0"}))
    assert engine.beat(A, {"loja-a": 1}, (), TTL_MS).leases == {"loja-a": Lease(1, A.instance)}


def test_a_server_that_stands_still_is_given_up(on: OnRedis) -> None:
    engine = RedisEngine(on.to, timeout_s=PATIENCE_S)
    engine.beat(A, {}, (), TTL_MS)
    engine.timeout_s = 0.2
    on.server.stand_still()
    try:
        assert refused(engine)
    finally:
        on.server.go_on()
    engine.beat(A, {}, (), TTL_MS)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(make(tmp_path_factory.mktemp("authority")))
    yield running
    running.end()


@pytest.fixture(scope="module")
def misnamed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Its certificate is for another name."""
    folder = tmp_path_factory.mktemp("elsewhere")
    x509.make(folder, ("elsewhere.example",), datetime.now(UTC))
    running = RedisServer(Authority(folder))
    yield running
    running.end()


def test_tls_recognises_a_server_by_its_authority_and_its_name(
    on: OnRedis, secure: RedisServer, misnamed: RedisServer
) -> None:
    def at(server: RedisServer, more: str) -> RedisEngine:
        return RedisEngine(f"rediss://:{QUOTED}@127.0.0.1:{server.tls_port}/0{more}")

    assert secure.authority is not None
    assert misnamed.authority is not None
    at(secure, f"?ssl_ca_certs={secure.authority.ca}").beat(A, {}, (), TTL_MS)
    assert "certificate verify failed" in refused(at(secure, ""))
    assert "certificate is not valid for '127.0.0.1'" in refused(
        at(misnamed, f"?ssl_ca_certs={misnamed.authority.ca}")
    )


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="certificates cannot be read"):
        engine_at(f"rediss://:{QUOTED}@127.0.0.1/0?ssl_ca_certs={tmp_path}/nobody", 1.0)


@pytest.mark.parametrize(
    ("database", "module", "extra"),
    [("rediss://h", "redis", "redis"), ("valkey://h", "redis", "redis"), ("postgresql://h/x", "postgres", "sink")],
)
def test_a_library_that_is_not_there_is_named(
    database: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"node.hubs.{module}", None)
    with pytest.raises(ConfigError, match=rf"comanda\[{extra}\]"):
        engine_at(database, 1.0)


def test_what_a_server_may_forget_is_said_once(on: OnRedis, caplog: pytest.LogCaptureFixture) -> None:
    def warned() -> list[str]:
        caplog.clear()
        engine = on.engine()
        for _ in range(2):
            engine.beat(A, {}, (), TTL_MS)
        return [record.message for record in caplog.records if record.levelno == logging.WARNING]

    assert warned() == []
    forgetful = {"appendonly": "no", "maxmemory-policy": "allkeys-lru"}
    on.server.do(lambda client: client.config_set(forgetful))
    try:
        dropped, lost = warned()
    finally:
        on.server.do(lambda client: client.config_set({"appendonly": "yes", "maxmemory-policy": "noeviction"}))
    assert "allkeys-lru" in dropped
    assert "appendonly is off" in lost
