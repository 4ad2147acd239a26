"""How much of what was found once is played again: about COMANDA_REPLAYED (3) of each table in a run, or `all`.

A table is a walk (tests/slices.py): each run plays others of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sized

HOW_MANY = os.environ.get("COMANDA_REPLAYED", "3")


def parts(table: Sized) -> int:
    """In how many runs all of it is played."""
    return 1 if HOW_MANY == "all" else max(len(table) // int(HOW_MANY), 1)
