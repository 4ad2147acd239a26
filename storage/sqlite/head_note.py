"""The last durable row and fencing token, noted beside the database after each commit.

A note that is ahead of the database shows that the database was rolled back: a damaged WAL, a file put back in place.
The note is one small write in place and is never fsynced. A power cut leaves an older note, which shows nothing. No
note is ever ahead of what was durable.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson

from crdt.classes import frozen
from storage.system import open_to_overwrite, overwrite

if TYPE_CHECKING:
    from pathlib import Path

NOTE_FILE = "head.json"

LENGTH = 128
"""Bytes of a note, padded with spaces, so that each note covers the one before."""


@frozen
class HeadNote:
    """What was durable in this epoch.

    head: the last row.
    token: the last fencing token, which stands in no row.
    """

    epoch: str
    head: int
    token: int

    def ahead_of(self, end: HeadNote) -> bool:
        """Whether a database that ends there has lost something."""
        return self.epoch == end.epoch and (self.head > end.head or self.token > end.token)


NOTHING = HeadNote("", 0, 0)


def read_head_note(directory: Path) -> HeadNote:
    """The last note; NOTHING where there is none that can be read."""
    try:
        noted = orjson.loads((directory / NOTE_FILE).read_bytes())
        return HeadNote(str(noted["epoch"]), int(noted["head"]), int(noted.get("token", 0)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return NOTHING


class HeadNoteFile:
    """Writes the note. A disk that refuses it costs the note, nothing else."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NOTE_FILE
        self._descriptor: int | None = None

    def write(self, note: HeadNote) -> None:
        text = orjson.dumps({"epoch": note.epoch, "head": note.head, "token": note.token}).ljust(LENGTH - 1) + b"\n"
        with suppress(OSError):
            if self._descriptor is None:
                self._descriptor = open_to_overwrite(self._path)
            overwrite(self._descriptor, text)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
