"""How much of what was found once is played again: COMANDA_REPLAYED of each table (3), or `all`.

Each run takes others, as slices of a walk (tests/slices.py).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from tests.slices import part

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

HOW_MANY = os.environ.get("COMANDA_REPLAYED", "3")


def chosen(table: Iterable[T]) -> list[T]:
    every = list(table)
    return every if HOW_MANY == "all" else part(every, max(len(every) // int(HOW_MANY), 1))
