from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from attrs import asdict

from crdt.records import name_of
from storage.records import FirstAttempt, ParkedRow, key64, op_key
from storage.sqlite import boot as boot_of
from storage.sqlite import first_attempts
from tests.storage.archives import archive
from tests.storage.rows import conflict, cursor, entity, lock, open_store, row, rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.records import Boot, LogRow
    from storage.sqlite.store import Store


def known(boot: Boot) -> dict[str, Any]:
    """All that a start reads, without the places where it is kept: those change with an archive."""
    found = asdict(boot, recurse=False)
    held = found["operation_keys"] = sorted([*found.pop("operation_keys"), *found.pop("archived_keys")])
    found["link_keys"] = {entity_type: sorted(keys) for entity_type, keys in boot.link_keys.items()}
    # One that is accepted is never decided again.
    found["refused"] = [item for item in boot.refused.items() if op_key(name_of(*item[0])) not in held]
    found["meta"] = {name: value for name, value in boot.meta.items() if not name.startswith("anchor")}
    return found


def attempt(seq: int, refused_before: bool = False) -> LogRow:
    tried = FirstAttempt(head=seq, acknowledged=0, received=0, again=((0, 0),), sent=0).stored()
    name, changes = f"op-{seq - refused_before}", orjson.dumps({"tried": tried})
    return row(seq, kind="refused", operation_id=name, changes=changes)


def filled(store: Store) -> None:
    """A hundred rows of every kind: of ten refused writes one is accepted later, one refused again."""
    for first in range(1, 101, 10):
        commit = rows(first, first + 6)
        commit.rows += [attempt(first + 7), attempt(first + 8, refused_before=True)]
        accepted = first % 20 == 1
        other = {"operation_id": f"op-{first + 7}"} if accepted else {"kind": "notice"}
        commit.rows.append(row(first + 9, **other))
        for one in commit.rows:
            if one.kind == "operation":
                one.entity_id, one.link_key = f"order-{one.seq % 10}", key64(f"link-{one.seq}")
        commit.entities = [entity(f"order-{number}", seq=first + number) for number in range(10)]
        commit.cursors = [cursor("pos-2", first, 2, 3, -1)]
        commit.conflicts, commit.locks = [conflict(f"c-{first}")], [lock(f"order-{first}")]
        commit.parked = [ParkedRow(first, "n:e", "t", "op", first, "orders", "o", "bad", "why", b"{}", 5)]
        store.commit(commit)


@pytest.mark.parametrize("last", [9, 63, 100])
def test_a_start_knows_as_much_when_rows_are_archived(store: Store, tmp_path: Path, last: int) -> None:
    filled(store)
    before = known(store.boot())
    empty = {"damaged", "partial", "told_keys", "peers", "followers", "heads"}  # nothing of the log
    assert {name for name, value in before.items() if not value and value != 0} == empty
    archive(store, tmp_path / "a.gz", last)
    after = known(store.boot())
    for moment in (before, after):  # of a class that has no row left the anchor is told
        moment["class_heads"] = [max(seq, last) for seq in moment["class_heads"]]
    assert after == before


def test_a_start_reads_the_latest_first_attempts_wherever_they_are(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (boot_of, first_attempts):
        monkeypatch.setattr(module, "KEPT", 12)
    filled(store)
    latest = known(store.boot())["refused"]
    archive(store, tmp_path / "a.gz", 63)
    assert known(store.boot())["refused"][-len(latest) :] == latest
    assert len(store.boot().refused) <= 12
    archive(store, tmp_path / "b.gz", 90)
    assert store.connection.execute("SELECT count(*) FROM refused").fetchone()[0] <= 12


def test_what_is_kept_of_a_refused_write_and_damaged_keeps_no_node_from_starting(
    store: Store, tmp_path: Path
) -> None:
    filled(store)
    archive(store, tmp_path / "a.gz", 100)
    before = len(store.boot().refused)
    with store.connection as connection:
        connection.execute("UPDATE refused SET tried = x'' WHERE operation_id = 'op-18'")
    after = store.boot()
    assert len(after.refused) == before - 1
    assert [said for said in after.damaged if "refused" in said]


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
    assert set(boot.entity_keys) == {key64("orders", "a"), key64("products", "b")}
    assert list(boot.operation_keys) == sorted(op_key(f"pos-1/op-{seq}") for seq in (1, 2, 3))
    assert boot.meta["hlc"] == "77"
