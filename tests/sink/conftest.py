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
    """Started once; each test has a database in it."""
    running = Postgres()
    yield running
    running.end()


@pytest.fixture
def to(server: Postgres) -> str:
    """The URL of an empty database."""
    name = f"chain{next(NUMBERS)}"
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.uri(name)
