from __future__ import annotations

from typing import TYPE_CHECKING

from storage.records import key64, op_key
from tests.storage.archives import archive
from tests.storage.rows import conflict, cursor, entity, lock, open_store, row, rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.store import Store


def test_the_keys_of_archived_operations_are_there_at_the_next_start(full: Store, tmp_path: Path) -> None:
    before = full.boot()
    archive(full, tmp_path / "a.gz", 63)
    after = full.boot()
    assert sorted([*after.operation_keys, *after.archived_keys]) == list(before.operation_keys)
    assert len(after.archived_keys) == 63
    assert {t: sorted(k) for t, k in after.link_keys.items()} == {t: sorted(k) for t, k in before.link_keys.items()}
    assert after.entity_keys == before.entity_keys


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
    assert list(boot.operation_keys) == sorted(op_key(f"pos-1/op-{seq}") for seq in (1, 2, 3))
    assert boot.meta["hlc"] == "77"
