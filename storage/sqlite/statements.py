"""Multi-row statements: one call into SQLite for up to 256 rows, so no thread switch for each."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

R = TypeVar("R", bound="Sequence[Any]")

ROWS_PER_STATEMENT = 256
PARAMETERS = 30_000
"""Most bound values of one statement (SQLite's own limit is 32,766)."""


@lru_cache(maxsize=2_048)
def _insert(table: str, columns: tuple[str, ...], rows: int, key: tuple[str, ...]) -> str:
    """A multi-row INSERT, or an upsert where the table has a key."""
    row = "(" + ",".join("?" * len(columns)) + ")"
    sql = f"INSERT INTO {table} ({','.join(columns)}) VALUES {','.join([row] * rows)}"
    if key:
        rest = ",".join(f"{c}=excluded.{c}" for c in columns if c not in key)
        sql += f" ON CONFLICT ({','.join(key)}) DO UPDATE SET {rest}"
    return sql


def insert_many(
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    key: tuple[str, ...],
    rows: Iterable[Sequence[object]],
    *,
    conflict: str = "",
) -> None:
    """Insert rows, or upsert them by `key`. conflict: an ON CONFLICT clause to use instead of the upsert."""
    for part in parts(rows, len(columns)):
        sql = _insert(table, tuple(columns), len(part), () if conflict else key)
        connection.execute(sql + conflict, list(chain.from_iterable(part)))


def distinct(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The values of the first columns of an index, sorted, each once and none with a null.

    Each is looked up after the one before, so that the index passes over its many rows.
    """
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    after = f"({names}) > ({marks}) AND {columns[-1]} IS NOT NULL"
    sql = f"SELECT {names} FROM {table} WHERE {after} ORDER BY {names} LIMIT 1"
    found: tuple[str, ...] = ("",) * len(columns)
    while row := connection.execute(sql, found).fetchone():
        found = row
        yield found


def parts(rows: Iterable[R], width: int) -> list[list[R]]:
    """The rows in parts, none larger than one statement takes. width: values of a row.

    Each part has a power of two of rows. A statement is kept for each size, with what was last bound to it: with one
    for every size they took 10 MB.
    """
    pending = list(rows)
    if len(pending) <= 2:
        return [pending] if pending else []
    most = ROWS_PER_STATEMENT if width * ROWS_PER_STATEMENT <= PARAMETERS else PARAMETERS // width
    found, first = [], 0
    while left := min(len(pending) - first, most):
        size = 1 << left.bit_length() - 1
        found.append(pending[first : first + size])
        first += size
    return found


def values(rows: int, width: int) -> str:
    """`VALUES (?,?),(?,?)`, as rows to join with: `(a, b) IN (VALUES ...)` would scan the whole table."""
    return "VALUES " + ",".join(["(" + ",".join("?" * width) + ")"] * rows)
