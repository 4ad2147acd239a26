"""JSON text that stays in memory, and untrusted values of messages as short words."""

from __future__ import annotations

from typing import TypeGuard


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
