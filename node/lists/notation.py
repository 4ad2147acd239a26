"""What a text means: numbers, dates and yes or no, as Brazilian systems write them and as programs do.

Numbers and dates are read strictly: whatever is not written as it should be is named, and never guessed.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson

from crdt.classes import frozen
from crdt.hlc import iso
from crdt.json_values import canonical
from node.wire.numbers import LARGEST, SMALLEST

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXT, NUMBER, DATE, TIME, BOOLEAN, JSON = "text", "number", "date", "time", "boolean", "json"
KINDS = (TEXT, NUMBER, DATE, TIME, BOOLEAN, JSON)
STORE_ZONE = ZoneInfo("America/Sao_Paulo")

WRITTEN = {
    ",": re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?", re.ASCII),
    ".": re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d+)?", re.ASCII),
}
"""A number by its decimal separator; the other one separates thousands."""

CURRENCY = re.compile(r"([+-]?)\s*(?:R\$|US\$|\$|€)\s*")
CODE = re.compile(r"0\d.*|[+-]?\d{8,}", re.ASCII)
"""Digits that name something: a bar code, a document, a telephone. What they lose as a number is lost for good."""

YES, NO = ("sim", "s", "true", "verdadeiro"), ("não", "nao", "n", "false", "falso")
DAYS = ("%d/%m/%Y", "%d/%m/%y", "%Y-%m-%d")
HOURS = ("", " %H:%M", " %H:%M:%S")
DATED = re.compile(r"(\d{1,2}/\d{1,2}/(\d{4}|\d{2})|\d{4}-\d{2}-\d{2})(( |T)\d{1,2}:\d{2}(:\d{2})?.*)?", re.ASCII)

ENOUGH = 0.8
"""Part of a column's values that are written as a kind, for the column to be of it; the others are refused."""

NUMBERS = re.compile(
    r"pre[cç]o|valor|custo|total|estoque|quant|qtd|qty|peso|price|cost|amount|stock|desconto|discount", re.IGNORECASE
)
"""Names of columns in which numbers stand, however few of them can be read."""


@frozen
class Notation:
    """decimal: the separator. zone: where times that name none were written."""

    decimal: str = ","
    zone: ZoneInfo = STORE_ZONE


def decimal_of(values: Iterable[str], otherwise: str) -> tuple[str, bool]:
    """The separator that most values can only have as their decimal one. otherwise: where none tells.

    Beside it whether it is a guess: there are numbers with a separator, which are others by the other one.
    """
    for_comma = for_point = 0
    either = False
    for value in values:
        text = _bare(value)
        comma, point = (bool(text) and WRITTEN[separator].fullmatch(text) is not None for separator in ",.")
        for_comma += comma and not point
        for_point += point and not comma
        either |= comma and point and not text.lstrip("+-").isdigit()
    if for_comma == for_point:
        return otherwise, either
    return "," if for_comma > for_point else ".", False


def kind_of(name: str, values: Iterable[str], notation: Notation) -> str:
    """What a column of text holds. name: its header. values: its cells that are not empty."""
    given = [*values]
    if not given:
        return TEXT
    numbers = sum(WRITTEN[notation.decimal].fullmatch(_bare(value)) is not None for value in given)
    codes = any(CODE.fullmatch(value.strip()) for value in given)
    if not codes and (numbers >= ENOUGH * len(given) or (numbers and NUMBERS.search(name))):
        return NUMBER
    if all(value.strip().casefold() in (*YES, *NO) for value in given):
        return BOOLEAN
    dated = [found for value in given if (found := DATED.fullmatch(value.strip()))]
    if len(dated) >= ENOUGH * len(given):
        return TIME if any(found[3] for found in dated) else DATE
    if all(value.lstrip().startswith(("[", "{")) and _is_json(value) for value in given):
        return JSON
    return TEXT


def read(text: str, kind: str, notation: Notation) -> Any:
    """A value of a kind. Raises ValueError with a reason in two languages."""
    if kind == NUMBER:
        return _number(text, notation)
    if kind == BOOLEAN:
        return _boolean(text)
    if kind in (DATE, TIME):
        return _time(text.strip(), kind, notation)
    if kind == JSON:
        return _json(text)
    return text


def may_be(text: str, shown: object, notation: Notation) -> bool:
    """Whether a text may be how a shown value was written. A column is taken for one kind; its values need not be."""
    try:
        match shown:
            case bool():
                return _boolean(text) is shown
            case int() | float():
                return _amount(text, notation) == Decimal(repr(shown))
            case list() | dict():
                return same(_json(text), shown)
    except ValueError:
        pass
    return False


def same(one: object, other: object) -> bool:
    """Whether two values are the same JSON: 1 and 1.0 are, true and 1 are not."""
    return canonical(one) == canonical(other)


def _bare(text: str) -> str:
    return CURRENCY.sub(r"\1", text.strip(), count=1)


def _number(text: str, notation: Notation) -> int | float:
    exact = _amount(text, notation)
    if exact == exact.to_integral_value() and SMALLEST <= exact <= LARGEST:
        return int(exact)
    value = float(exact)
    if Decimal(repr(value)) != exact:
        raise ValueError("dígitos demais / more digits than a number holds")
    return value


def _amount(text: str, notation: Notation) -> Decimal:
    bare, thousands = _bare(text), "." if notation.decimal == "," else ","
    if not bare or WRITTEN[notation.decimal].fullmatch(bare) is None or not re.search(r"\d", bare):
        example = "1.234,56" if notation.decimal == "," else "1,234.56"
        raise ValueError(f"não é número como / is no number like {example}")
    return Decimal(bare.replace(thousands, "").replace(notation.decimal, "."))


def _boolean(text: str) -> bool:
    word = text.strip().casefold()
    if word not in (*YES, *NO):
        raise ValueError("não é sim nem não / is neither yes nor no")
    return word in YES


def _time(text: str, kind: str, notation: Notation) -> str:
    for hours in HOURS:
        for day in DAYS:
            try:
                moment = datetime.strptime(text, day + hours)
            except ValueError:
                continue
            if kind == DATE:
                return moment.date().isoformat()
            return iso(round(moment.replace(tzinfo=notation.zone).timestamp() * 1000))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("não é data como / is no date like 31/12/2026, 2026-12-31") from None
    if kind == DATE:
        return moment.date().isoformat()
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=notation.zone)
    return iso(round(aware.timestamp() * 1000))


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"não é JSON / is no JSON: {error}") from error


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
