"""Memories that are bounded: of a dictionary only what was put into it last is kept."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def keep_latest(found: dict[K, V], most: int) -> None:
    """Let the first entries go, so that at most so many are left."""
    while len(found) > most:
        del found[next(iter(found))]
