"""What happened in one simulated store: a line for people, and one digest over every byte that moved."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

from attrs import define, field

from crdt.hlc import iso

START_MS = 1_768_471_200_000
"""When every simulated evening begins: 2026-01-15T10:00:00Z."""


@define(eq=False)
class Transcript:
    """Lines in order. say: called with each one; kept: where the last ones stay, for the report of a failure."""

    kept: deque[str]
    say: Callable[[str], None] | None = None
    now_ms: int = 0
    faults: dict[str, int] = field(factory=dict)
    """How often each kind of fault was really met."""
    _digest: hashlib._Hash = field(factory=hashlib.sha256)

    def note(self, who: str, what: str) -> None:
        """`who`, now: `what`."""
        line = f"{iso(START_MS + self.now_ms)[11:-1]} {who:<12} {what}"
        self._digest.update(line.encode())
        self.kept.append(line)
        if self.say is not None:
            self.say(line)

    def fault(self, kind: str, who: str, what: str) -> None:
        """The same, of something that breaks."""
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.note(who, f"! {what}")

    def bytes(self, payload: bytes) -> None:
        """What moved over a connection counts for the digest, and is not shown."""
        self._digest.update(payload)

    @property
    def digest(self) -> str:
        """Equal for two runs of one seed."""
        return self._digest.hexdigest()
