"""What a node's process calls first to leave everything in its WAL until it stops.

However slow the machine is, what a test damages there is all that there is.
"""

from __future__ import annotations

from node.core import schedule


def never() -> None:
    schedule.CHECKPOINT_MS = 10**12
