"""The machine's clock, for commands that write a time."""

from __future__ import annotations

import time

from crdt import hlc


def timestamp() -> str:
    """Now, in UTC with milliseconds: `2024-01-15T10:30:00.000Z`."""
    return hlc.iso(time.time_ns() // 1_000_000)
