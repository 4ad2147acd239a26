"""JSON text that stays in memory, and untrusted values of messages as short words."""

from __future__ import annotations


def word(value: object, longest: int) -> str:
    """A value that should be a word, from a linked node, as text of at most `longest` characters.

    An array or an object becomes "[...]" or "{...}": orjson reads a thousand levels, which `str` cannot write.
    """
    if isinstance(value, dict | list):
        return "[...]" if isinstance(value, list) else "{...}"
    return str(value)[:longest]


def is_number(text: str) -> bool:
    """Whether a text is ASCII digits, few enough for 64 bits.

    `isdigit` alone also takes "²", which `int` refuses.
    """
    return text.isascii() and text.isdigit() and len(text) < 19
