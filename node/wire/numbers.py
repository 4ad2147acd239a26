"""Numbers that must survive: integers of 64 bits and IEEE doubles, refused where reading would change them.

orjson turns larger integers into doubles and rounds long decimals without a word, so a text with a number of 16
digits or more is read a second time, exactly.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from node.errors import InvalidMessage

LONG_NUMBER = re.compile(rb"[0-9][0-9.]{14,}[0-9]|[0-9][eE][-+]?[0-9]{3}")
"""Sixteen digits (or digits and a point) in a row, or an exponent of three, in a string or not: a false alarm
only costs time."""

SMALLEST, LARGEST = -(2**63), 2**63 - 1


def check_exact(text: bytes) -> None:
    """Raise InvalidMessage if `text`, which is valid JSON, holds a number that would not survive."""
    if LONG_NUMBER.search(text) is None:
        return

    def integer(digits: str) -> int:
        number = int(digits) if len(digits) <= 20 else None
        if number is None or not SMALLEST <= number <= LARGEST:
            _refuse(digits, "is no 64-bit integer")
        return number

    def decimal(digits: str) -> float:
        number = float(digits)
        try:
            exact = Decimal(repr(number)) == Decimal(digits)
        except InvalidOperation:
            exact = False
        if not exact:
            _refuse(digits, f"would be rounded to {number!r}")
        return number

    json.loads(text, parse_int=integer, parse_float=decimal)


def _refuse(digits: str, why: str) -> NoReturn:
    shown = digits if len(digits) <= 40 else digits[:37] + "..."
    raise InvalidMessage(f"the number {shown} {why}; send it as a string")
