"""Rows as a file of each format. A file is there whole or not at all."""

from __future__ import annotations

import csv
import os
from contextlib import closing, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click
import orjson
import sqlite_utils

from node.cli.exports.rows import Row, as_text, columns_of
from node.lists.cells import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from click import ClickException

FORMATS = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".parquet": "parquet",
}
"""The format of a file, by how its name ends."""


def save(
    path: Path,
    kind: str,
    tables: Mapping[str, Iterable[Row]],
    columns: Sequence[str] | None,
    *,
    key: str,
    plain: bool,
) -> int:
    """Write rows, and say how many. Raises ClickException and OSError.

    tables: rows by the name of their table; one, but for SQLite. columns: None where only the rows tell.
    key: the primary key in SQLite. plain: CSV for programs.
    """
    partial = path.with_name(f".{path.name}.partial")
    written = 0
    try:
        if kind == "sqlite":
            partial.unlink(missing_ok=True)
            written = _sqlite(partial, tables, key)
        else:
            (rows,) = tables.values()
            written = WRITERS[kind](partial, rows, columns, plain)
        os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return written


class _Count:
    """How many rows went by."""

    def __init__(self) -> None:
        self.rows = 0

    def over(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.rows += 1
            yield row


def _csv(path: Path, rows: Iterable[Row], columns: Sequence[str] | None, plain: bool) -> int:
    """As a Brazilian spreadsheet opens it, or as programs read it."""
    if columns is None:
        rows = list(rows)
        columns = columns_of(rows)
    count = _Count()
    with path.open("w", encoding="utf-8" if plain else "utf-8-sig", newline="") as file:
        sheet = csv.writer(file, delimiter="," if plain else ";")
        sheet.writerow(map(guarded, columns))
        for row in count.over(rows):
            sheet.writerow([cell(row.get(name), plain) for name in columns])
    return count.rows


def cell(value: object, plain: bool) -> str:
    """A value as text. A text that a spreadsheet would take for a formula is guarded (`node/lists/cells.py`)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return ("true" if value else "false") if plain else ("sim" if value else "não")
    if isinstance(value, int | float):
        text = format(Decimal(repr(value)), "f")
        return text if plain else text.replace(".", ",")
    return guarded(str(as_text(value)))


def _json_lines(path: Path, rows: Iterable[Row], columns: Sequence[str] | None, plain: bool) -> int:
    count = _Count()
    with path.open("wb") as file:
        for row in count.over(rows):
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return count.rows


def _sqlite(path: Path, tables: Mapping[str, Iterable[Row]], key: str) -> int:
    count = _Count()
    with closing(sqlite_utils.Database(path)) as database:
        for name, rows in tables.items():
            flat = ({column: as_text(value) for column, value in row.items()} for row in count.over(rows))
            database.table(name).insert_all(flat, pk=key, alter=True)
    return count.rows


def _parquet(path: Path, rows: Iterable[Row], columns: Sequence[str] | None, plain: bool) -> int:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise _without_extra() from error
    held = list(rows)
    names = list(columns or columns_of(held))
    arrays = [pyarrow.array(_alike([as_text(row.get(name)) for row in held])) for name in names]
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=names), path)
    return len(held)


def _alike(values: list[Any]) -> list[Any]:
    """A column has one type: where values have several, numbers become doubles and all else JSON text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return values
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [value if value is None or isinstance(value, str) else orjson.dumps(value).decode() for value in values]


def _without_extra() -> ClickException:
    return click.ClickException("Parquet: pip install 'comanda[parquet]'")


WRITERS: dict[str, Callable[[Path, Iterable[Row], Sequence[str] | None, bool], int]] = {
    "csv": _csv,
    "jsonl": _json_lines,
    "parquet": _parquet,
}
