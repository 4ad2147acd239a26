"""The last durable row and fencing token, noted beside the database after each commit: ahead of the database, it was
rolled back.

One small write in place, never fsynced: a power cut leaves an older note, which says nothing. It is never ahead of
what was durable, so a database that ends before it has lost something (a damaged WAL, a file put back in place).
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import asdict, frozen

if TYPE_CHECKING:
    from pathlib import Path

MARK_FILE = "head.json"

LENGTH = 128
"""Bytes of a note, padded with spaces: each one covers the one before."""


@frozen
class Mark:
    """head, token: the last row, and the last fencing token (no row tells of it), that were durable in this epoch."""

    epoch: str
    head: int
    token: int

    def ahead_of(self, at: Mark) -> bool:
        """Whether a database that ends there has lost something."""
        return self.epoch == at.epoch and (self.head > at.head or self.token > at.token)


NOTHING = Mark("", 0, 0)


def read_mark(directory: Path) -> Mark:
    """The last note; NOTHING where there is none that can be read."""
    try:
        noted = json.loads((directory / MARK_FILE).read_text())
        return Mark(str(noted["epoch"]), int(noted["head"]), int(noted.get("token", 0)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return NOTHING


class Marker:
    """Writes the note. A disk that refuses it costs the note, nothing else."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / MARK_FILE
        self._descriptor: int | None = None

    def note(self, mark: Mark) -> None:
        text = json.dumps(asdict(mark)).ljust(LENGTH - 1) + "\n"
        with suppress(OSError):
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._descriptor, text.encode(), 0)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
