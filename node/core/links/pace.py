"""How often a link does what it does by the clock: a link over a WAN does it more rarely.

A node is far if the shortest of some round trips is long: one slow answer of a busy machine makes it not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.classes import frozen

if TYPE_CHECKING:
    from node.config.links import LinksSection
    from node.core.links.clock_offset import ClockOffset

MEASURED = 10
"""Round trips after which a node may count as far."""


@frozen
class Pace:
    """What is configured of it, in ms.

    near, far: between two pings to a near node, and to a far one. silence: after how long a near node counts as gone.
    linger: how long rows wait for others on a link to a far node. from_ms: the round trip from which a node is far.
    """

    near: float
    far: float
    silence: float
    linger: int
    from_ms: int

    @classmethod
    def of(cls, settings: LinksSection) -> Pace:
        far_ms = max(settings.far_ping_s, settings.ping_s) * 1000
        return cls(settings.ping_s * 1000, far_ms, settings.silence_s * 1000, settings.linger_ms, settings.far_ms)

    def is_far(self, clock: ClockOffset) -> bool:
        return clock.answers >= MEASURED and clock.least_ms >= self.from_ms

    def ping_ms(self, clock: ClockOffset) -> float:
        """Between two pings."""
        return self.far if self.is_far(clock) else self.near

    def silence_ms(self, clock: ClockOffset) -> float:
        """After how long a silent node counts as gone: for as much longer as two pings take."""
        return self.silence + 2 * (self.ping_ms(clock) - self.near)

    def linger_ms(self, clock: ClockOffset) -> int:
        """How long rows wait for others."""
        return self.linger if self.is_far(clock) else 0
