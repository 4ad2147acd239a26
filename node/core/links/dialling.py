"""When a configured link is dialled, for ever. No sockets: a shell dials, and reports how it ended.

    next --the other node dialled us, and that link is in use--> Wait, ask again
         --otherwise--> Dial --> connected --> ended --> Wait: back-off, or longer after a refusal

The first retry is at once, then exponential back-off with full jitter, capped. Each failed attempt gives the other
node more time to answer: one that gets a tenth of a processor would lose its links for good. Its machine is waited
for no longer than before, so that a link is back soon after the network is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from crdt.classes import define, frozen
from node.core.links.link import Link
from node.errors import (
    AlreadyConnected,
    AuthenticationFailed,
    InvalidTerminalId,
    InvalidTerminalType,
    PermissionDenied,
)

STEADY_MS = 1_000
"""A link that was up for less than this counts as a failed attempt, or two nodes could dial each other for ever."""

ACCEPTED_POLL_MS = 200
"""How often a node asks whether it must dial again, while a link that the other node dialled is in use."""

LONGEST_ANSWER_MS = 30_000
"""The most time that the other node gets to answer an attempt."""

REFUSED = {
    InvalidTerminalId.code: "its id is refused",
    InvalidTerminalType.code: "nodes are refused",
    AuthenticationFailed.code: "its token or its key is refused",
    PermissionDenied.code: "the other node is another store's ([node] site)",
}
"""Close codes after which dialling goes on slowly, since somebody has to change something first."""

TWIN = AlreadyConnected.code
"""The close code with which a node refuses a second node of the same id."""


def challenge_of(instance: str, attempt: int) -> str:
    """What the other node has to sign: nothing else was ever dialled under this name. instance: of this process."""
    return f"{instance} {attempt}"


@define
class Backoff:
    """The waiting times of one configured link. attempts: failed ones in a row."""

    base_ms: int
    max_ms: int
    attempts: int = 0

    def ended(self, was_up: bool, lasted_ms: float) -> None:
        """An attempt, or the link it led to, is over."""
        self.attempts = 0 if was_up and lasted_ms > STEADY_MS else self.attempts + 1

    def wait_ms(self, uniform: Callable[[float, float], float]) -> float:
        """How long to wait before the next attempt."""
        if not self.attempts:
            return 0.0
        return uniform(0, min(self.max_ms, self.base_ms * 2 ** min(self.attempts, 16)))


@frozen
class Dial:
    """Dial now.

    attempt: the number of this connection among all that this process dials.
    connect_ms: how long to wait for the other machine.
    answer_ms: how long to wait for the other node, all in all.
    """

    attempt: int
    connect_ms: int
    answer_ms: int


@frozen
class Wait:
    """Ask again after so long."""

    ms: float


@define(eq=False, kw_only=True)
class Dialling:
    """One configured link, from the start of the process on.

    links: the node's links by the id of the other node.
    attempts: numbers the connections of this process.
    paused_ms: how long to wait after a refusal.
    connect_timeout_ms: how long the first of some attempts may take.
    uniform: draws a number between two.
    """

    links: Mapping[str, Link]
    attempts: Iterator[int]
    backoff: Backoff
    paused_ms: float
    connect_timeout_ms: int
    uniform: Callable[[float, float], float]
    peer: str = ""
    """The node that was last met at this address."""
    link: Link | None = None
    """The link of the connection that is there now."""
    paused: bool = False
    """Whether the other node has refused this one, and was not reached since."""
    _wait: Wait | None = None
    _dialled_ms: float = 0.0

    def next(self, now_ms: float) -> Dial | Wait:
        """What to do now. now_ms: on a clock that never goes back."""
        if self._wait is not None:
            wait, self._wait = self._wait, None
            return wait
        if self.accepted:
            return Wait(ACCEPTED_POLL_MS)
        self._dialled_ms = now_ms
        first_ms = self.connect_timeout_ms
        patience_ms = max(first_ms, min(first_ms * 2 ** min(self.backoff.attempts, 16), LONGEST_ANSWER_MS))
        return Dial(next(self.attempts), min(2 * first_ms, patience_ms), patience_ms)

    def connected(self, link: Link) -> None:
        """There is a connection; `link` runs over it."""
        self.link, self.paused = link, False

    def ended(self, now_ms: float, code: int | None) -> None:
        """The attempt has failed, or its link has ended. code: the close code of the connection, None without one."""
        link, self.link = self.link, None
        was_up = False
        if link is not None and code is not None:
            self.peer = link.peer_id or self.peer
            self.paused = code in REFUSED
            was_up = link.was_up
        self.backoff.ended(was_up, now_ms - self._dialled_ms)
        self._wait = Wait(self.paused_ms if self.paused else self.backoff.wait_ms(self.uniform))

    @property
    def accepted(self) -> bool:
        """Whether the other node has dialled this one, and that link is in use."""
        other = self.links.get(self.peer)
        return other is not None and not other.dialled

    @property
    def state(self) -> str:
        """up | paused | down, as `comanda status` shows it."""
        if self.accepted or (self.link is not None and self.link.state == "up"):
            return "up"
        return "paused" if self.paused else "down"
