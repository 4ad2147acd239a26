"""Faults of the node's own code: what nobody foresaw costs the message that caused it, and nobody else.

A fault before anything was changed is answered and logged, and that is all. One in the middle of a change has left
memory otherwise than the log (`Torn`): everything since the last commit is then refused, as after a failed commit,
and read again from disk. What caused it is remembered until the next start, and refused before it is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from hashlib import blake2b

from attrs import define, field

logger = logging.getLogger("comanda.fault")

REMEMBERED = 10_000
"""Operations that caused a fault and are remembered."""


class Torn(Exception):
    """Memory holds what no row of the log says. Nothing of it may be stored."""


@define(eq=False)
class Faults:
    """torn: why memory is otherwise than the log; None while it is not. count: faults since the start."""

    torn: str | None = field(default=None, init=False)
    count: int = field(default=0, init=False)
    changing: bool = field(default=False, init=False)
    """Documents are being changed, and the change has no row yet. Whatever is raised now is a fault."""
    causes: dict[Hashable, str] = field(factory=dict, init=False)
    """What caused a fault since the start, and what is said of it."""

    def report(self, where: str, said: str | bytes, error: Exception, cause: Hashable | None = None) -> str:
        """Note a fault, and return what its author is told.

        where: what was being done. said: the bytes that caused it. cause: what to refuse from now on.
        """
        self.count += 1
        digest = blake2b(said.encode() if isinstance(said, str) else said, digest_size=8).hexdigest()
        logger.error("%s failed on %d bytes with hash %s", where, len(said), digest, exc_info=error)
        told = f"the node's own code failed on this (hash {digest}); nothing was done"
        if self.changing:
            self.changing, self.torn = False, f"{where} failed in the middle of a change (hash {digest})"
        if cause is not None:
            self.causes[cause] = told
            while len(self.causes) > REMEMBERED:
                del self.causes[next(iter(self.causes))]
        return told

    def undone(self) -> None:
        """Memory is what the log says again."""
        self.torn, self.changing = None, False
