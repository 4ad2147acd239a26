from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from storage.records import Commit
from storage.sqlite.history_reader import HistoryReader
from tests.storage.archives import archive
from tests.storage.rows import entity, row, rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.store import Store


def test_reads_inside_one_moment_see_nothing_that_is_committed_meanwhile(store: Store) -> None:
    key = ("orders", "o-1")
    store.commit(rows(1, 2, entity_id="o-1"))
    with closing(HistoryReader(store.path)) as history:
        with history.moment():
            before = [found.seq for found in history.entity_rows(key)]
            store.commit(rows(3, 4, entity_id="o-1"))
            assert [found.seq for found in history.entity_rows(key)] == before == [1, 2]
        assert [found.seq for found in history.entity_rows(key)] == [1, 2, 3, 4]


def test_a_moment_ends_with_an_error_inside_it(store: Store) -> None:
    with closing(HistoryReader(store.path)) as history:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError), history.moment():
                raise ZeroDivisionError


def test_every_entity_is_named_once_whatever_table_names_it(store: Store, tmp_path: Path) -> None:
    bulk = row(3, entity_id=None, targets=("a", "c"))
    store.commit(
        Commit(rows=[row(1, entity_id="a"), row(2, entity_id="b"), bulk], entities=[entity("a"), entity("d")])
    )
    archive(store, tmp_path / "a.gz", 2)
    with closing(HistoryReader(store.path)) as history:
        assert [name for _, name in history.entity_keys()] == ["a", "b", "c", "d"]
