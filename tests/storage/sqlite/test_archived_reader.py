from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from storage.packed import unpack_operations
from tests.storage.archives import archive
from tests.storage.rows import entity, rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.reader import Reader
    from storage.sqlite.store import Store


def test_an_archived_operation_is_found_by_its_entity(full: Store, reader: Reader, tmp_path: Path) -> None:
    archive(full, tmp_path / "a.gz", 60)
    found = reader.fetch(
        (),
        ("pos-1/op-7", "pos-1/op-77", "pos-1/op-9", "pos-2/op-7"),
        (),
        (("orders", "order-7"), ("orders", "order-8")),
    )
    assert set(found.operations) == {"pos-1/op-77"}
    assert set(found.archived) == {"pos-1/op-7"}
    (kept,) = found.archived["pos-1/op-7"]
    assert (kept.operation.accepted, kept.operation.version) == (kept.row.accepted, kept.row.version) == (2007, 1)
    assert kept.row.name == "pos-1/op-7"


def test_archived_rows_are_read_as_entities_in_the_order_of_their_last_rows(
    full: Store, reader: Reader, tmp_path: Path
) -> None:
    for last in (35, 52):
        archive(full, tmp_path / f"{last}.gz", last)
    assert reader.reached(1, 51, 100, 10) is None
    assert reader.reached(1, 52, 100, 10) is not None
    got, after = [], 30
    while after < 52:
        part = reader.archived.compacted(1, ("orders",), after, 4, None)
        got += [(whole.seq, whole.row.entity_id) for whole in part.wholes]
        assert all(len(unpack_operations(whole.records)) >= 5 for whole in part.wholes)
        after = part.upto
    assert got == [(seq, f"order-{seq % 10}") for seq in range(43, 53)]
    assert not reader.archived.compacted(1, ("orders",), 47, 100, "pos-1").wholes, (
        "its own rows, which it is not sent"
    )
    part = reader.archived.compacted(1, ("orders",), 47, 100, "pos-2")
    assert ([whole.seq for whole in part.wholes], part.upto) == ([48, 49, 50, 51, 52], 52)


def test_entities_of_one_row_are_never_parted(store: Store, reader: Reader, tmp_path: Path) -> None:
    names = tuple(f"p-{number}" for number in range(9))
    updates = orjson.dumps([["orders", name, "AAA=", {}, [1, 0, 1]] for name in names])
    commit = rows(1, 3)
    commit.rows[1].entity_id, commit.rows[1].targets, commit.rows[1].updates = None, names, updates
    commit.entities = [entity(name, seq=2) for name in names] + [entity("order-1"), entity("order-3", seq=3)]
    store.commit(commit)
    archive(store, tmp_path / "a.gz", 3)
    part = reader.archived.compacted(1, ("orders",), 0, 2, None)
    assert [w.row.entity_id for w in part.wholes] == ["order-1", *names]
    assert part.upto == 2
    assert not reader.audit("orders", "p-3", kinds=("operation",))
    assert store.connection.execute("SELECT count(*) FROM log_entities").fetchone() == (0,)
