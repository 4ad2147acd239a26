"""Text in a cell of a spreadsheet, in both directions.

A spreadsheet takes a cell that begins like FORMULA for a formula and carries it out, whoever wrote it; some pass over
blanks before it. An apostrophe makes it text, and is not shown there. Export writes it and import takes it off. The
page's export of the audit (`node/ui/export.js`) guards its cells so too.
"""

from __future__ import annotations

import re

FORMULA = re.compile(r"'*(\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])")
"""What would be taken for a formula, or was written as this writes one; some spreadsheets take wide signs too."""

GUARDED = re.compile(r"'+(\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])")


def guarded(text: str) -> str:
    """A text that no spreadsheet carries out."""
    return f"'{text}" if FORMULA.match(text) else text


def without_guard(text: str) -> str:
    """The text that `guarded` was given."""
    return text[1:] if GUARDED.match(text) else text
