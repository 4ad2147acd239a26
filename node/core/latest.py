"""Memories that are bounded: what was put into them last is kept."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")
N = TypeVar("N", int, float)


def keep_latest(found: dict[K, V], most: int) -> None:
    """Let the first entries go, so that at most so many are left."""
    while len(found) > most:
        del found[next(iter(found))]


def put_latest(found: dict[K, V], key: K, value: V, most: int) -> None:
    """Put an entry behind all others, and let the first go, so that at most so many are left."""
    found.pop(key, None)
    found[key] = value
    keep_latest(found, most)


def is_due(said: dict[K, N], key: K, now: N, every: N, most: int) -> bool:
    """Whether something was not said within `every` before now. Then it is noted as said now.

    said: when each was said, the latest `most`.
    """
    last = said.get(key)
    if last is not None and now - last < every:
        return False
    said[key] = now
    keep_latest(said, most)
    return True


def remember(reports: list[str], most: int, what: str) -> bool:
    """Remember what somebody has to look at: each once, the latest `most`. Returns whether it is news."""
    if what in reports:
        return False
    reports.append(what)
    del reports[:-most]
    return True
