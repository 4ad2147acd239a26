"""What a cursor counts: one row or state message on its way to somebody."""

from __future__ import annotations

NO_POSITION = -1
"""A class of which this terminal has nothing yet: it gets the state instead of the history."""


Entry = tuple[int, int, str]
"""A row under way: (seq, priority class, operation id). An empty id is passed as soon as it is first in line; a
notice's entry carries NOTICE and is passed when something after it is confirmed."""


NOTICE = "\x00"


PASSED = ""
