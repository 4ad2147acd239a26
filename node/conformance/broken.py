"""How a rule says that it does not hold, or could not be tried."""

from __future__ import annotations


class Broken(Exception):
    """The rule does not hold. expected: what should have come. came: what did."""

    def __init__(self, expected: str, came: object = None) -> None:
        super().__init__(expected)
        self.expected, self.came = expected, came


class NotTried(Exception):
    """The rule could not be tried against this node; the text says why."""
