"""What a comparison of two nodes costs: bytes both ways, by how much is held, lost and on its way."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson

from bench.rig.fleet import new_table
from bench.rig.machine import describe
from node.core.digests import Digests
from node.core.links import anti_entropy
from node.core.links.asked import Asked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

HELD = (10_000, 100_000, 1_000_000)
KEPT_APART = (0, 15, 300)
SETTLED_MS = 10**12
"""What is on its way was accepted after it."""


class Side:
    """A node that holds some operations, as far as a comparison asks it."""

    def __init__(self, keys: Iterable[int], under_way: Iterable[int]) -> None:
        """under_way: those of the keys that were accepted a moment ago."""
        self.said: list[bytes] = []
        recent = {"orders": list(under_way)}
        self.host: Any = SimpleNamespace(
            filling=lambda: None,
            node=SimpleNamespace(
                replica=SimpleNamespace(
                    held=SimpleNamespace(
                        digests=Digests.of({"orders": list(keys)}),
                        accepted_since=lambda _: recent,
                        uncommitted=lambda _: set(),
                    ),
                    quarantine=SimpleNamespace(link_keys=lambda _: set()),
                    log=SimpleNamespace(committed=0, head=1),
                ),
                around=SimpleNamespace(timer=SimpleNamespace(call_later=lambda _, act: act())),
                disk=SimpleNamespace(places=lambda _keys, _take: None, contents=lambda *_: None),
            ),
        )
        self.asked = Asked()
        self.state = "up"
        self.delivery = SimpleNamespace(feed=SimpleNamespace(want=lambda *_: None))
        self.contents = SimpleNamespace(left=0, asked=None, next_type=lambda _: None)

    def reply(self, *messages: bytes) -> None:
        self.said.extend(messages)

    def level(self) -> None:
        """Nothing was left out here."""


def comparison(share: int) -> list[Table]:
    """Of 1,000,000 operations, and of a tenth and a hundredth, each while none, few and many are on their way."""
    columns = ("operations held", "apart", "all compared kB", "messages", "CPU ms", "settled only kB", "CPU ms")
    table = new_table(
        f"A comparison of two nodes, bytes both ways before what is missing is sent\n{describe()}", *columns
    )
    drawn = random.Random(1)
    for held in HELD:
        keys = [drawn.getrandbits(64) - 2**63 for _ in range(held // share)]
        for apart in KEPT_APART:
            if apart >= len(keys):
                continue
            whole, messages, whole_ms = _compare(keys, apart, None)
            settled, _, settled_ms = _compare(keys, apart, SETTLED_MS)
            cells = (
                f"{whole / 1000:.1f}",
                str(messages),
                f"{whole_ms:.0f}",
                f"{settled / 1000:.1f}",
                f"{settled_ms:.0f}",
            )
            table.add_row(f"{len(keys):,}", f"{apart} on their way", *cells)
    return [table]


def _compare(keys: list[int], apart: int, until: int | None) -> tuple[int, int, float]:
    """Bytes, messages and CPU milliseconds of a comparison. apart: how many of the keys one side does not hold."""
    sides = Side(keys, keys[:apart]), Side(keys[apart:], ())
    begun, size, count = time.process_time(), 0, 0
    anti_entropy.begin(sides[1], until)  # type: ignore[arg-type]
    while any(side.said for side in sides):
        for side, other in (sides, sides[::-1]):
            said, side.said = side.said, []
            for message in said:
                size, count = size + len(message), count + 1
                anti_entropy.receive(other, orjson.loads(message))  # type: ignore[arg-type]
    return size, count, (time.process_time() - begun) * 1000
