"""JSON texts that are kept, and values of messages as words."""

from __future__ import annotations

import orjson


def kept(value: object) -> bytes:
    """The JSON text of `value` in a buffer of its own length: orjson leaves each result in one of 4 KB, which a log's
    ring cannot afford."""
    return bytes(memoryview(orjson.dumps(value)))


def word(value: object, longest: int) -> str:
    """What stands where a word is expected in a message of a linked node. Of an array or an object only that it is
    one: nested a thousand deep, which orjson reads, Python cannot write it out."""
    if isinstance(value, dict | list):
        return "[...]" if isinstance(value, list) else "{...}"
    return str(value)[:longest]


def is_number(text: str) -> bool:
    """Whether a text is decimal digits, few enough for 64 bits. (`isdigit` also takes "²", of which `int` wants
    nothing.)"""
    return text.isascii() and text.isdigit() and len(text) < 19
