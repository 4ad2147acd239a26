from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.sink.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = count()


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """Started once. Each test, or module, has a database in it: what one leaves is nothing to the next."""
    running = Postgres()
    yield running
    running.end()


def made(server: Postgres) -> str:
    """The URL of a new database."""
    name = f"chain{next(NUMBERS)}"
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.uri(name)


@pytest.fixture
def to(server: Postgres) -> str:
    """The URL of an empty database."""
    return made(server)


@pytest.fixture(scope="module")
def module_to(server: Postgres) -> str:
    """The URL of a database that is empty when the first test of a module runs, also where a worker that has ended a
    module is given more of its tests."""
    return made(server)
