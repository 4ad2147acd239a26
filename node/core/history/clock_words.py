"""What `explain` says of an operation whose timestamp does not count as it is: the same on every node."""

from __future__ import annotations

from crdt.classes import frozen
from crdt.hlc import UTC_ZONE, iso, length, millis, read_iso
from node.core.terminal_clocks import TOLERANCE_MS


@frozen
class ClockWord:
    """How far a timestamp is from the time that counts.

    skew_ms: by how much it is ahead; negative: behind.
    counted_ms: the time that counts, Unix milliseconds.
    """

    skew_ms: int
    counted_ms: int

    def report(self) -> dict[str, object]:
        """As JSON, with a sentence in each language."""
        apart, at = length(self.skew_ms), iso(self.counted_ms)
        pt_way, en_way = ("adiantado", "ahead") if self.skew_ms > 0 else ("atrasado", "behind")
        return {
            "skew_ms": self.skew_ms,
            "counted_as": at,
            "pt": f"o relógio do terminal estava {apart} {pt_way}; conta como {at}",
            "en": f"its clock was {apart} {en_way}; counted as {at}",
        }


def clock_word(stamp: int, timestamp: object) -> ClockWord | None:
    """What is to be said of an operation. None where its timestamp counts, names no offset, or is none."""
    if not isinstance(timestamp, str):
        return None
    try:
        said_us, assumed = read_iso(timestamp, UTC_ZONE.zone)
    except (ValueError, OverflowError):
        return None
    skew_ms = said_us // 1000 - millis(stamp)
    return None if assumed or abs(skew_ms) < TOLERANCE_MS else ClockWord(skew_ms, millis(stamp))
