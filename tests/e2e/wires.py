"""Which nodes of an evening are linked, and the cut-able proxies between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faulty_proxy import FaultyProxy

if TYPE_CHECKING:
    import random

    Edge = tuple[int, int, bool]


NODES = 7
"""Most nodes of an evening."""


def topology(rng: random.Random) -> tuple[str, int, list[Edge]]:
    """(shape, number of nodes, edges). An edge: (dialler, other, whether other is upstream)."""
    count = rng.randrange(2, NODES + 1)
    shape = rng.choice(["tree", "chain", "ring", "peers", "mixture"])
    if shape == "tree":
        return shape, count, [(n, rng.randrange(n), True) for n in range(1, count)]
    if shape in ("chain", "ring"):
        above = rng.choice([0.0, 0.5, 1.0])
        edges = [(n, n - 1, rng.random() < above) for n in range(1, count)]
        return shape, count, [*edges, (0, count - 1, False)] if shape == "ring" and count > 2 else edges
    above = 0.0 if shape == "peers" else 0.6
    edges = []
    for n in range(1, count):
        other = rng.randrange(n)
        upstream = rng.random() < above
        edges.append((n, other, upstream) if upstream or rng.random() < 0.5 else (other, n, False))
    for _ in range(rng.randrange(count)):
        a, b = rng.sample(range(count), 2)
        if (a, b) not in [(x, y) for x, y, _ in edges]:  # two that name each other are two links
            edges.append((a, b, False))
    return shape, count, edges


class Wire:
    """One configured link, through a proxy of its own."""

    def __init__(self, edge: Edge, rng: random.Random) -> None:
        self.dialler, self.other, self.upstream = edge
        self.proxy = FaultyProxy(0, rng)

    def __str__(self) -> str:
        return f"n{self.dialler}{'^' if self.upstream else '>'}n{self.other}"
