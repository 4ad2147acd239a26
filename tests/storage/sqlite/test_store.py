from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from storage.chain import GENESIS
from storage.records import TokenRow
from storage.sqlite.database import StorageError
from storage.sqlite.store import Store
from tests.storage.rows import new_ids, open_store, rows

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
    store.put_tokens([token("2", "pos-1"), token("1", "pos-1")])
    store.put_tokens([token("3", "pos-2")])
    assert [t.token_hash[0] for t in reader.tokens()] == ["1", "2", "3"]
    store.put_tokens([evolve(t, revoked_at="2026-02-01") for t in reader.tokens() if t.terminal_id == "pos-1"])
    assert [t.revoked_at for t in reader.tokens()] == ["2026-02-01", "2026-02-01", None]


def test_tokens_on_a_failing_disk_are_a_storage_error(store: Store) -> None:
    store.connection.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageError):
        store.put_tokens([token("1", "pos-1")])
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
