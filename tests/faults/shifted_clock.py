"""What a node's process calls first to have a clock that is off by a file's milliseconds.

Only what the wall clock shows is changed, each time it is asked; monotonic time is the machine's.
"""

from __future__ import annotations

import time
from pathlib import Path

_time_ns = time.time_ns


def by(offset: str) -> None:
    """offset: the file."""
    file = Path(offset)
    time.time_ns = lambda: _time_ns() + int(file.read_text() or "0") * 1_000_000
