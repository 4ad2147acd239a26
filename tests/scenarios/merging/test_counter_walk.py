"""Every operation on a counter in every order, by one and by two authors, against exact arithmetic.

The arithmetic here knows nothing of documents: what somebody wrote means something by what that person had seen.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field

from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, shown
from tests.scenarios.seeds import SEEDS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NEVER, CLOSED = "never counted", None
"""What a counter is that nobody has counted, and that somebody does not count any more."""

STEPS: dict[str, Sequence[tuple[str, dict[str, object]]]] = {
    "create 50": [("CREATE", {"stock": 50})],
    "create": [("CREATE", {"name": "guarana"})],
    "97": [("UPDATE", {"stock": 97})],
    "24": [("UPDATE", {"stock": 24})],
    "+24": [("UPDATE", {"stock": {"$inc": 24}})],
    "-0.5": [("UPDATE", {"stock": {"$inc": -0.5}})],
    "=30": [("UPDATE", {"stock": {"$set": 30}})],
    "null": [("UPDATE", {"stock": None})],
    "again 20": [("DELETE", {}), ("CREATE", {"stock": 20})],
    "again": [("DELETE", {}), ("CREATE", {"name": "guarana"})],
}
MOST = 3 * len(SEEDS)
FIRST = [name for name in STEPS if not name.startswith("again")]


@define(eq=False)
class Effect:
    """What one step does. before: the effects that its author had seen. word: open, close, reset or move."""

    word: str
    amount: float
    before: list[Effect]


@define
class Arithmetic:
    """One counter: every effect in order, and those that each author has seen."""

    effects: list[Effect] = field(factory=list)
    seen: dict[str, list[Effect]] = field(factory=dict)

    def look(self, author: str) -> None:
        self.seen[author] = list(self.effects)

    def step(self, author: str, name: str) -> None:
        before = self.seen.setdefault(author, [])
        for effect in self._effects(name, before):
            self.effects.append(effect)
            before.append(effect)

    def _effects(self, name: str, seen: list[Effect]) -> Iterable[Effect]:
        known, ((kind, data), *again) = amount(seen), STEPS[name]
        if again:
            ((_, data),) = again
            if "stock" in data or seen:
                yield Effect("open" if "stock" in data else "reset", data.get("stock", 0), list(seen))  # type: ignore
            return
        match data.get("stock", known if kind == "CREATE" else NEVER):
            case {"$inc": step}:
                yield Effect("move", step, [])
            case {"$set": count}:
                yield Effect("open", count, list(seen))
            case None if known is not CLOSED:
                yield Effect("close", 0, [])
            case int(count) if known is NEVER or known is CLOSED:
                yield Effect("open", count, list(seen))
            case int(count) if count != known:
                yield Effect("move", count - known, [])


def amount(effects: Sequence[Effect]) -> Any:
    begins = next((e for e in reversed(effects) if e.word != "move"), None)
    if begins is not None and begins.word == "close":
        return CLOSED
    counted = [] if begins is None else begins.before
    moves = [e.amount for e in effects if e.word == "move" and not any(e is other for other in counted)]
    if not moves and (begins is None or begins.word == "reset"):
        return NEVER
    return sum(moves, begins.amount if begins is not None else 0)


@define(eq=False)
class Walk:
    """Many counters at once: a step of each, then the next. look: lets everybody see what there is."""

    clients: Sequence[Client]
    worlds: Sequence[World]
    look: Callable[[], None]
    orders: dict[str, Sequence[tuple[str, str]]]
    versions: bool = False
    counters: dict[str, Arithmetic] = field(factory=dict)
    known: dict[tuple[str, str], int] = field(factory=dict)

    def run(self, *, seen: int) -> None:
        """seen: how many of the first steps everybody sees before the next one."""
        clients = {client.name: client for client in self.clients}
        for place in range(max(map(len, self.orders.values()))):
            if place <= seen:
                self.look()
                for key, counter in self.counters.items():
                    for name, client in clients.items():
                        counter.look(name)
                        self.known[name, key] = client.screen.get(("products", key), {}).get("version", 0)
            for number, (key, order) in enumerate(self.orders.items()):
                if place < len(order):
                    author, step = order[place]
                    self.counters.setdefault(key, Arithmetic()).step(author, step)
                    self._write(clients[author], key, step, bulk=number % 3 == 0)

    def _write(self, client: Client, key: str, step: str, *, bulk: bool) -> None:
        for world in self.worlds:
            world.wall_ms = max(w.wall_ms for w in self.worlds)  # whoever writes later has the later time
        for kind, data in STEPS[step]:
            if self.versions:
                self.known[client.name, key] = self.known.get((client.name, key), 0) + 1
                data = {**data, "version": self.known[client.name, key]}
            if bulk and kind == "UPDATE":
                client.write("products", None, "BULK_UPDATE", {"updates": [{"entity_id": key, "data": data}]})
            else:
                client.write("products", key, kind, data)

    def check(self) -> None:
        self.look()
        for world in self.worlds:
            view = world.view("products")
            found = {key: view[key].get("stock", NEVER) for key in self.orders}
            wanted = {key: amount(counter.effects) for key, counter in self.counters.items()}
            wrong = {f"{self.orders[k]}": (found[k], wanted[k]) for k in found if found[k] != wanted[k]}
            assert not wrong, (len(wrong), dict(list(wrong.items())[:20]))
        for client in self.clients:
            screen = client.shown("products")
            assert {k: screen[k].get("stock", NEVER) for k in screen} == found


def orders(length: int, authors: Sequence[str], seed: int = 1, most: int = MOST) -> dict[str, list[tuple[str, str]]]:
    every = [
        list(zip(who, steps, strict=True))
        for steps in product(FIRST, *[list(STEPS)] * (length - 1))
        for who in product(authors[:1], *[authors] * (length - 1))
    ]
    chosen = every if len(every) <= most else random.Random(seed).sample(every, most)
    return {f"p{number}": order for number, order in enumerate(chosen)}


MANNERS = pytest.mark.parametrize(
    ("seen", "versions"), [(4, False), (1, False), (0, False), (4, True), (1, True), (0, True)]
)


@MANNERS
@pytest.mark.parametrize(("length", "authors"), [(4, ["ana"]), (4, ["ana", "bia"])])
def test_live_a_counter_shows_what_its_authors_meant(
    tmp_path: Path, length: int, authors: list[str], seen: int, versions: bool
) -> None:
    world = World(tmp_path / "node", resident=10_000, ring_rows=10_000, window=10_000)
    clients = [Client(world, name).connect() for name in authors]

    def look() -> None:
        settle_all(world, clients)
        world.advance(1_000)  # of many answers some wait for the clock
        settle_all(world, clients)

    walk = Walk(clients, [world], look, orders(length, authors), versions)
    walk.run(seen=seen)
    walk.check()
    world.close()


@MANNERS
def test_over_two_nodes_a_counter_shows_what_its_authors_meant(tmp_path: Path, seen: int, versions: bool) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], resident=10_000, ring_rows=10_000, window=10_000)
    clients = [Client(world, name).connect() for world, name in zip(mesh.worlds, ("ana", "bia"), strict=True)]

    def look() -> None:
        mesh.settle(lambda: sum(client.receive() for client in clients))

    walk = Walk(clients, mesh.worlds, look, orders(4, ["ana", "bia"]), versions)
    walk.run(seen=seen)
    walk.check()
    assert shown(mesh.worlds[0]) == shown(mesh.worlds[1])
    mesh.close()
