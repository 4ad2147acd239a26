"""One simulated evening, drawn from its seed: a store, its people, what they do, and everything that breaks."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from node.config.example import example_toml
from node.config.reading import parse
from node.config.sections import Config
from node.simulation.dialling import Dialler
from node.simulation.event_queue import Clockwork
from node.simulation.faults import Faults
from node.simulation.intentions import Ledger
from node.simulation.invariants import Checks, Violation
from node.simulation.machine import Machine
from node.simulation.network import Network, Route
from node.simulation.people import People
from node.simulation.terminal import Manner, Terminal, Told
from node.simulation.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.config.sections import Config

LINES_KEPT = 60
CALM_MS = 75_000
"""Without a new row for so long, and nothing under way, two comparisons of all that the nodes hold have passed."""

PATIENCE_MS = 1_800_000
"""How long the nodes may take to agree once nothing breaks any more."""

KINDS = ("pos", "pos", "waiter", "kds", "monitor")


@define
class Outcome:
    """What one seed came to. problem: None where everything held."""

    seed: int
    digest: str
    hours: float
    operations: int
    faults: dict[str, int]
    problem: str | None = None
    lines: Sequence[str] = ()


@define(eq=False)
class Evening:
    """A store with its nodes and terminals, in one directory."""

    seed: int
    directory: Path
    transcript: Transcript
    rng: random.Random = field(init=False)
    clockwork: Clockwork = field(init=False)
    network: Network = field(init=False)
    checks: Checks = field(init=False)
    ledger: Ledger = field(factory=Ledger)
    machines: list[Machine] = field(factory=list)
    dialled: list[Dialler] = field(factory=list)
    terminals: list[Terminal] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.rng = random.Random(f"comanda {self.seed}")
        self.clockwork = Clockwork(self.transcript)
        self.network = Network(self.clockwork, self._chance("network"), carried=self.transcript.bytes)
        self.checks = Checks(machines=self.machines)
        self._build()

    def _chance(self, of: str) -> random.Random:
        """A stream of its own, so that more chance in one place does not change every other."""
        return random.Random(f"comanda {self.seed} {of}")

    # ------------------------------------------------------------------ the store

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
                    self._chance(f"n{number}"),
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
        told = Told(self._confirmed, self._refused, lambda _, operations: self.ledger.forget(operations))
        for machine in self.machines:
            for number in range(rng.randrange(1, 4)):
                self._terminal(machine, number, told)

    def _link(self, number: int, other: int, role: str, *, wide: bool) -> None:
        one, two = self.machines[number], self.machines[other]
        known = next((d.route for d in self.dialled if {d.machine, d.other} == {one, two}), None)
        least, most = (5, 200) if wide else (1, 10)
        route = known or Route(self.network, f"{one.node_id} - {two.node_id}", least, most)
        self.dialled.append(Dialler(one, two, role, route))

    def route_to(self, name: str, machine: Machine) -> Route:
        """A terminal's way to a node."""
        return Route(self.network, f"{name} - {machine.node_id}", 0, self.rng.choice([1, 5, 40]))

    def _terminal(self, machine: Machine, number: int, told: Told) -> None:
        rng, name = self.rng, f"t{number}-{machine.node_id}"
        lazy = rng.random() < 0.3
        manner = Manner(
            confirms=rng.random() < 0.75,
            pongs=rng.random() < (0.4 if lazy else 0.8),
            stamps=rng.random() < 0.9,
            bare_version=rng.random() < 0.3,
            clock_ms=rng.choice([0, 0, 0, 0, rng.randrange(-90_000, 90_000), -86_400_000, 10 * 365 * 86_400_000]),
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
            self._chance(name),
            told,
            lazy=lazy,
        )
        self.terminals.append(terminal)

    def _confirmed(self, terminal: Terminal, message: dict[str, Any]) -> None:
        self.checks.was_confirmed(terminal, message)
        self.people.confirmed(terminal, message)

    def _refused(self, terminal: Terminal, message: dict[str, object]) -> None:
        self.checks.was_refused(terminal, message)
        self.people.refused(terminal, message)

    # ------------------------------------------------------------------ the evening

    people: People = field(init=False)
    faults: Faults = field(init=False)

    def run(self) -> Outcome:
        """The whole evening; what came of it."""
        problem = None
        try:
            self._run()
        except Violation as violation:
            problem = str(violation)
        except Exception as error:  # a node that fails in any other way fails too
            problem = f"{type(error).__name__}: {error}"
            if self.transcript.say is not None:
                raise
        if problem is not None:
            self.transcript.note("invariant", f"VIOLATED: {problem}")
        return Outcome(
            self.seed,
            self.transcript.digest,
            self.clockwork.now_ms / 3_600_000,
            self.people.operations,
            dict(sorted(self.transcript.faults.items())),
            problem,
            tuple(self.transcript.kept) if problem is not None else (),
        )

    def _run(self) -> None:
        rng = self.rng
        self.people = People(self)
        self.faults = Faults(self)
        shape = ", ".join(f"{d.machine.node_id} -> {d.other.node_id} ({d.role})" for d in self.dialled)
        self.transcript.note("store", f"seed {self.seed}: {len(self.machines)} nodes {shape}")
        for machine in self.machines:
            machine.start()
        for terminal in self.terminals:
            self.transcript.note(terminal.name, f"{terminal.kind}, {terminal.manner}, lazy={terminal.lazy}")
            terminal.connect()
        self.pass_time(3_000)
        self.people.open_store()
        actions, rush = rng.choice([20, 60, 120, 200]), rng.choice([0.0, 0.0, 0.3, 0.7])
        for _ in range(rng.randrange(actions // 2, actions)):
            if rng.random() < self.faults.share:
                self.faults.something()
            else:
                self.people.something()
            if rng.random() < rush:
                continue  # in the same moment
            self.pass_time(rng.randrange(5_000, 900_000) if rng.random() < 0.06 else int(rng.expovariate(1 / 200)))
        self._calm()
        self.checks.at_end(self.machines, self.terminals, self.ledger)
        self.checks.retrievable(rng.choice(self.machines), rng)
        for machine in self.machines:
            machine.stop()

    def pass_time(self, ms: int) -> None:
        self.clockwork.run(self.clockwork.now_ms + ms)

    def _calm(self) -> None:
        """Everything is mended; the evening ends when nobody has anything left to say."""
        self.transcript.note("store", "everything is mended")
        self.faults.mend()
        self.people.go_quiet()
        until = self.clockwork.now_ms + PATIENCE_MS
        while self.clockwork.now_ms < until:
            self.pass_time(5_000)
            self.people.confirm_all()
            calm_ms = self.clockwork.now_ms - max(self.checks.last_row_ms, self._last_cut_ms())
            if calm_ms > CALM_MS and not self._busy():
                return
            for machine in self.machines:
                machine.busy()
        raise Violation(f"the nodes never come to rest: {', '.join(self._busy())}")

    def _last_cut_ms(self) -> int:
        """When the youngest link began."""
        return max((dialling.since_ms for dialling in self.dialled), default=0)

    def _busy(self) -> list[str]:
        """Who is not at rest yet."""
        found = [f"{d.machine.node_id} has no link to {d.other.node_id}" for d in self.dialled if d.link is None]
        for machine in self.machines:
            core = machine.core
            if core.replica.log.group.pending() or not machine.disk.idle or not core.health.ok:
                found.append(f"{machine.node_id} is writing")
            if self.checks.parked(machine):
                found.append(f"{machine.node_id} has parked operations")
            if any(link.compare_owed for link in core.links.values()):
                found.append(f"{machine.node_id} is to compare")
            found += [
                f"{terminal} has not been sent everything"
                for terminal, session in core.sessions.online.items()
                if min(session.delivery.window.sent) < core.log.head
                or (session.delivery.window.under_way and machine.door.holders[terminal].end.answers)
            ]
        found += [f"{t.name} is not connected" for t in self.terminals if t.session is None]
        return found


def _configuration(node_id: str, below: bool, limits: dict[str, int]) -> Config:
    config = _parsed()
    return evolve(
        config,
        node=evolve(config.node, id=node_id),
        links=evolve(config.links, upstream="ws://other" if below else None),
        limits=evolve(config.limits, ring_bytes=2**22, **limits),
    )


_cache: list[Config] = []


def _parsed() -> Config:
    """What `comanda init` writes, and an order's total and discount as one register."""
    if not _cache:
        _cache.append(parse(example_toml() + '[entities.orders]\ngroups = [["total", "discount"]]\n'))
    return _cache[0]


def simulate(seed: int, directory: Path, say: Callable[[str], None] | None = None) -> Outcome:
    """One evening in an empty directory. say: called with each line of its transcript."""
    transcript = Transcript(deque(maxlen=LINES_KEPT), say)
    return Evening(seed, directory, transcript).run()
