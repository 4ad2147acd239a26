"""The committed log as every delivery sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from attrs import field

from crdt import hlc
from crdt.classes import define
from node.core.faults import Faults
from node.core.latest import keep_latest, put_latest
from node.core.log.ring import Ring
from node.core.ports import Clock
from storage.records import CLASSES, ConflictRow
from strategies.policy import Registry

T = TypeVar("T")

logger = logging.getLogger("comanda.fault")

TRIES = 2
"""How often something is tried that our own code fails to send. Each try costs a connection."""

MOST_NAMED = 100
"""What is too large to be sent, as the status shows it."""

PINGS = 25
"""Most pings of one turn of the clock (PING_INTERVAL_MS): a lone row to hundreds of terminals that do not confirm
makes nobody else wait, and what they cost has a bound. With its pong, one takes 0.3 ms of CPU."""

TIMED_APART_MS = 25
"""Of a thousand commits a second forty tell how long deliveries take."""

MOST_FAILED = 10_000
"""Rows and entities that are remembered as not to be sent."""


@define(eq=False, kw_only=True)
class LogView:
    """What the deliveries of all sessions and links share.

    class_heads: the last committed row of each priority class.
    conflicts: entity types -> their open conflicts that are durable.
    message_bytes: the largest message that a terminal is sent.
    """

    ring: Ring
    registry: Registry
    node_id: str
    class_heads: list[int]
    conflicts: Callable[[Sequence[str]], Sequence[ConflictRow]]
    clock: Clock
    faults: Faults
    message_bytes: int
    failed: dict[Hashable, int] = field(factory=dict, init=False)
    """Rows and entities that our own code failed to send, and how often, since the start."""

    level: tuple[int, ...] = field(init=False)
    """The last durable row, for every class: the positions of who has been sent everything."""

    too_large: dict[str, int] = field(factory=dict, init=False)
    """What is not sent because no message holds it, and its bytes; the latest MOST_NAMED since the start."""
    taken_ms: int = field(default=0, init=False)
    """When the latest durable commit began, on the monotonic clock."""
    timing: bool = field(default=True, init=False)
    """Whether deliveries of the latest durable commit are timed: those of commits TIMED_APART_MS apart are."""
    _timed_ms: int | None = field(default=None, init=False)
    took: Callable[[float], None] = field(default=lambda ms: None, init=False)
    """Told how long a delivery took, in milliseconds."""
    pings: int = field(default=PINGS, init=False)
    """How many more pings this turn of the clock has."""

    def __attrs_post_init__(self) -> None:
        self.moved()

    def begun(self, taken_ms: int) -> None:
        """A commit of rows is durable. taken_ms: when it began, on the monotonic clock."""
        self.taken_ms = taken_ms
        self.timing = self._timed_ms is None or taken_ms - self._timed_ms >= TIMED_APART_MS
        if self.timing:
            self._timed_ms = taken_ms

    def moved(self) -> None:
        """The head of the ring has moved."""
        self.level = (self.ring.head,) * CLASSES

    @property
    def head(self) -> int:
        return self.ring.head

    def audited(self, entity_type: str) -> bool:
        """Whether monitors are sent what is audited of a type. Everything is audited."""
        policy = self.registry.get(entity_type)
        return policy is None or policy.audit_required

    def open_conflicts(self, priority: int) -> Sequence[ConflictRow]:
        """Open conflicts of one priority class."""
        return self.conflicts(self.registry.of_class(priority))

    def attempt(self, name: Hashable, make: Callable[[], T]) -> T | None:
        """Make what is sent of something stored. None where our own code failed on it TRIES times: it is passed over.

        Before that it raises, which costs the connection. Then the rest flows.
        """
        if self.failed.get(name, 0) >= TRIES:
            return None
        try:
            return make()
        except Exception:
            self.not_sent(name)
            raise

    def not_sent(self, name: Hashable) -> None:
        """Our own code failed on something that was to be sent."""
        self.failed[name] = self.failed.pop(name, 0) + 1
        if self.failed[name] == TRIES:
            logger.error("%(what)s cannot be sent, and is passed over", {"what": name})
        keep_latest(self.failed, MOST_FAILED)

    def leave_out(self, what: str, size: int) -> None:
        """Something is too large to be sent. It is named, once, and the rest is sent."""
        if what not in self.too_large:
            logger.error("%(what)s has %(bytes)d bytes, which is too large to be sent", {"what": what, "bytes": size})
        put_latest(self.too_large, what, size, MOST_NAMED)

    def now_iso(self) -> str:
        return hlc.iso(self.clock().wall_ms)

    def mono_ms(self) -> int:
        return self.clock().mono_ms
