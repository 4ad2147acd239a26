"""Commits in a write-ahead log (WAL) that SQLite does not take: after a damaged frame it drops all later ones.

Only the transaction that was being written at a crash may be torn, and it ends with one commit frame. If the WAL has
more commit frames than that after the last one SQLite took, with the salts of the same generation, they were durable
once and are lost.

https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

from storage.sqlite.database import StorageError, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, salt, salt, checksum, checksum
_FRAME = struct.Struct(">6I")  # page, database size after a commit or 0, salt, salt, checksum, checksum
TORN = 1
"""How many commits a crash may leave unfinished."""


def dropped_commits(database: Path) -> int:
    """How many commits in the WAL SQLite does not take. 0 for a torn one alone; otherwise a copy of the WAL is kept.

    Call this before anything else opens the database: the last connection that closes removes the WAL. Raises
    StorageError.
    """
    wal = database.with_name(f"{database.name}-wal")
    try:
        commits = _commits(wal)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StorageError(f"{wal}: {error.strerror}") from error
    if len(commits) <= TORN:
        return 0
    with storage_errors(database), closing(sqlite3.connect(database, isolation_level=None)) as connection:
        _, taken, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        dropped = len([place for place in commits if place >= max(taken, 0)])
        if dropped <= TORN:
            return 0
        kept = wal.with_name(f"{wal.name}-damaged")
        try:
            shutil.copyfile(wal, kept)  # so that its contents can still be searched by hand
            kept.chmod(0o600)
        except OSError as error:
            raise StorageError(f"{kept}: {error.strerror}") from error
    return dropped


def _header_is_whole(header: bytes) -> bool:
    """Whether the WAL header's checksum is right. The header's magic number names the byte order."""
    magic, *_, one, two = _HEADER.unpack(header)
    words = struct.unpack(">6I" if magic & 1 else "<6I", header[:24])
    first = second = 0
    for place in range(0, 6, 2):
        first = (first + words[place] + second) & 0xFFFFFFFF
        second = (second + words[place + 1] + first) & 0xFFFFFFFF
    return (first, second) == (one, two)


def _commits(wal: Path) -> list[int]:
    """Places of the commit frames of the WAL's generation.

    The generation is the header's, or that of most of the first frames if the header is damaged. Frames of an earlier
    generation may follow, even right after the first frame.
    """
    with wal.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return []
        _, _, page_size, _, *named, _, _ = _HEADER.unpack(header)
        if page_size not in (1 << n for n in range(9, 17)):
            page_size = 4096  # the header is damaged; a database of ours has these
        step = _FRAME.size + page_size
        found: list[tuple[int, tuple[int, int]]] = []
        salts: Counter[tuple[int, int]] = Counter()
        place = 0
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            _, size, one, two, _, _ = _FRAME.unpack(frame)
            if place < 3:
                salts[one, two] += 1
            if size:
                found.append((place, (one, two)))
            place += 1
            file.seek(_HEADER.size + place * step)
        generation = (named[0], named[1])
        if salts and generation not in salts and not _header_is_whole(header):
            generation = salts.most_common(1)[0][0]
        return [place for place, salt in found if salt == generation]
