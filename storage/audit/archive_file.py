"""An archive: the log's first rows in a file of their own, which proves by itself that none was edited or removed.

    gzip of JSON lines:  {"comanda_archive": 1, "node_id", "epoch", "first", "last", "before", "hash", "made_at",
                          "columns": [...]}                            the header
                         [seq, kind, ...]                              each row of the log, in the order of `columns`
                         {"rows": n}                                   the end

before, hash: the chain (storage/chain.py) before the first row and at the last. What is bytes in the log is its text,
or {"base64": ...} where it is none; a row's `hash` is in hex. `zcat FILE | jq` reads it.
"""

from __future__ import annotations

import gzip
import os
import zlib
from base64 import b64decode, b64encode
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import orjson

from crdt.classes import frozen
from storage.chain import GENESIS, Finding, chain_hash
from storage.sqlite.database import StorageError
from storage.sqlite.rows import LOG
from storage.system import Growing, flush_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from storage.records import Anchor, Key, LogRow
    from storage.sqlite.reader import Reader

FORMAT = 1
LONGEST_LINE = 2**28
"""Bytes of one line. A row is far below: what one operation may write is bounded, and base64 adds a third."""
LEVEL = 6
_TEXT, _NUMBER, _NULL, _BYTES = (str,), (int,), type(None), (bytes,)
_IN_ORDER = (_TEXT, (*_TEXT, _NULL), _NUMBER, (*_NUMBER, _NULL), _BYTES)
COLUMNS = sorted(LOG.columns, key=lambda column: _IN_ORDER.index(LOG.held_as[column]))
"""The columns of a row in a file: texts, numbers, bytes. The header names them, so a reader may expect any order."""
_SHAPE = (("first", int), ("last", int), ("before", str), ("hash", str), ("columns", list))


@frozen
class ArchiveHeader:
    """What an archive says of itself.

    epoch: the log it was made of.
    first, last: its rows.
    before, hash: the chain before the first row and at the last.
    """

    node_id: str
    epoch: str
    first: int
    last: int
    before: bytes
    hash: bytes
    made_at: str


def write_archive(
    reader: Reader,
    target: Path,
    header: ArchiveHeader,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write rows `first` to `last`, checking the chain, and read them back. Only then the file gets its name.

    progress: called with rows done and to do; what it raises ends the writing. Raises StorageError, also for a row
    that does not fit the chain; then no target is left behind.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            growing = Growing(descriptor)
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=LEVEL, mtime=0) as archive:
                for line in _lines(reader, header, progress):
                    archive.write(line + b"\n")
                    growing.flush()
            file.flush()
            os.fsync(file.fileno())
        check_archive(partial, header, progress)
        partial.replace(target)
        flush_names(target.parent)
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _lines(reader: Reader, header: ArchiveHeader, progress: Callable[[int, int], None]) -> Iterator[bytes]:
    yield orjson.dumps(
        {
            "comanda_archive": FORMAT,
            "node_id": header.node_id,
            "epoch": header.epoch,
            "first": header.first,
            "last": header.last,
            "before": header.before.hex(),
            "hash": header.hash.hex(),
            "made_at": header.made_at,
            "columns": COLUMNS,
        }
    )
    previous, expected, total = header.before, header.first, header.last - header.first + 1
    for row in reader.stored_rows(header.first - 1, header.last):
        if row["seq"] != expected or not LOG.sound(row) or chain_hash(previous, LOG.record(row)) != row["hash"]:
            raise StorageError(f"row {expected} does not fit the chain; see `comanda audit verify`")
        yield orjson.dumps([to_json(column, row[column]) for column in COLUMNS])
        previous, expected = row["hash"], expected + 1
        if (expected - header.first) % 1000 == 0:
            progress(expected - header.first, total)
    if expected != header.last + 1:
        raise StorageError(f"the log ends at {expected - 1}, not at {header.last}; see `comanda audit verify`")
    yield orjson.dumps({"rows": total})


def to_json(column: str, value: object) -> object:
    """A column's value as it stands in a file."""
    if not isinstance(value, bytes):
        return value
    if column == "hash":
        return value.hex()
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


# ------------------------------------------------------------------ reading


