"""Faults of the node's own code: what nobody foresaw costs what caused it, and nobody else.

A fault before anything was changed is answered and logged, and that is all. One in the middle of a change has left
memory otherwise than the log (`Torn`): everything since the last commit is then read again from disk, and what others
had sent since is decided once more. What caused it is remembered until the next start, refused before it is tried
again, and kept where it can be looked at (`Exhibit`, which becomes a row of the quarantine).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Hashable
from hashlib import blake2b

from attrs import field

from crdt.classes import define, frozen
from node.core.latest import keep_latest

logger = logging.getLogger("comanda.fault")

REMEMBERED = 10_000
"""Operations that caused a fault and are remembered."""

EXHIBITS = 100
"""Exhibits that wait for the next commit; of more, the latest."""


class Torn(Exception):
    """Memory holds what no row of the log says. Nothing of it may be stored."""


@frozen
class Exhibit:
    """What a terminal sent and the node's own code failed on. said: its bytes. told: what its author was told."""

    terminal_id: str
    operation_id: str
    entity_type: str
    entity_id: str
    said: bytes
    told: str


@define(eq=False)
class Faults:
    """torn: why memory is otherwise than the log; None while it is not. count: faults since the start."""

    torn: str | None = field(default=None, init=False)
    count: int = field(default=0, init=False)
    changing: bool = field(default=False, init=False)
    """Documents are being changed, and the change has no row yet. Whatever is raised now is a fault."""
    causes: dict[Hashable, str] = field(factory=dict, init=False)
    """What caused a fault since the start, and what is said of it."""
    forgotten: bool = field(default=False, init=False)
    """Memory does not know any more which operations and entities there are."""
    exhibits: deque[Exhibit] = field(factory=lambda: deque(maxlen=EXHIBITS), init=False)
    wake: Callable[[], None] = field(default=lambda: None, init=False)
    """Wakes the writer, which then finds that memory is torn."""

    def report(self, where: str, said: str | bytes, error: Exception, cause: Hashable | None = None) -> str:
        """Note a fault, and return what its author is told.

        where: what was being done. said: the bytes that caused it. cause: what to refuse from now on.
        """
        self.count += 1
        digest = blake2b(said.encode() if isinstance(said, str) else said, digest_size=8).hexdigest()
        logger.error(
            "%(where)s failed on %(bytes)d bytes with hash %(hash)s",
            {"where": where, "bytes": len(said), "hash": digest},
            exc_info=error,
        )
        told = f"the node's own code failed on this (hash {digest}); nothing was done"
        if self.changing:
            self.changing = False
            self.tear(f"{where} failed in the middle of a change (hash {digest})")
        if cause is not None:
            self.causes[cause] = told
            keep_latest(self.causes, REMEMBERED)
        return told

    def tear(self, why: str) -> None:
        """Memory is otherwise than the log, and is to be read again."""
        self.torn = why
        self.wake()

    def guard(self, where: str, act: Callable[[], object]) -> str | None:
        """Do something that nobody waits for. Returns what is to be said if it failed, which is noted already."""
        try:
            act()
        except Exception as error:
            return self.report(where, b"", error)
        return None

    def undone(self) -> None:
        """Memory is what the log says again."""
        self.torn, self.changing = None, False
