"""A store and a reader on one temporary data directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage.sqlite.reader import Reader
from tests.storage.archives import fill
from tests.storage.rows import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.sqlite.store import Store


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "node"


@pytest.fixture
def store(directory: Path) -> Iterator[Store]:
    opened = open_store(directory)
    yield opened
    opened.close()


@pytest.fixture
def reader(store: Store) -> Iterator[Reader]:
    opened = Reader(store.path)
    yield opened
    opened.close()


@pytest.fixture
def full(store: Store) -> Store:
    """A hundred rows of ten orders in turn."""
    return fill(store)
