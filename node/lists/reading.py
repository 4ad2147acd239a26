"""A file's rows, each with its line, and what was recognised of the file.

sqlite-utils reads CSV, JSON and SQLite tables; the encoding and the delimiter are found here.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson
import sqlite_utils
from attrs import field
from charset_normalizer import from_bytes
from sqlite_utils.utils import Format, rows_from_file

from crdt.classes import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MOST_ROWS = 200_000
"""Rows of one file: they are held in memory."""

DELIMITERS = (";", "\t", ",", "|")
LOOKED_AT = 100
"""Lines by which the delimiter is found."""

SQLITE = b"SQLite format 3\x00"
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
OF_BRAZIL = ("cp1252", "cp850")
"""What Windows and DOS wrote Portuguese in. The first is taken where the bytes do not tell."""

SAMPLE = 64 * 1024
"""Bytes of words with an accent by which those two are told apart."""

FORMULA_OF_TEXT = re.compile(r'="((?:[^"]|"")*)"')

EXTRAS = "\x00extras"
"""Where the reader puts cells beyond the header: no column is named so."""


class Unreadable(Exception):
    """A file that cannot be read as what it seems to be."""


@frozen
class Row:
    """line: where it begins, 1 for the first; of a table, its place. problem: why it cannot be taken."""

    line: int
    cells: dict[str, Any]
    problem: str | None = None


@frozen
class Table:
    """What a file holds.

    typed: values have types of their own (JSON, SQLite); else all are text. delimiter: of CSV.
    recognised: what was found of the file, by name, for people.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    typed: bool
    delimiter: str | None = None
    recognised: dict[str, str] = field(factory=dict)


def read(
    path: Path, *, encoding: str | None = None, delimiter: str | None = None, skip: int = 0, table: str | None = None
) -> Table:
    """A file whole. skip: lines before the header of CSV. table: of an SQLite file. Raises Unreadable, OSError."""
    with path.open("rb") as file:
        head = file.read(len(SQLITE))
    if head == SQLITE:
        return _sqlite(path, table)
    encoding = encoding or _encoding(path)
    try:
        with path.open(encoding=encoding, newline="") as text:
            begin = text.read(4096).lstrip()
        if begin.startswith("[") and path.suffix.casefold() not in (".csv", ".txt"):
            return _array(path, encoding)
        if begin.startswith("{"):
            return _json_lines(path, encoding)
        return _csv(path, encoding, delimiter, skip)
    except LookupError as error:
        raise Unreadable(f"codificação desconhecida / unknown encoding: {encoding}") from error
    except UnicodeError as error:
        raise Unreadable(f"não é / is not {encoding}: {error}") from error


# ------------------------------------------------------------------ encoding


def _encoding(path: Path) -> str:
    """By its mark, else UTF-8 if it is that, else what the words with accents look most like."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        begin = file.read(SAMPLE)
        for mark, name in BOMS:
            if begin.startswith(mark):
                return name
        if b"\x00" in begin:  # no text of one byte a character has it
            return "utf-16-le" if begin[1::2].count(0) >= begin[::2].count(0) else "utf-16-be"
        file.seek(0)
        try:
            for part in iter(lambda: file.read(SAMPLE), b""):
                decoder.decode(part)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            file.seek(0)
            return _of_words(file.read(16 * SAMPLE))
    return "utf-8"


def _of_words(data: bytes) -> str:
    """Only words with an accent are looked at: what a whole file has of them is too little for statistics."""
    words = dict.fromkeys(re.findall(rb"[^\s;,\t|\"]*[\x80-\xff][^\s;,\t|\"]*", data))
    best = from_bytes(b"\n".join(words)[:SAMPLE], cp_isolation=list(OF_BRAZIL)).best()
    return best.encoding if best is not None else OF_BRAZIL[0]


# ------------------------------------------------------------------ CSV


class _Lines(io.RawIOBase):
    """Text as UTF-8, one line at each read, so that `count` is the line that a reader has come to."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        line = self._text.readline()
        if not line:
            return b""
        self.count += 1
        return line.rstrip("\r\n").encode() + b"\n"


def _csv(path: Path, encoding: str, delimiter: str | None, skip: int) -> Table:
    with path.open(encoding=encoding, newline="") as text:
        lines = _Lines(text)
        for _ in range(skip):
            lines.read()
        begin = [lines.read().decode() for _ in range(LOOKED_AT)]
    said = re.fullmatch(r'"?sep=(.)"?\n', begin[0])  # by which Excel is told
    if said:
        skip, delimiter, begin = skip + 1, delimiter or said[1], begin[1:]
    delimiter = delimiter or _delimiter(begin)
    dialect = type("Found", (csv.excel,), {"delimiter": delimiter})
    header = [without_formula(name) for name in next(csv.reader(begin, dialect), [])]
    named = [name for name in header if name.strip()]
    if not named:
        raise Unreadable(f"a linha {skip + 1} não é cabeçalho / line {skip + 1} is no header: --skip")
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise Unreadable(f"colunas repetidas / columns named twice: {', '.join(twice)}")
    with path.open(encoding=encoding, newline="") as text:
        lines = _Lines(text)
        for _ in range(skip):
            lines.read()
        rows = tuple(_csv_rows(lines, dialect, header))
    recognised = {"format": "CSV", "encoding": encoding, "delimiter": "TAB" if delimiter == "\t" else delimiter}
    return Table(tuple(named), rows, False, delimiter, recognised)


