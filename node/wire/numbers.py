"""Numbers that must survive: integers of 64 bits and IEEE doubles, refused where reading would change them.

orjson turns larger integers into doubles and rounds long decimals without a word, so a text with a number of 16
digits or more is read a second time, exactly.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from crdt.classes import frozen
from node.errors import InvalidMessage

_SHAPE = bytes.maketrans(b"0123456789.eE+-", b"dddddddddddee--")
_DIGITS, _EXPONENT, _NEGATIVE_EXPONENT = b"d" * 16, b"deddd", b"de-ddd"
_LONG_NUMBER = re.compile(rb"[:,\[\s]-?(?:[0-9.]{16}|[0-9.]+[eE][-+]?[0-9]{3})")
"""Sixteen digits (or digits and a point) in a row, or an exponent of three; fewer always survive. First looked for
in the text's shape, which takes a quarter of the expression's time but is alarmed by most UUIDs. A false alarm of
both (inside a string) only costs time."""

BEYOND = "is beyond a double"

DEEPEST = 500
"""Levels of a whole message whose numbers are read exactly. How many Python itself reads differs by its version, and
what a node takes must not depend on that."""

SMALLEST, LARGEST = -(2**63), 2**63 - 1


@frozen
class Unfit:
    """Stands in the tree where a number would not survive."""

    digits: str
    why: str

    def shown(self) -> str:
        return self.digits if len(self.digits) <= 40 else f"{self.digits[:37]}..."


def check_exact(text: str | bytes, member: str) -> None:
    """Raise InvalidMessage, with its path, if a number in that member of the message would not survive.

    text: valid JSON, an object whose `member` is an object nested no deeper than the limit.
    """
    if not is_suspect(text):
        return
    try:
        message = json.loads(text, parse_int=_integer, parse_float=_decimal)
    except RecursionError:
        message = None
    if message is None or _deeper_than(message, DEEPEST):  # outside the member: inside it depth is checked before
        raise InvalidMessage("nested too deeply to read its numbers exactly", "$")
    # Of a key given twice both parsers keep the last, so what is looked at here is what orjson kept.
    level: list[tuple[str, Any]] = [(f"$.{member}", message[member])]
    while level:
        below: list[tuple[str, Any]] = []
        for path, value in level:
            if isinstance(value, dict):
                below += [(f"{path}.{name[:64]}", child) for name, child in value.items()]
            elif isinstance(value, list):
                below += [(f"{path}[{place}]", child) for place, child in enumerate(value)]
            elif isinstance(value, Unfit):
                raise InvalidMessage(f"the number {value.shown()} {value.why}; send it as a string", path)
        level = below


def _deeper_than(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def is_suspect(text: str | bytes) -> bool:
    """Whether a text may have a number that would not survive."""
    if isinstance(text, str):
        text = text.encode(errors="surrogatepass")
    shape = text.translate(_SHAPE)
    alarmed = _DIGITS in shape or _EXPONENT in shape or _NEGATIVE_EXPONENT in shape
    return alarmed and _LONG_NUMBER.search(text) is not None


def _integer(digits: str) -> int | Unfit:
    if len(digits) <= 20 and SMALLEST <= (number := int(digits)) <= LARGEST:
        return number
    return Unfit(digits, "is no 64-bit integer")


def _decimal(digits: str) -> float | Unfit:
    """A double stands for the shortest decimal that reads back as it, as in JavaScript: 0.1 survives."""
    number = float(digits)
    try:
        exact = Decimal(repr(number)) == Decimal(digits)
    except InvalidOperation:
        exact = False
    why = f"would be rounded to {number!r}" if math.isfinite(number) else BEYOND
    return number if exact else Unfit(digits, why)


def _finite(digits: str) -> float | Unfit:
    """A number as orjson reads it, where a double holds it at all."""
    number = float(digits)
    return number if math.isfinite(number) else Unfit(digits, BEYOND)


def _finite_integer(digits: str) -> int | float | Unfit:
    return int(digits) if len(digits) <= 20 else _finite(digits)


READ_FINITE: dict[str, Any] = {"parse_int": _finite_integer, "parse_float": _finite}
"""For `json.loads`: numbers as orjson reads them, and Unfit where orjson refuses the whole text."""
