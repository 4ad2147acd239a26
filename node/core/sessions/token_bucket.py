"""A token bucket: how much one terminal may ask of a node."""

from __future__ import annotations

from crdt.classes import define


@define
class Bucket:
    """Gains `rate` tokens a second and saves at most `burst`. Tokens may be negative: a debt that waiting pays."""

    rate: float
    burst: float
    tokens: float
    at_ms: int

    @classmethod
    def full(cls, rate: float, burst: float, now_ms: int) -> Bucket:
        return cls(rate, burst, burst, now_ms)

    def take(self, now_ms: int) -> float:
        """Take one token; what is left, negative when there was none."""
        self.refill(now_ms)
        self.tokens -= 1.0
        return self.tokens

    def refill(self, now_ms: int) -> float:
        self.tokens = min(self.burst, self.tokens + (now_ms - self.at_ms) * self.rate / 1000.0)
        self.at_ms = now_ms
        return self.tokens

    def give_back(self) -> None:
        self.tokens += 1.0

    def wait_ms(self) -> int:
        """Milliseconds until a debt is paid."""
        return int(-self.tokens * 1000.0 / self.rate) + 1 if self.tokens < 0 else 0
