"""Small files that are there whole or not at all, whatever is cut off: keys, certificates, configurations."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
