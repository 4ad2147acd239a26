"""What a window counts: one row or state message under way on a connection."""

from __future__ import annotations

from storage.records import CLASSES

NO_POSITION = -1
"""The position in a class of which the receiver has nothing: it gets the state instead of the history."""

NOTHING = (NO_POSITION,) * CLASSES
"""The positions of a receiver that has nothing at all."""


Entry = tuple[int, int, str]
"""A row under way: (seq, priority class, operation id, or NOTICE, or PASSED)."""

NOTICE = "\x00"
"""The id of a notice's entry: it counts as confirmed when something after it is confirmed."""

PASSED = ""
"""The id of an entry that needs no confirmation: it counts as confirmed as soon as it is the first one under way."""
