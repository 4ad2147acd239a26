"""JSON text that stays in memory, and untrusted values of messages as short words."""

from __future__ import annotations

import re
from typing import TypeGuard

MOST_VALUES = 65_536
"""Values of one message of a terminal: it takes longer to read by its values than by its length. A BULK_UPDATE of a
thousand orders may have ten lines of four fields in each."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def word(value: object, longest: int) -> str:
    """A value that should be a word, from a linked node, as text of at most `longest` characters.

    An array or an object becomes "[...]" or "{...}": orjson reads a thousand levels, which `str` cannot write.
    """
    if isinstance(value, dict | list):
        return "[...]" if isinstance(value, list) else "{...}"
    return str(value)[:longest]


def is_count(value: object, most: int, least: int = 0) -> TypeGuard[int]:
    """Whether a value of a message is a whole number in a range; true and false are none."""
    return type(value) is int and least <= value <= most


def is_number(text: str) -> bool:
    """Whether a text is ASCII digits, few enough for 64 bits.

    `isdigit` alone also takes "²", which `int` refuses.
    """
    return text.isascii() and text.isdigit() and len(text) < 19


def too_many_values(text: str | bytes, most: int) -> bool:
    """Whether a JSON text has more than so many commas, `[` and `{`, of which each value has one. None is read."""
    if len(text) <= most:
        return False
    said = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    return _marks(said) > most and _marks(_STRING.sub(b"", said)) > most


def _marks(said: bytes) -> int:
    """Also those in strings."""
    return said.count(b",") + said.count(b"[") + said.count(b"{")
