"""One lease: who holds which entity, until when, and who granted it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.classes import frozen
from storage.records import Key, LockRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.core.ports import Instant


ALONE: Mapping[str, str] = {"overlapping": "overlapping"}
"""Lease scope -> the audit's lock status, where that is not `held`. For a node without an upstream."""

BELOW: Mapping[str, str] = {"overlapping": "overlapping", "local": "held_local"}
"""The same for a node with an upstream."""


@frozen
class Lease:
    """A granted lock.

    Its token is (authority, epoch, counter): counters are compared within one authority and epoch.
    """

    key: Key
    lock_id: str
    terminal: str
    authority: str
    epoch: int
    counter: int
    scope: str
    granted_ms: int
    expires_ms: int
    timeout_ms: int
    deadline_mono_ms: int

    def live(self, now: Instant) -> bool:
        return now.mono_ms < self.deadline_mono_ms

    def token(self) -> dict[str, object]:
        return {"authority": self.authority, "epoch": self.epoch, "counter": self.counter}

    def row(self, *, released: bool = False) -> LockRow:
        return LockRow(
            entity_type=self.key[0],
            entity_id=self.key[1],
            lock_id=self.lock_id,
            terminal_id=self.terminal,
            authority=self.authority,
            epoch=self.epoch,
            counter=self.counter,
            scope=self.scope,
            granted_ms=self.granted_ms,
            expires_ms=self.expires_ms,
            timeout_ms=self.timeout_ms,
            released=released,
        )


def later_epoch(epoch: int, wall_ms: int) -> int:
    """The next epoch of an authority that was set back.

    It is later than any epoch that the authority may have had meanwhile, as far as its clock tells.
    """
    return max(epoch + 1, wall_ms // 1000)


@frozen
class Held:
    """The lock is somebody else's."""

    lease: Lease
    taken_over: bool = False
    """Whether the asking terminal held it before, let it expire, and it was granted on."""
