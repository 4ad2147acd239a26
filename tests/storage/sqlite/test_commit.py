"""A group is stored whole, or nothing of it is."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from storage.audit.chain_walk import verify
from storage.chain import GENESIS
from storage.records import Commit
from storage.sqlite.archived_tables import keep_bases
from storage.sqlite.database import StorageError
from storage.sqlite.rows import BASES
from tests.storage.rows import conflict, cursor, entity, fields_of, lock, row, rows

if TYPE_CHECKING:
    from storage.sqlite.reader import Reader
    from storage.sqlite.store import Store


@pytest.mark.parametrize("count", [1, 255, 256, 257, 700])
def test_groups_of_any_size_are_stored_whole_and_in_order(store: Store, reader: Reader, count: int) -> None:
    store.commit(rows(1, count, message=b"\x00\xff"))
    found = reader.rows(None, 0, count, count + 1)
    assert [fields_of(r) for r in found] == [fields_of(r) for r in rows(1, count, message=b"\x00\xff").rows]


def test_the_last_of_one_key_in_a_group_wins_and_upserts_the_one_before(store: Store, reader: Reader) -> None:
    store.commit(Commit(entities=[entity("a", version=1), entity("a", version=2)], cursors=[cursor("t", 1, 1, 1, 1)]))
    store.commit(
        Commit(
            entities=[entity("a", version=3), entity("a", version=4, deleted=True)],
            conflicts=[conflict("x"), conflict("x", "closed")],
            locks=[lock("a", 1), lock("a", 2)],
            cursors=[cursor("t", 2, 2, 2, 2), cursor("t", 3, 3, 3, 3)],
        )
    )
    assert reader.entity("orders", "a") == entity("a", version=4, deleted=True)
    assert reader.conflicts(None) == [conflict("x", "closed")]
    boot = store.boot()
    assert (boot.locks, boot.cursors) == ([lock("a", 2)], [cursor("t", 3, 3, 3, 3)])


@pytest.mark.parametrize("seqs", [[2], [1, 3], [1, 1], [0], [2, 1]])
def test_rows_that_do_not_follow_the_head_are_refused_whole(store: Store, reader: Reader, seqs: list[int]) -> None:
    with pytest.raises(StorageError, match="does not follow"):
        store.commit(Commit(rows=[row(seq) for seq in seqs], meta={"k": "v"}))
    assert (store.head, store.chain) == (0, GENESIS)
    assert reader.rows(None, 0, 9, 9) == []
    assert "k" not in store.boot().meta


def assert_nothing_stored(store: Store, reader: Reader, commit: Commit) -> None:
    """The commit fails as a value of the field, and neither disk nor memory knows of it."""
    before = (store.head, store.chain)
    with pytest.raises(StorageError, match=r"comanda\.db"):
        store.commit(commit)
    assert (store.head, store.chain) == before
    assert reader.rows(None, before[0], 10**6, 9) == []
    assert reader.entity("orders", "new") is None
    assert reader.head() == before


def test_a_full_disk_stores_nothing_of_the_group_and_the_next_goes_through(store: Store, reader: Reader) -> None:
    store.commit(rows(1, 3))
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count={pages + 2}")
    full = rows(4, 60, message=b"x" * 1200)
    full.entities = [entity("new")]
    assert_nothing_stored(store, reader, full)
    store.connection.execute("PRAGMA max_page_count=1000000")
    store.commit(full)
    assert store.head == 60
    assert reader.entity("orders", "new") == entity("new")
    assert list(verify(reader)) == []


@pytest.mark.parametrize("table", ["entities", "meta", "cursors", "log"])
def test_a_failure_at_any_table_rolls_the_whole_group_back(store: Store, reader: Reader, table: str) -> None:
    store.commit(rows(1, 3))
    store.connection.execute(
        f"CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(FAIL, 'disk I/O error'); END"
    )
    group = rows(4, 5)
    group.entities, group.cursors = [entity("new")], [cursor("t")]
    assert_nothing_stored(store, reader, group)
    store.connection.execute("DROP TRIGGER broken")
    store.commit(group)
    assert list(verify(reader)) == []


@pytest.mark.parametrize(
    "poison", [{"version": 2**63}, {"status": "\ud800"}, {"operation": "\ud800"}], ids=["integer", "text", "blob"]
)
def test_a_value_sqlite_cannot_store_fails_as_a_storage_error(
    store: Store, reader: Reader, poison: dict[str, object]
) -> None:
    group = Commit(rows=[row(1), row(2, **{k: v for k, v in poison.items() if k != "operation"})])
    if "operation" in poison:
        group.meta["note"] = str(poison["operation"])
    assert_nothing_stored(store, reader, group)
    store.commit(rows(1, 2))


def test_a_bulk_row_that_names_an_entity_twice_does_not_fail_the_group(store: Store, reader: Reader) -> None:
    store.commit(Commit(rows=[row(1, entity_id=None, targets=("a", "a", "b"))]))
    assert [r.seq for r in reader.audit("orders", "a")] == [1]


@pytest.mark.parametrize("damaged", [True, False])
def test_a_damaged_entity_is_not_made_whole_where_its_document_is_saved(store: Store, damaged: bool) -> None:
    """It is as it was at the anchor, and is written again."""
    group = rows(1, 3)
    group.entities = [evolve(entity("a"), seq=2)]
    store.commit(group)
    if damaged:
        store.connection.execute("UPDATE entities SET snapshot = X'00'")
    keep_bases(store.connection, [("orders", "a")], anchor=3)
    store.connection.row_factory = sqlite3.Row
    (base,) = store.connection.execute("SELECT * FROM bases")
    assert BASES.sound(base) is not damaged
