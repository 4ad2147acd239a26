"""The check of a row that is not of the log.

SQLite sees neither a bit that flipped on the disk nor an edit by hand. The log's rows are chained by their hashes; a
row of any other table has a check in its column `row_sum`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_AS_IT_IS = frozenset((str, int))


def row_sum(values: Sequence[object]) -> int:
    """A check of a row's values, in the order of its columns."""
    if _AS_IT_IS.issuperset(map(type, values)):
        said = list(values)
    else:
        said = [value if type(value) in _AS_IT_IS else _said(value) for value in values]
    return crc32(repr(said).encode())


def _said(value: object) -> object:
    """What stands for a value: bytes can be large, and SQLite gives a number for a bool."""
    if isinstance(value, bytes):
        return (crc32(value),)
    return int(value) if isinstance(value, bool) else value


def offer_row_sum(connection: sqlite3.Connection) -> None:
    """Let statements on this connection call `row_sum`."""
    connection.create_function("row_sum", -1, lambda *values: row_sum(values), deterministic=True)
