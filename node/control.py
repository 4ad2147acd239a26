"""The control socket of a data directory: where a node listens for the commands of its own machine."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "control.sock"


@contextmanager
def socket_address(directory: Path) -> Iterator[str]:
    """What to bind or connect to, while the context lasts. Raises OSError where there is no such directory.

    The address of a UNIX socket has at most 107 bytes, and a data directory may lie deeper.
    """
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)
