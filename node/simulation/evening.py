"""One simulated evening, drawn from its seed: a store, its people, what they do, and everything that breaks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from node.simulation.archives import Archives
from node.simulation.faults import Faults
from node.simulation.invariants import Violation
from node.simulation.people import People
from node.simulation.restaurant import Restaurant
from node.simulation.terminal import Terminal, Told
from node.simulation.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from node.simulation.machine import Machine

LINES_KEPT = 60
CALM_MS = 75_000
"""Without a new row for so long, and nothing under way, two comparisons of all that the nodes hold have passed."""

PATIENCE_MS = 1_800_000
"""How long the nodes may take to agree once nothing breaks any more."""


@define
class Outcome:
    """What one seed came to. problem: None where everything held. cpu_s: what it cost, where that was measured."""

    seed: int
    digest: str
    hours: float
    operations: int
    faults: dict[str, int]
    problem: str | None = None
    lines: Sequence[str] = ()
    cpu_s: float = 0.0


@define(eq=False)
class Evening:
    """What happens at a restaurant, until everything is mended and calm."""

    seed: int
    directory: Path
    transcript: Transcript
    restaurant: Restaurant = field(init=False)
    people: People = field(init=False)
    faults: Faults = field(init=False)

    def __attrs_post_init__(self) -> None:
        told = Told(self._confirmed, self._refused, self._unknown, self._held)
        self.restaurant = Restaurant(self.seed, self.directory, self.transcript, told)

    def _confirmed(self, terminal: Terminal, machine: Machine, message: dict[str, Any]) -> None:
        self.restaurant.checks.was_confirmed(terminal, machine, message)
        self.people.confirmed(terminal, message)

    def _refused(self, terminal: Terminal, machine: Machine, message: dict[str, object]) -> None:
        self.restaurant.checks.was_refused(terminal, machine, message)
        self.people.refused(terminal, message)

    def _unknown(self, _: Terminal, operations: Iterable[str]) -> None:
        self.restaurant.ledger.forget(operations)

    def _held(self, machine: Machine, key: tuple[str, str], version: int) -> Iterable[str]:
        return self.restaurant.checks.holdings.of(machine, key, version)

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
        finally:
            for machine in self.restaurant.machines:
                if machine.alive:  # it did not come to its end
                    machine.close_files()
        if problem is not None:
            self.transcript.note("invariant", f"VIOLATED: {problem}")
        return Outcome(
            self.seed,
            self.transcript.digest,
            self.restaurant.clockwork.now_ms / 3_600_000,
            self.people.authors.operations,
            dict(sorted(self.transcript.faults.items())),
            problem,
            tuple(self.transcript.kept) if problem is not None else (),
        )

    def _run(self) -> None:
        rng = self.restaurant.rng
        self.people = People(self.restaurant)
        self.faults = Faults(self.restaurant, self.people)
        shape = ", ".join(f"{d.machine.node_id} -> {d.other.node_id} ({d.role})" for d in self.restaurant.dialled)
        self.transcript.note("store", f"seed {self.seed}: {len(self.restaurant.machines)} nodes {shape}")
        for machine in self.restaurant.machines:
            machine.start()
        for terminal in self.restaurant.terminals:
            self.transcript.note(terminal.name, f"{terminal.kind}, {terminal.manner}, lazy={terminal.lazy}")
            terminal.connect()
        self.pass_time(3_000)
        self.people.open_store()
        archives = Archives(self.restaurant, self.restaurant.chance("archives"))
        archives.begin()
        actions, rush = rng.choice([20, 60, 120, 200]), rng.choice([0.0, 0.0, 0.3, 0.7])
        for _ in range(rng.randrange(actions // 2, actions)):
            if rng.random() < self.faults.share:
                self.faults.something()
            else:
                self.people.something()
            if rng.random() < rush:
                continue  # in the same moment
            self.pass_time(rng.randrange(5_000, 900_000) if rng.random() < 0.06 else int(rng.expovariate(1 / 200)))
        archives.over = True
        self._calm()
        self.restaurant.checks.at_end(self.restaurant.machines, self.restaurant.terminals, self.restaurant.ledger)
        self.restaurant.checks.retrievable(rng.choice(self.restaurant.machines), rng)
        for machine in self.restaurant.machines:
            machine.stop()

    def pass_time(self, ms: int) -> None:
        self.restaurant.clockwork.run(self.restaurant.clockwork.now_ms + ms)

    def _calm(self) -> None:
        """Everything is mended; the evening ends when nobody has anything left to say."""
        self.transcript.note("store", "everything is mended")
        self.faults.mend()
        self.people.go_quiet()
        until = self.restaurant.clockwork.now_ms + PATIENCE_MS
        while self.restaurant.clockwork.now_ms < until:
            self.pass_time(5_000)
            self.people.confirm_all()
            calm_ms = self.restaurant.clockwork.now_ms - max(self.restaurant.checks.last_row_ms, self._last_cut_ms())
            if calm_ms > CALM_MS and not self._busy():
                return
            for machine in self.restaurant.machines:
                machine.busy()
        raise Violation(f"the nodes never come to rest: {', '.join(self._busy())}")

    def _last_cut_ms(self) -> int:
        """When the youngest link began."""
        return max((dialling.since_ms for dialling in self.restaurant.dialled), default=0)

    def _busy(self) -> list[str]:
        """Who is not at rest yet."""
        found = [
            f"{d.machine.node_id} has no link to {d.other.node_id}" for d in self.restaurant.dialled if d.link is None
        ]
        for machine in self.restaurant.machines:
            core = machine.core
            if core.replica.log.group.pending() or not machine.disk.idle or not core.health.ok:
                found.append(f"{machine.node_id} is writing")
            if self.restaurant.checks.parked(machine):
                found.append(f"{machine.node_id} has parked operations")
            if any(link.compare_owed for link in core.links.by_node.values()):
                found.append(f"{machine.node_id} is to compare")
            found += [
                f"{terminal} has not been sent everything"
                for terminal, session in core.sessions.online.items()
                if min(session.delivery.window.sent) < core.log.head
                or (session.delivery.window.under_way and machine.door.holders[terminal].end.answers)
            ]
        found += [f"{t.name} is not connected" for t in self.restaurant.terminals if t.session is None]
        return found


def simulate(seed: int, directory: Path, say: Callable[[str], None] | None = None) -> Outcome:
    """One evening in an empty directory. say: called with each line of its transcript."""
    transcript = Transcript(deque(maxlen=LINES_KEPT), say)
    return Evening(seed, directory, transcript).run()
