"""The restaurant of a simulated evening, drawn from its seed: nodes, the links between them, and terminals."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from node.config.example import example_toml
from node.config.reading import parse
from node.simulation.dialling import Dialler
from node.simulation.event_queue import Clockwork
from node.simulation.intentions import Ledger
from node.simulation.invariants import Checks
from node.simulation.machine import Machine
from node.simulation.network import Network, Route
from node.simulation.terminal import Manner, Terminal, Told
from node.simulation.transcript import Transcript

if TYPE_CHECKING:
    from node.config.sections import Config

KINDS = ("pos", "pos", "waiter", "kds", "monitor")


@define(eq=False)
class Restaurant:
    """In one directory. told: who hears what its terminals are told."""

    seed: int
    directory: Path
    transcript: Transcript
    told: Told
    rng: random.Random = field(init=False)
    clockwork: Clockwork = field(init=False)
    network: Network = field(init=False)
    checks: Checks = field(init=False)
    ledger: Ledger = field(factory=Ledger)
    machines: list[Machine] = field(factory=list)
    dialled: list[Dialler] = field(factory=list)
    terminals: list[Terminal] = field(factory=list)
    remembers_visits: bool = False
    """No node forgets which terminals were there, and their clocks agree on when."""

    def __attrs_post_init__(self) -> None:
        self.rng = random.Random(f"comanda {self.seed}")
        self.clockwork = Clockwork(self.transcript)
        self.network = Network(self.clockwork, self.chance("network"), carried=self._carried)
        self.checks = Checks(machines=self.machines, damaged=self.network.damaged)
        self._build()

    def _carried(self, frame: bytes) -> None:
        self.transcript.bytes(frame)
        self.checks.carried(frame)

    def chance(self, of: str) -> random.Random:
        """A stream of its own, so that more chance in one place does not change every other."""
        return random.Random(f"comanda {self.seed} {of}")

    def _build(self) -> None:
        rng = self.rng
        count = rng.choice([1, 1, 2, 2, 3, 3, 4, 5])
        limits = {
            "ring_rows": rng.choice([2, 8, 16_384]),
            "window_rows": rng.choice([3, 32, 1_024]),
            "resident_entities": rng.choice([1, 3, 10_000]),
        }
        above = [None if n == 0 or rng.random() < 0.25 else rng.randrange(n) for n in range(count)]
        peers = [(n, rng.randrange(n)) for n in range(1, count) if above[n] is None]
        if count > 2 and rng.random() < 0.4:
            one, other = rng.sample(range(count), 2)
            if other not in (above[one], one) and (one, other) not in peers:
                peers.append((one, other))
        for number in range(count):
            config = _configuration(f"n{number}", above[number] is not None, limits)
            self.machines.append(
                Machine(
                    self.clockwork,
                    self.transcript,
                    self.directory / f"n{number}",
                    config,
                    self.chance(f"n{number}"),
                    number=number,
                    committed=self.checks.committed,
                    failed=self.checks.failed,
                    booted=self.checks.booted,
                )
            )
        wide = rng.random() < 0.3
        for number, upper in enumerate(above):
            if upper is not None:
                self._link(number, upper, "upstream", wide=wide)
        for one, other in peers:
            self._link(one, other, "peer", wide=wide)
        for machine in self.machines:
            for number in range(rng.randrange(1, 4)):
                self._terminal(machine, number)

    def _link(self, number: int, other: int, role: str, *, wide: bool) -> None:
        one, two = self.machines[number], self.machines[other]
        known = next((d.route for d in self.dialled if {d.machine, d.other} == {one, two}), None)
        least, most = (5, 200) if wide else (1, 10)
        route = known or Route(self.network, f"{one.node_id} - {two.node_id}", least, most)
        self.dialled.append(Dialler(one, two, role, route))

    def route_to(self, name: str, machine: Machine) -> Route:
        """A terminal's way to a node."""
        return Route(self.network, f"{name} - {machine.node_id}", 0, self.rng.choice([1, 5, 40]))

    def _terminal(self, machine: Machine, number: int) -> None:
        rng, name = self.rng, f"t{number}-{machine.node_id}"
        lazy = rng.random() < 0.3
        manner = Manner(
            confirms=rng.random() < 0.75,
            pongs=rng.random() < (0.4 if lazy else 0.8),
            stamps=rng.random() < 0.9,
            bare_version=rng.random() < 0.3,
            clock_ms=rng.choice([0, 0, 0, 0, rng.randrange(-90_000, 90_000), -86_400_000, 10 * 365 * 86_400_000]),
            dated=rng.random() < 0.4,
            heartbeats=rng.random() < 0.8,
            reads_ms=rng.choice([0, 0, 0, rng.choice([20, 500])]),
            flushes_ms=rng.choice([0, 0, 0, rng.choice([100, 3_000])]),
        )
        if not manner.confirms:
            manner = evolve(manner, pongs=True) if rng.random() < 0.7 else manner
        kind = rng.choice(KINDS) if number else "pos"
        terminal = Terminal(
            self.clockwork,
            self.transcript,
            name,
            kind,
            manner,
            machine,
            self.route_to(name, machine),
            self.chance(name),
            self.told,
            lazy=lazy,
        )
        self.terminals.append(terminal)


def _configuration(node_id: str, below: bool, limits: dict[str, int]) -> Config:
    config = _parsed()
    return evolve(
        config,
        node=evolve(config.node, id=node_id),
        # However long a frame takes in an evening, its nodes stand in one house.
        links=evolve(config.links, upstream="ws://other" if below else None, far_ms=10**9),
        limits=evolve(config.limits, ring_bytes=2**22, **limits),
    )


_cache: list[Config] = []


def _parsed() -> Config:
    """What `comanda init` writes, and an order's total and discount as one register."""
    if not _cache:
        _cache.append(parse(example_toml() + '[entities.orders]\ngroups = [["total", "discount"]]\n'))
    return _cache[0]
