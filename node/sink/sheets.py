"""Rows in a file of one format: read back, and written whole. Parquet needs pyarrow, imported when it is wanted."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from node.runtime.whole_files import put_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Row = dict[str, Any]

DIGITS, PLACES = 38, 9
"""Of money in Parquet. What does not fit is left out of its column, and is in `operations` all the same."""

LONGEST_CELL = 64 * 1024 * 1024
"""Characters: an operation has at most a megabyte."""

MODE = 0o640


class Sheet(Protocol):
    """ends: how its files end. A row is encoded once, and stays so when its file is read and written again."""

    @property
    def ends(self) -> str: ...

    def encode(self, row: Row) -> Row: ...

    def read(self, path: Path) -> list[Row]:
        """Raises OSError where it is not there, ValueError where it is no such file."""

    def write(self, path: Path, columns: dict[str, type], rows: Iterable[Row]) -> None:
        """Raises OSError."""


@frozen
class Csv:
    """For programs: commas, points, UTF-8. guard: makes of a text one that no spreadsheet carries out."""

    guard: Callable[[str], str]
    ends: str = ".csv"

    def encode(self, row: Row) -> Row:
        return {name: self._cell(value) for name, value in row.items()}

    def _cell(self, value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | Decimal):
            return format(value, "f") if isinstance(value, Decimal) else str(value)
        return self.guard(str(value))

    def read(self, path: Path) -> list[Row]:
        csv.field_size_limit(LONGEST_CELL)
        with path.open(encoding="utf-8", newline="") as file:
            try:
                return [dict(row) for row in csv.DictReader(file, strict=True)]
            except csv.Error as error:
                raise ValueError(f"{path}: {error}") from error

    def write(self, path: Path, columns: dict[str, type], rows: Iterable[Row]) -> None:
        text = io.StringIO(newline="")
        sheet = csv.writer(text)
        sheet.writerow(columns)
        sheet.writerows([row[name] for name in columns] for row in rows)
        put_file(path, text.getvalue().encode(), MODE)


@frozen
class Parquet:
    """Raises ImportError when it is made and pyarrow is not there."""

    pyarrow: Any
    ends: str = ".parquet"

    @classmethod
    def load(cls) -> Parquet:
        import pyarrow
        import pyarrow.parquet

        return cls(pyarrow)

    def encode(self, row: Row) -> Row:
        return {name: _fits(value) if isinstance(value, Decimal) else value for name, value in row.items()}

    def read(self, path: Path) -> list[Row]:
        found: list[Row] = self.pyarrow.parquet.read_table(path).to_pylist()
        return found

    def write(self, path: Path, columns: dict[str, type], rows: Iterable[Row]) -> None:
        held = list(rows)
        types = {
            str: self.pyarrow.string(),
            int: self.pyarrow.int64(),
            bool: self.pyarrow.bool_(),
            Decimal: self.pyarrow.decimal128(DIGITS, PLACES),
        }
        arrays = [self.pyarrow.array([row[name] for row in held], types[kind]) for name, kind in columns.items()]
        into = self.pyarrow.BufferOutputStream()
        self.pyarrow.parquet.write_table(self.pyarrow.table(arrays, names=list(columns)), into)
        put_file(path, into.getvalue().to_pybytes(), MODE)


def _fits(value: Decimal) -> Decimal | None:
    """None for what has more digits than the column."""
    digits = value.as_tuple()
    if not isinstance(digits.exponent, int) or digits.exponent < -PLACES:
        return None
    return value if value.adjusted() < DIGITS - PLACES else None
