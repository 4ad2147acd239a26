"""Random evenings from a seed: nodes in a random mesh, links that come and go, terminals that leave and come back."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.harness import Client
from tests.mesh import Mesh, audit, shown

if TYPE_CHECKING:
    from pathlib import Path

    from node.config.sections import Config


class Outages:
    """What happens around the people of an evening. A subclass says in `act` what somebody at a terminal does."""

    nodes = (2, 5)
    """At least, and fewer than."""
    terminals = ("pos", "pos")
    """Their types, at each node."""
    crash_share = 0.0

    def __init__(self, directory: Path, seed: int, config: Config | None = None) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        count = rng.randrange(*self.nodes)
        self.mesh = Mesh(
            directory,
            count,
            [(n, rng.randrange(n), rng.random() < 0.7) for n in range(1, count)],
            ring_rows=rng.choice([4, 64]),
            window=rng.choice([3, 32]),
            resident=rng.choice([1, 100]),
            config=config,
        )
        self.clients = [
            Client(world, f"{kind}{n}-{world.node_id}", kind).connect()
            for world in self.mesh.worlds
            for n, kind in enumerate(self.terminals)
        ]

    def act(self, client: Client) -> None:
        """Somebody does something at this terminal, which is connected."""
        raise NotImplementedError

    def run(self, least: int, most: int) -> None:
        """So many steps; then everything is connected, and nobody has anything left to say."""
        for _ in range(self.rng.randrange(least, most)):
            self.step()
        self.settle()

    def step(self) -> None:
        rng, client = self.rng, self.rng.choice(self.clients)
        wire = rng.choice(self.mesh.wires) if self.mesh.wires else None
        choice = rng.random()
        if wire is not None and choice < 0.08:
            wire.cut()
        elif wire is not None and choice < 0.2:
            if wire.links is None:
                wire.connect()
        elif wire is not None and choice < 0.4:
            wire.step(rng.randrange(2))
        elif choice < 0.55:
            rng.choice(self.mesh.worlds).settle()
        elif choice < 0.55 + self.crash_share:
            self.crash(rng.randrange(len(self.mesh.worlds)))
        elif client.session is None:
            client.connect().flush(show=False)
        elif choice < 0.61:
            client.disconnect()
        elif choice < 0.75:
            client.receive(rng.randrange(1, 6))
        else:
            self.act(client)

    def crash(self, number: int) -> None:
        """Once what terminals confirmed is on disk (CURSOR_FLUSH_MS): nothing else tells what they knew."""
        world = self.mesh.worlds[number]
        for client in self.clients:
            if client.world is world:
                client.disconnect()
        world.core.store_cursors()
        world.settle()
        self.mesh.crash(number)

    def settle(self) -> None:
        for client in self.clients:
            if client.session is None:
                client.connect().flush(show=False)
        self.mesh.settle(lambda: sum(client.receive() for client in self.clients))

    def at_rest(self, client: Client, priority: int) -> bool:
        """Whether this screen is not in the middle of being shown the past again: only then people reckon from it."""
        session = client.session
        assert session is not None
        return session.delivery.window.acknowledged(priority) >= session.delivery.feed.again_upto

    def agree(self) -> None:
        """All nodes show the same, and hold the same operations."""
        first, *others = self.mesh.worlds
        for world in others:
            assert shown(world) == shown(first), self.seed
            assert audit(world) == audit(first), self.seed


class Shop(Outages):
    """Sales and deliveries by clients that write absolutes only."""

    nodes = (1, 5)
    crash_share = 0.02

    def __init__(self, directory: Path, seed: int) -> None:
        super().__init__(directory, seed)
        self.expected = {name: Decimal(100) for name in ("p-0", "p-1")}
        for name in self.expected:
            self.clients[0].do("products", name, "CREATE", {"stock": 100})
        self.settle()

    def act(self, client: Client) -> None:
        name = self.rng.choice(["p-0", "p-1"])
        on_screen = client.screen.get(("products", name), {}).get("stock")
        if on_screen is None or not self.at_rest(client, 2):
            return
        amount = self.rng.choice([-1, -2, -3, 5, -0.5])
        self.expected[name] += Decimal(str(amount))
        new = on_screen + amount
        client.submit(client.operation("products", name, "UPDATE", {"stock": int(new) if new == int(new) else new}))
