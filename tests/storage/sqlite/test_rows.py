from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import asdict, evolve

from storage.records import (
    ArchivedRow,
    ArchiveRow,
    FollowerRow,
    HeadRow,
    ParkedRow,
    PeerRow,
    ProofRow,
    RefusedRow,
    TokenRow,
)
from storage.sqlite import rows as tables
from storage.sqlite.rows import LOG, Table
from tests.storage.rows import conflict, cursor, entity, lock, row

if TYPE_CHECKING:
    from storage.sqlite.store import Store

POSITIONS = (1, 2, -1, 4)
RECORDS: list[tuple[Table[Any], Any]] = [
    (LOG, row(1, targets=("a", "b"), monitors=True, echo=True, hash=bytes(32), user_id="ana", link_key=-(2**63))),
    (tables.ENTITIES, entity("o-1", deleted=True)),
    (tables.CONFLICTS, conflict("c-1")),
    (tables.LOCKS, lock("o-1", released=True)),
    (tables.CURSORS, cursor("pos-1", *POSITIONS)),
    (tables.TOKENS, TokenRow("hash", "pos-1", "pos", "", "2026-01-01T00:00:00Z", None)),
    (tables.PEERS, PeerRow("node-b", "epoch", POSITIONS, 7, bytes(32), 5)),
    (tables.FOLLOWERS, FollowerRow("node-b", "epoch", POSITIONS, 5)),
    (tables.PARKED, ParkedRow(1, "node-b:e", "till", "op-1", 2**63 - 1, "orders", "o-1", "bad", "why", b"{}", 5)),
    (tables.HEADS, HeadRow("node-b", "epoch", 7, bytes(32), 5, bytes(32), bytes(64), 6)),
    (tables.PROOFS, ProofRow(7, bytes(84))),
    (tables.REFUSED, RefusedRow("pos-1", "op-1", 7, b"{}")),
    (tables.ARCHIVES, ArchiveRow(1, 9, bytes(32), bytes(32), "/a.gz", 3, "epoch", "2026-01-01T00:00:00Z")),
    (tables.ARCHIVED_OPERATIONS, ArchivedRow("orders", "o-1", 9, 4, "pos-1", 2, True, b"")),
]


def stored(store: Store, table: Table[Any]) -> list[dict[str, Any]]:
    cursor_ = store.connection.execute(f"SELECT * FROM {table.name}")
    names = [column[0] for column in cursor_.description]
    return [dict(zip(names, values, strict=True)) for values in cursor_.fetchall()]


@pytest.mark.parametrize(("table", "record"), RECORDS, ids=[table.name for table, _ in RECORDS])
def test_a_record_is_read_back_as_it_was_written(store: Store, table: Table[Any], record: Any) -> None:
    table.put(store.connection, [record])
    (found,) = stored(store, table)
    assert asdict(table.record(found)) == asdict(record)
    assert table.sound(found)


@pytest.mark.parametrize(("table", "record"), RECORDS, ids=[table.name for table, _ in RECORDS])
def test_a_table_has_a_column_for_each_field_and_no_other(store: Store, table: Table[Any], record: Any) -> None:
    columns = {name for _, name, *_ in store.connection.execute(f"PRAGMA table_info({table.name})")}
    assert set(table.columns) == columns


def test_every_table_of_records_is_tried_here() -> None:
    assert {table.name for table, _ in RECORDS} == {
        table.name for table in vars(tables).values() if isinstance(table, Table)
    }


def test_a_row_that_is_no_operation_has_no_operation_key() -> None:
    kinds = ("operation", "state", "notice", "refused")
    assert [row(1, kind=kind).op_key is None for kind in kinds] == [False, True, True, True]


@pytest.mark.parametrize(("column", "value"), [("message", "text"), ("seq", 1.5), ("status", None), ("hash", 7)])
def test_a_column_that_holds_another_type_is_not_sound(column: str, value: object) -> None:
    written = dict(zip(LOG.columns, LOG.values(evolve(row(1), hash=bytes(32))), strict=True))
    assert LOG.sound({**written, "monitors": 0, "echo": 0})
    assert not LOG.sound({**written, "monitors": 0, "echo": 0, column: value})
