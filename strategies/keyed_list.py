"""Lists whose elements have ids (an order's items): each element is a register at (field, key), and keeps its place.

The register at (field,) is the presence of the list: `[]`, or a whole list where its elements have no ids. An
element's value is [place, element]; places are texts whose order is the list's.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crdt.records import FieldRecord, Path

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WIDTH = 5
_MIDDLE = len(_DIGITS) ** _WIDTH // 2
_MOST = len(_DIGITS) ** _WIDTH - 1


ELEMENTS = 2_000
"""A longer list is one value: to take every other one of many thousand elements out holds up a node for seconds, as
the engine cuts its block of records at each and copies the rest."""


def keyed(value: object) -> dict[str, object] | None:
    """The elements of a list by key, in order; None for a longer list, or one without ids, each once."""
    if not isinstance(value, list) or len(value) > ELEMENTS:
        return None
    elements: dict[str, object] = {}
    for element in value:
        key = _key(element)
        if key is None or key in elements:
            return None
        elements[key] = element
    return elements


def _key(element: object) -> str | None:
    name = element.get("id") if isinstance(element, dict) else None
    if isinstance(name, str):
        return name
    if type(name) is int:
        return orjson.dumps([name]).decode()  # 1 and "1" are two elements
    return None


def element_of(record: FieldRecord) -> object:
    """The element a record holds, without its place."""
    value = record.value
    return value[1] if isinstance(value, list) and len(value) == 2 else value


def place_of(record: FieldRecord) -> str:
    value = record.value
    return value[0] if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) else ""


def shown_list(presence: FieldRecord | None, elements: Mapping[Path, FieldRecord]) -> object:
    """What a reader sees. presence: the shown record at (field,); elements: the shown record of each."""
    ordered = sorted(elements.items(), key=lambda item: (place_of(item[1]), item[0]))
    found = [element_of(record) for _, record in ordered]
    if presence is None or (found and not isinstance(presence.value, list)):
        return found
    return [*presence.value, *found] if isinstance(presence.value, list) else presence.value


# ------------------------------------------------------------------ places


def placed(order: Sequence[str], places: Mapping[str, str]) -> dict[str, str]:
    """A place for each key of `order`. places: those of the elements that have one; as many as can keep it do."""
    kept = _rising([key for key in order if key in places], places)
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
    """A longest run of keys whose places rise (patience sorting)."""
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
