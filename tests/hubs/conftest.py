from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.hubs.redis_server import RedisServer
from tests.hubs.shared import OnPostgres, OnRedis
from tests.sink.conftest import made, server, to

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["server", "to"]

NUMBERS = count()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Started once. Each test, or module, has a database of it."""
    running = RedisServer()
    yield running
    running.end()


def shared_on(request: pytest.FixtureRequest) -> OnPostgres | OnRedis:
    """On the engine that a fixture's parameter names, and empty."""
    if request.param == "postgres":
        postgres = request.getfixturevalue("server")
        return OnPostgres(made(postgres), postgres)
    return on_redis(request.getfixturevalue("redis_server"))


def on_redis(server: RedisServer) -> OnRedis:
    """In a database of its own."""
    return OnRedis(server, next(NUMBERS))


@pytest.fixture(params=["postgres", "redis"])
def shared(request: pytest.FixtureRequest) -> OnPostgres | OnRedis:
    """Empty, on each engine."""
    return shared_on(request)


@pytest.fixture(scope="module", params=["postgres", "redis"])
def module_shared(request: pytest.FixtureRequest) -> OnPostgres | OnRedis:
    """Empty when the first test of a module runs, on each engine."""
    return shared_on(request)
