from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from storage.audit.chain_walk import verify
from storage.chain import GENESIS
from storage.records import Commit, TokenRow, key64
from storage.sqlite.database import StorageError
from storage.sqlite.store import Store
from tests.storage.rows import conflict, cursor, entity, fields_of, lock, new_ids, open_store, row, rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.reader import Reader


def test_a_new_directory_is_the_owners_alone_and_gets_an_identity(directory: Path) -> None:
    store = open_store(directory, None)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    boot = store.boot()
    store.close()
    assert boot.node_id == "node-00000000"
    assert len(boot.epoch) == 32
    assert (boot.head, boot.chain, boot.class_heads) == (0, GENESIS, [0, 0, 0, 0])


def test_identity_and_epoch_survive_a_restart(directory: Path) -> None:
    first = open_store(directory, "caixa-1")
    first.close()
    ids = new_ids()
    for _ in range(5):
        ids()
    second = Store.open(directory, None, ids)
    second.close()
    assert (second.node_id, second.epoch) == ("caixa-1", first.epoch)


def test_a_directory_of_another_node_is_refused(directory: Path) -> None:
    open_store(directory, "caixa-1").close()
    with pytest.raises(StorageError, match="caixa-1"):
        open_store(directory, "caixa-2")
    open_store(directory, "caixa-1").close()


def test_an_id_that_was_drawn_gives_way_until_the_node_first_runs(directory: Path) -> None:
    """`comanda token add` comes before the first `comanda serve --id`."""
    Store.open(directory, None, new_ids()).close()
    named = open_store(directory, "caixa-2")
    assert named.node_id == "caixa-2"
    named.set_meta({"writer": "7"})
    named.close()
    with pytest.raises(StorageError, match="caixa-2"):
        open_store(directory, "caixa-3")


def test_boot_returns_what_was_committed(directory: Path) -> None:
    store = open_store(directory)
    commit = rows(1, 3)
    commit.rows += [row(4, kind="notice", priority=0, targets=("pos-2", "pos-3")), row(5, kind="state", priority=3)]
    commit.entities = [entity("a"), entity("b", "products")]
    commit.conflicts = [conflict("x"), conflict("y", "closed")]
    commit.locks = [lock("a"), lock("b", released=True)]
    commit.cursors = [cursor("pos-2", 1, 2, 3, -1)]
    commit.meta = {"hlc": "77"}
    store.commit(commit)
    chain = store.chain
    store.close()

    again = open_store(directory)
    boot = again.boot()
    again.close()
    assert (boot.head, boot.chain, boot.class_heads) == (5, chain, [4, 3, 0, 5])
    assert boot.locks == [lock("a")]
    assert boot.cursors == [cursor("pos-2", 1, 2, 3, -1)]
    assert boot.open_conflicts == [conflict("x")]
    assert boot.entity_keys == {key64("orders", "a"), key64("products", "b")}
    assert list(boot.operation_keys) == sorted(key64(f"op-{seq}") for seq in (1, 2, 3, 5))
    assert boot.meta["hlc"] == "77"


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


def test_facts_are_set_and_removed_outside_a_group(store: Store) -> None:
    store.set_meta({"writer": "7", "restored_from": "x"})
    store.set_meta({"writer": "8"}, remove=("restored_from",))
    meta = store.boot().meta
    assert meta["writer"] == "8"
    assert "restored_from" not in meta


def test_facts_that_cannot_be_stored_leave_the_store_usable(store: Store) -> None:
    with pytest.raises(StorageError):
        store.set_meta({"a": "1", "b": "\ud800"})
    store.commit(rows(1, 1))
    assert "a" not in store.boot().meta


def test_probe_tells_whether_writing_works(store: Store) -> None:
    store.probe()
    store.probe()
    store.connection.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageError):
        store.probe()
    store.connection.execute("PRAGMA query_only=OFF")
    store.probe()


@pytest.mark.parametrize("steps", range(1, 12))
def test_a_failure_at_the_very_start_of_a_transaction_leaves_none_open(
    store: Store, reader: Reader, steps: int
) -> None:
    store.commit(rows(1, 2))
    store.connection.set_progress_handler(lambda: 1, steps)
    with pytest.raises(StorageError):
        store.commit(rows(3, 52))
    store.connection.set_progress_handler(None, 0)
    store.probe()
    assert store.boot().head == 2
    store.commit(rows(3, 3))
    assert [found.seq for found in reader.rows(None, 0, 100, 100)] == [1, 2, 3]


def test_a_checkpoint_moves_commits_into_the_file_while_a_reader_is_open(store: Store, reader: Reader) -> None:
    store.commit(rows(1, 200, message=b"x" * 1200))
    before = store.path.stat().st_size
    store.checkpoint()
    assert store.path.stat().st_size > before
    assert len(reader.rows(None, 0, 200, 500)) == 200


def test_closing_leaves_everything_in_the_database_file(directory: Path) -> None:
    store = open_store(directory)
    store.commit(rows(1, 50))
    store.close()
    assert sorted(p.name for p in directory.iterdir()) == ["comanda.db", "head.json", "lock"]


def token(name: str, terminal_id: str) -> TokenRow:
    return TokenRow(name * 64, terminal_id, "pos", "balcão", f"2026-01-0{name}", None)


def test_tokens_are_added_listed_and_revoked(store: Store, reader: Reader) -> None:
    store.add_token(token("2", "pos-1"))
    store.add_token(token("1", "pos-1"))
    store.add_token(token("3", "pos-2"))
    assert [t.token_hash[0] for t in reader.tokens()] == ["1", "2", "3"]
    assert store.revoke_tokens("pos-1", "2026-02-01") == 2
    assert store.revoke_tokens("pos-1", "2026-03-01") == 0
    assert [t.revoked_at for t in reader.tokens()] == ["2026-02-01", "2026-02-01", None]


def test_tokens_on_a_failing_disk_are_a_storage_error(store: Store) -> None:
    store.connection.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageError):
        store.add_token(token("1", "pos-1"))
    with pytest.raises(StorageError):
        store.revoke_tokens("pos-1", "now")
    store.connection.execute("PRAGMA query_only=OFF")
    store.commit(rows(1, 1))


@pytest.mark.parametrize("what", ["gone", "empty"])
def test_a_database_that_is_gone_or_emptied_is_not_begun_anew_without_a_word(directory: Path, what: str) -> None:
    store = open_store(directory)
    store.commit(rows(1, 3))
    store.close()
    if what == "gone":
        store.path.unlink()
    else:
        store.path.write_bytes(b"")
    with pytest.raises(StorageError, match=f"is {what}, and this node had 3 rows.*comanda restore"):
        open_store(directory)
    (directory / "head.json").unlink()
    open_store(directory).close()
