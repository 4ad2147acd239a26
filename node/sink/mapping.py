"""Which fields of a store's entities fill which columns: the protocol fixes no layout of an order."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

from attrs import field, frozen
from cattrs import Converter, transform_error

from node.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@frozen
class Orders:
    """[orders]: entities of `type`, each a row; the other settings name the field of a column."""

    type: str = "orders"
    status: str = "status"
    total: str = "total"
    tip: str = "tip"
    people: str = "people"
    waiter: str = "waiter"


@frozen
class Lines:
    """[order_lines]: elements of an order's field `list`, each a row."""

    list: str = "items"
    id: str = "id"
    sku: str = "sku"
    name: str = "name"
    quantity: str = "quantity"
    price: str = "price"


@frozen
class Payments:
    """[payments]: likewise."""

    list: str = "payments"
    id: str = "id"
    method: str = "method"
    amount: str = "amount"
    drawer: str = "drawer"


@frozen
class Counted:
    """How a store's business days are counted: in which zone, beginning when; day_of: the day of a moment."""

    zone: str
    day_begins: str
    day_of: Callable[[str], date]


@frozen
class Mapping:
    """A file of `comanda sink --mapping`. zones: the time zone of each store that is in another one than the rest."""

    orders: Orders = field(factory=Orders)
    order_lines: Lines = field(factory=Lines)
    payments: Payments = field(factory=Payments)
    zones: dict[str, str] = field(factory=dict)


def _text(value: object, _: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected string")
    return value


def read_mapping(path: Path) -> Mapping:
    """Raises ConfigError, which names file and setting."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook(str, _text)
    try:
        return converter.structure(document, Mapping)
    except Exception as error:  # cattrs gathers all that is wrong
        raise ConfigError(f"{path}: {'; '.join(transform_error(error))}") from error
