"""Foreign text as anybody may be shown it: bounded, and with whatever a screen or a log would act on spelled out."""

from __future__ import annotations

from typing import Any

LONGEST = 300
"""Characters of foreign text that an answer, a log record or a line repeats, where nothing else is said."""


def printable(text: str, longest: int = LONGEST) -> str:
    """At most `longest` characters of a text, on one line.

    Control characters, line ends, characters that turn the direction of writing, invisible ones and halves of
    surrogate pairs are spelled as escapes (`\\x1b`, `\\u202e`). What is spelled already is left as it is.
    """
    cut = text if len(text) <= longest else f"{text[:longest]}..."
    return cut if cut.isprintable() else "".join([c if c.isprintable() else _spelled(c) for c in cut])


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def printable_tree(value: Any) -> Any:
    """JSON with every text in it printable, names of members too; nothing is cut."""
    if isinstance(value, str):
        return printable(value, len(value))
    if isinstance(value, list):
        return [printable_tree(item) for item in value]
    if isinstance(value, dict):
        return {printable(str(name), len(name)): printable_tree(item) for name, item in value.items()}
    return value
