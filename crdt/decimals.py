"""Counter totals: exact decimals, whose sums do not depend on the order.

In a header a total is a JSON integer, or a string where it has decimals. Shown, it is a JSON number again.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable

Total = int | str

LARGEST = Decimal(10) ** 15
DECIMALS = 9
_TEXT = re.compile(r"-?(0|[1-9]\d{0,25})\.\d{1,9}\Z")
_EXACT = Context(prec=60)
_MOST = 2**63


def is_total(value: object) -> TypeGuard[Total]:
    """Whether a header of our own nodes could hold it."""
    if type(value) is int:
        return -_MOST < value < _MOST
    return type(value) is str and _TEXT.match(value) is not None


def decimal_of(total: Total) -> Decimal:
    return Decimal(total)


def total_of(amount: Decimal) -> Total:
    """As it stands in a header."""
    whole = amount.to_integral_value()
    if amount == whole:
        return int(whole) if abs(whole) < _MOST else f"{whole:f}.0"
    return f"{amount.normalize(_EXACT):f}"


def amount_of(value: object) -> Decimal | None:
    """What a JSON number amounts to, as it was written; None for anything else, and for what no counter takes
    (10^15 and more, or more than nine decimals)."""
    if type(value) is int:
        amount = Decimal(value)
    elif type(value) is float:
        amount = Decimal(repr(value))
    else:
        return None
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or abs(amount) >= LARGEST or -exponent > DECIMALS:
        return None
    return amount


def plus(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total


def is_shown_exactly(amount: Decimal) -> bool:
    """Whether the number that a reader is shown is this amount, and one that `amount_of` takes again."""
    return amount_of(shown(amount)) == amount


def shown(amount: Decimal) -> int | float:
    """As a reader sees it: past 64 bits as a double, which JSON still writes."""
    whole = amount.to_integral_value()
    return int(whole) if amount == whole and abs(whole) < _MOST else float(amount)
