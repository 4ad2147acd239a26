"""The tables of archived history that a commit writes too: what is kept of operations, and documents at the anchor.

An entity that has no row after the anchor is in `entities` as it was at the anchor. When it is written again, its
document as of the anchor is saved in `bases` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.sqlite.rows import ARCHIVED_OPERATIONS, BASES, ENTITIES
from storage.sqlite.statements import insert_many, parts, values

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from storage.records import ArchivedRow, Key

_ADDED = (
    " ON CONFLICT (entity_type, entity_id, span) DO UPDATE SET seq = excluded.seq,"
    " other = CASE WHEN excluded.other > 0 THEN excluded.other"
    " WHEN author = excluded.author AND author <> '' THEN other ELSE seq END, author = excluded.author,"
    " bulk = max(bulk, excluded.bulk), records = CAST(records || excluded.records AS BLOB)"
)

_ONE = "(entity_type, entity_id, span) = (?, ?, ?)"


def add_records(connection: sqlite3.Connection, rows: Sequence[ArchivedRow]) -> None:
    """Within a transaction: add what is kept of operations to what is there of the same entity and span."""
    sound = [row for row in rows if not _is_damaged(connection, row)]
    insert_many(
        connection,
        ARCHIVED_OPERATIONS.name,
        ARCHIVED_OPERATIONS.columns,
        (),
        map(ARCHIVED_OPERATIONS.values, rows),
        conflict=_ADDED,
    )
    for row in sound:
        ARCHIVED_OPERATIONS.sum_again(connection, _ONE, (row.entity_type, row.entity_id, row.span))


def _is_damaged(connection: sqlite3.Connection, row: ArchivedRow) -> bool:
    """Whether what is there of the same entity and span is not what was written. It stays so, not summed anew."""
    key = (row.entity_type, row.entity_id, row.span)
    columns = ARCHIVED_OPERATIONS.columns
    found = connection.execute(f"SELECT {', '.join(columns)} FROM archived WHERE {_ONE}", key).fetchone()
    return found is not None and not ARCHIVED_OPERATIONS.sound(dict(zip(columns, found, strict=True)))


def keep_bases(connection: sqlite3.Connection, keys: Iterable[Key], anchor: int) -> None:
    """Within a transaction, before these entities are written: save the documents that are still those of the
    anchor. A damaged one stays so, not summed anew. anchor: its row."""
    columns = ", ".join(BASES.summed)
    damaged = f"row_sum <> row_sum({', '.join(ENTITIES.summed)})"
    for part in parts(keys, 2):
        connection.execute(
            f"WITH wanted (entity_type, entity_id) AS ({values(len(part), 2)}) INSERT OR REPLACE INTO bases"
            f" SELECT {columns}, row_sum({columns}) + ({damaged}) FROM wanted"
            " CROSS JOIN entities USING (entity_type, entity_id) WHERE seq <= ?",
            [*(word for key in part for word in key), anchor],
        )
