"""The check of a row that is not of the log.

SQLite sees neither a bit that flipped on the disk nor an edit by hand. The log's rows are chained by their hashes; a
row of any other table has a check in its column `row_sum`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


def row_sum(values: Iterable[object]) -> int:
    """A check of a row's values, in the order of its columns."""
    found = 0
    for value in values:
        part = value if type(value) is bytes else repr(int(value) if type(value) is bool else value).encode()
        found = crc32(part, crc32(b"%d" % len(part), found))
    return found


def offer_row_sum(connection: sqlite3.Connection) -> None:
    """Let statements on this connection call `row_sum`."""
    connection.create_function("row_sum", -1, lambda *values: row_sum(values), deterministic=True)
