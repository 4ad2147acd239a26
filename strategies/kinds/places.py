"""Places of a list's elements: texts whose order is the order of the list.

Between any two places there is room for another one, so an element that is moved or added gets a new place and the
others keep theirs. Two terminals that add at one point pick different places: a place ends in letters of its key.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WIDTH = 5
_MIDDLE = len(_DIGITS) ** _WIDTH // 2
_MOST = len(_DIGITS) ** _WIDTH - 1


def placed(order: Sequence[str], places: Mapping[str, str]) -> dict[str, str]:
    """A place for each key of `order`. places: those of the elements that have one; as many as can keep it do."""
    kept = _rising([key for key in order if key in places], places)
    if len(kept) == len(order):
        return {key: places[key] for key in order}
    coming = deque(number for number, key in enumerate(order) if key in kept)
    result: dict[str, str] = {}
    before: str | None = None
    for number, key in enumerate(order):
        if coming and coming[0] == number:
            coming.popleft()
            result[key] = before = places[key]
            continue
        while coming and before is not None and before >= places[order[coming[0]]]:
            coming.popleft()  # two were put at one place, and this one comes between
        after = places[order[coming[0]]] if coming else None
        result[key] = before = _own_place(between(before, after), after, key)
    return result


def _own_place(place: str, after: str | None, key: str) -> str:
    """Made the key's own, so that two elements put at one place apart from each other have room between them."""
    if after is not None and after.startswith(place):
        return place
    first, second = blake2b(key.encode(), digest_size=2).digest()
    return place + _DIGITS[first % len(_DIGITS)] + _DIGITS[1 + second % (len(_DIGITS) - 1)]


def _rising(keys: Sequence[str], places: Mapping[str, str]) -> set[str]:
    """A longest run of keys whose places rise (patience sorting). Nearly always all of them do."""
    there = [(places[key], key) for key in keys]
    if there == sorted(there):
        return set(keys)
    piles: list[str] = []
    below: dict[str, str | None] = {}
    for key in keys:
        low, high = 0, len(piles)
        while low < high:
            middle = (low + high) // 2
            if (places[piles[middle]], piles[middle]) < (places[key], key):
                low = middle + 1
            else:
                high = middle
        below[key] = piles[low - 1] if low else None
        piles[low : low + 1] = [key]
    kept: set[str] = set()
    key_or_none = piles[-1] if piles else None
    while key_or_none is not None:
        kept.add(key_or_none)
        key_or_none = below[key_or_none]
    return kept


def between(before: str | None, after: str | None) -> str:
    """A place after `before` and before `after`, which is greater (None: the end of the list on that side).

    Places are whole numbers of five digits and a last one, as long as there is room; then fractions of them.
    """
    if after is None:
        number = _MIDDLE if before is None else _number(before) + 1
        return _text(number) if number <= _MOST else _midpoint(before or "", None)
    if before is None:
        number = _number(after) - 1
        return _text(number) if number >= 0 else _midpoint("", after)
    low, high = _number(before), _number(after)
    return _text((low + high) // 2) if high - low > 1 else _midpoint(before, after)


def _number(place: str) -> int:
    number = 0
    for digit in place[:_WIDTH].ljust(_WIDTH, _DIGITS[0]):
        number = number * len(_DIGITS) + max(_DIGITS.find(digit), 0)
    return number


def _text(number: int) -> str:
    digits = []
    for _ in range(_WIDTH):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return (
        "".join(reversed(digits)) + _DIGITS[len(_DIGITS) // 2]
    )  # a last digit above the lowest: there is room before


def _midpoint(before: str, after: str | None) -> str:
    """A text strictly between two that do not end in the lowest digit; nor does it."""
    result = ""
    while True:
        low = max(_DIGITS.find(before[0]), 0) if before else 0
        high = max(_DIGITS.find(after[0]), 0) if after else len(_DIGITS)
        if high - low > 1:
            return result + _DIGITS[(low + high) // 2]
        result += _DIGITS[low]
        if after is not None and high == low:
            after = after[1:]
        elif after is not None:
            if len(after) > 1:
                return result[:-1] + after[0]
            after = None
        before = before[1:]
