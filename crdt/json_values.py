"""When two JSON values are the same, for everything that compares what came from outside.

Python's `==` says that 1 is true. Here `1` and `1.0` are one number, `true` and `"1"` are no number, and the order of
an object's members does not count.
"""

from __future__ import annotations

import re

import orjson

_SCALARS = (str, int, bool, type(None))
_EXACT = 2.0**63
"""Below it a double without decimals is one of the integers that JSON carries here."""
_MAYBE_WHOLE = re.compile(rb"\.0|\de\+?\d").search
"""Finds every double without decimals in a JSON text, and perhaps what is none."""


def equal(one: object, other: object) -> bool:
    """Whether two JSON values are the same."""
    if one is other:
        return True
    kind, its = type(one), type(other)
    if kind is not its:
        return (kind is int or kind is float) and (its is int or its is float) and one == other
    if one != other:  # Python's `==` holds of all that is the same, and compares at the speed of C
        return False
    if kind is dict:
        return _one_text(one, other) or _equal_objects(one, other)  # type: ignore[arg-type]
    if kind is list:
        return _one_text(one, other) or all(map(equal, one, other))  # type: ignore[call-overload]
    return True


def _equal_objects(one: dict[str, object], other: dict[str, object]) -> bool:
    return all(equal(value, other[name]) for name, value in one.items())


def _one_text(one: object, other: object) -> bool:
    """Whether two values have one JSON text, as most that are the same do. It costs less than to walk over them."""
    try:
        return orjson.dumps(one) == orjson.dumps(other)
    except TypeError:  # a number that no message carries
        return False


def canonical(value: object) -> bytes:
    """The JSON text of a value; equal values have equal texts."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if type(value) in _SCALARS or not _MAYBE_WHOLE(text):
        return text
    return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)


def _plain(value: object) -> object:
    """The value with each whole number as an integer."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and -_EXACT <= value < _EXACT else value
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return value
