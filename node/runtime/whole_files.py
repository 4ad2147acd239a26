"""Small files that are there whole or not at all, whatever is cut off: keys, certificates, configurations."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from node.config.sections import DEVICE

if TYPE_CHECKING:
    from pathlib import Path

_DEVICE = re.compile(rf"{DEVICE}(?![^.])", re.IGNORECASE)
"""Whatever ending it has."""


def file_name(name: str) -> str:
    """A terminal's id as the name of a file of any system, before its ending: what some system does not take is
    percent-encoded."""
    encoded = quote(name, safe="@#+=~")
    return f"%{ord(name[0]):02X}{encoded[1:]}" if _DEVICE.match(name) else encoded


def put_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file, in the place of one that is there. Nobody sees it before it is whole and on disk.

    mode: its permissions, from the first byte on. The directory's names are the caller's to sync. Raises OSError.
    """
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