def without_formula(cell: str) -> str:
    """The text of a formula such as `="0012"`, by which a number keeps its zeros in a spreadsheet."""
    found = FORMULA_OF_TEXT.fullmatch(cell)
    return found[1].replace('""', '"') if found else cell


def _delimiter(begin: Sequence[str]) -> str:
    """The one that cuts most lines into as many cells as the header has."""

    def alike(delimiter: str) -> int:
        cells = [len(row) for row in csv.reader(begin, delimiter=delimiter) if row]
        return sum(count == cells[0] for count in cells) if cells and cells[0] > 1 else 0

    try:
        return max(DELIMITERS, key=alike)
    except csv.Error as error:
        raise Unreadable(str(error)) from error


def _csv_rows(lines: _Lines, dialect: type[csv.Dialect], header: Sequence[str]) -> Iterator[Row]:
    found, _ = rows_from_file(lines, format=Format.CSV, dialect=dialect, encoding="utf-8", extras_key=EXTRAS)  # type: ignore[arg-type]
    before = lines.count + 1  # with the header
    try:
        for number, cells in enumerate(found):
            if number >= MOST_ROWS:
                raise Unreadable(f"mais de / more than {MOST_ROWS} linhas / rows: divida / split it")
            values: dict[str, Any] = dict(cells)
            beyond: Any = values.pop(EXTRAS, None) or []
            inside = sum(str(value).count("\n") for value in [*values.values(), *beyond] if value is not None)
            nameless = any(str(value or "").strip() for name, value in values.items() if not name.strip())
            missing = [name for name, value in values.items() if value is None]
            problem = None
            if any(map(str.strip, beyond)) or nameless:
                problem = f"mais células que colunas / more cells than the header has: {len(header)}"
            elif missing and inside:
                problem = "aspas não fechadas / a quote is not closed"
            elif all(value == name for name, value in values.items()):
                problem = "o cabeçalho de novo / the header once more"
            cells = {
                without_formula(name): without_formula(value) if isinstance(value, str) else value
                for name, value in values.items()
                if name.strip()
            }
            line, before = max(before + 1, lines.count - inside), lines.count
            if problem is not None or any(str(value or "").strip() for value in cells.values()):
                yield Row(line, cells, problem)
    except csv.Error as error:
        raise Unreadable(f"linha / line {lines.count}: {error}") from error


# ------------------------------------------------------------------ JSON


def _json_lines(path: Path, encoding: str) -> Table:
    """A line that is no object is a row with a problem: the others are taken."""
    rows: list[Row] = []
    with path.open(encoding=encoding) as text:
        for line, said in enumerate(text, 1):
            if not said.strip():
                continue
            if len(rows) >= MOST_ROWS:
                raise Unreadable(f"mais de / more than {MOST_ROWS} linhas / rows: divida / split it")
            try:
                cells = orjson.loads(said)
            except orjson.JSONDecodeError as error:
                rows.append(Row(line, {}, f"não é JSON / is no JSON: {error}"))
                continue
            rows.append(_object(line, cells))
    return Table(_columns(rows), tuple(rows), True, recognised={"format": "JSON Lines", "encoding": encoding})


def _array(path: Path, encoding: str) -> Table:
    try:
        with path.open(encoding=encoding) as text:
            found, _ = rows_from_file(io.BytesIO(text.read().encode()), format=Format.JSON)
    except ValueError as error:
        raise Unreadable(f"não é JSON / is no JSON: {error}") from error
    rows = [_object(place, cells) for place, cells in enumerate(found, 1)]
    return Table(_columns(rows), tuple(rows), True, recognised={"format": "JSON", "encoding": encoding})


def _object(line: int, cells: Any) -> Row:
    return Row(line, cells) if isinstance(cells, dict) else Row(line, {}, "não é um objeto / is no object")


def _columns(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in rows for name in row.cells))


# ------------------------------------------------------------------ SQLite


def _sqlite(path: Path, table: str | None) -> Table:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            database = sqlite_utils.Database(connection)
            names = [*database.table_names(), *database.view_names()]
            if table is None and len(names) == 1:
                table = names[0]
            if table not in names:
                raise Unreadable(f"diga a tabela / say which table (--table): {', '.join(names)}")
            found = database[table].rows_where(limit=MOST_ROWS + 1)
            rows = tuple(Row(place, _said(cells), _blob(cells)) for place, cells in enumerate(found, 1))
    except sqlite3.Error as error:
        raise Unreadable(str(error)) from error
    if len(rows) > MOST_ROWS:
        raise Unreadable(f"mais de / more than {MOST_ROWS} linhas / rows")
    return Table(_columns(rows), rows, True, recognised={"format": "SQLite", "table": table})


def _said(cells: dict[str, Any]) -> dict[str, Any]:
    """Without NULL, which a table has wherever a row says nothing."""
    return {name: value for name, value in cells.items() if value is not None}


def _blob(cells: dict[str, Any]) -> str | None:
    names = [name for name, value in cells.items() if isinstance(value, bytes)]
    return f"bytes, e não texto / bytes and no text: {', '.join(names)}" if names else None
