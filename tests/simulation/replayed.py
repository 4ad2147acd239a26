"""How much of what was found once is played again: COMANDA_REPLAYED of each table (6), evenly spread, or `all`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

HOW_MANY = os.environ.get("COMANDA_REPLAYED", "6")


def chosen(table: Iterable[T]) -> list[T]:
    every = list(table)
    many = len(every) if HOW_MANY == "all" else min(int(HOW_MANY), len(every))
    return [every[number * len(every) // many] for number in range(many)]