@contextmanager
def read_archive(path: Path) -> Iterator[tuple[ArchiveHeader, Iterator[LogRow]]]:
    """An archive's header and its rows, as they are read.

    Raises StorageError, also while the rows are read, for a file that is no archive, is damaged or breaks off.
    """
    with _opened(path) as (header, lines, columns):
        yield header, _rows(lines, columns)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[ArchiveHeader, Iterator[bytes], Sequence[str]]]:
    """An archive's header, the lines after it, and the columns of a row. Raises StorageError."""
    try:
        with gzip.open(path, "rb") as file:
            lines = _bounded(cast("BinaryIO", file))
            head = orjson.loads(next(lines, b""))
            yield _header(head), lines, head["columns"]
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    except (EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{path} is no archive, or a damaged one: {error}") from error


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file. A few bytes of gzip may unfold into one of any length. Raises ValueError."""
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a line has more than {LONGEST_LINE} bytes")
        yield line


def rows_about(path: Path, key: Key, each: Callable[[], None]) -> Iterator[LogRow]:
    """An archive's rows about one entity. each: called now and then; what it raises ends the reading.

    Raises StorageError as `read_archive` does.
    """
    entity_type, entity_id = key
    with _opened(path) as (_, lines, columns):
        needle = entity_id.encode()
        for count, line in enumerate(lines):
            if count % 1000 == 0:
                each()
            if needle not in line or line.startswith(b"{"):
                continue
            row = _row(orjson.loads(line), columns)
            if row.entity_type == entity_type and (row.entity_id == entity_id or entity_id in row.targets):
                yield row


def _header(head: Mapping[str, Any]) -> ArchiveHeader:
    if head["comanda_archive"] != FORMAT:
        raise ValueError(f"format {head['comanda_archive']}; this Comanda reads {FORMAT}")
    if not all(type(head[name]) is kind for name, kind in _SHAPE) or not set(COLUMNS) <= set(head["columns"]):
        raise ValueError("its header is not one")
    before, last_hash = bytes.fromhex(head["before"]), bytes.fromhex(head["hash"])
    return ArchiveHeader(
        head["node_id"], head["epoch"], head["first"], head["last"], before, last_hash, head["made_at"]
    )


def _rows(lines: Iterator[bytes], columns: Sequence[str]) -> Iterator[LogRow]:
    for count, line in enumerate(lines):
        values = orjson.loads(line)
        if isinstance(values, dict):
            if values["rows"] != count:
                raise ValueError(f"{count} rows of {values['rows']}")
            break
        yield _row(values, columns)
    else:
        raise ValueError("it breaks off")
    if next(lines, None) is not None:  # this also checks the sum of all
        raise ValueError("it goes on after its end")


def _row(values: Sequence[Any], columns: Sequence[str]) -> LogRow:
    return LOG.record({column: from_json(column, value) for column, value in zip(columns, values, strict=True)})


def from_json(column: str, value: Any) -> Any:
    """A column's value of what stands in a file."""
    if LOG.held_as.get(column) != _BYTES:
        return value
    if column == "hash":
        return bytes.fromhex(value)
    return b64decode(value["base64"]) if isinstance(value, dict) else value.encode()


def check_archive(
    path: Path, expected: ArchiveHeader | None = None, progress: Callable[[int, int], None] = lambda done, total: None
) -> ArchiveHeader:
    """Read a whole archive and recompute its chain. Raises StorageError where something does not fit.

    expected: what it must be an archive of. progress: called with rows done and to do.
    """
    with read_archive(path) as (header, rows):
        if expected is not None and header != expected:
            raise StorageError(f"{path} is another archive: rows {header.first} to {header.last} of {header.node_id}")
        previous, seq = header.before, header.first
        for row in rows:
            if row.seq != seq or chain_hash(previous, row) != row.hash:
                raise StorageError(f"{path}: row {seq} was edited or removed")
            previous, seq = row.hash, seq + 1
            if (seq - header.first) % 1000 == 0:
                progress(seq - header.first, header.last - header.first + 1)
    if (seq, previous) != (header.last + 1, header.hash):
        raise StorageError(f"{path}: its last row {header.last} is not the one its header names")
    return header


def verify_archives(paths: Sequence[Path], anchor: Anchor) -> Iterator[Finding]:
    """Check each archive, that it begins where the one before ends, and that the log goes on from the last.

    An archive that reaches past the anchor, because archiving was broken off, must hold the anchor's row.
    """
    checked = []
    for path in paths:
        try:
            checked.append((check_archive(path), path))
        except StorageError as error:
            yield Finding(0, str(error))
    checked.sort(key=lambda pair: (pair[0].first, pair[0].last))
    expected, previous = 1, GENESIS
    for header, path in checked:
        if header.first > expected:
            yield Finding(expected, f"rows {expected} to {header.first - 1} are in none of these archives")
        elif header.first < expected:
            yield Finding(header.first, f"{path}: rows from {header.first} on are in another archive too")
            continue
        elif header.before != previous:
            yield Finding(header.first, f"{path} does not go on from the archive before it")
        expected, previous = header.last + 1, header.hash
    if expected <= anchor.seq:
        yield Finding(expected, f"rows {expected} to {anchor.seq} are in none of these archives")
    elif checked and _hash_at(anchor.seq, checked) != anchor.hash:
        yield Finding(
            anchor.seq, f"the log does not go on from these archives: its anchor {anchor.seq} is another row"
        )


def _hash_at(seq: int, archives: Sequence[tuple[ArchiveHeader, Path]]) -> bytes | None:
    """The chain hash at a row that is in one of these archives, or before all of them."""
    for header, path in archives:
        if seq == header.first - 1:
            return header.before
        if seq == header.last:
            return header.hash
        if header.first <= seq < header.last:
            with read_archive(path) as (_, rows):
                return next((row.hash for row in rows if row.seq == seq), None)
    return None
