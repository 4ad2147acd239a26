"""Everything that breaks in a simulated store. Each seed breaks some kinds of things, and others never."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from node.core.sessions.sessions import CLOCKS_MS
from node.simulation.disk import Files
from node.simulation.people import People
from node.simulation.restaurant import Restaurant
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from node.simulation.machine import Machine
    from node.simulation.network import Route
    from node.simulation.terminal import Terminal

HOURS_MS = 3_600_000
CLOCK_2030_MS = 4 * 365 * 24 * HOURS_MS


@define(eq=False)
class Faults:
    """Draws what breaks next. share: how often something does, of all that happens."""

    restaurant: Restaurant
    people: People
    rng: random.Random = field(init=False)
    share: float = field(init=False)
    kinds: list[Callable[[], None]] = field(init=False)
    over: bool = False
    _backups: dict[str, list[Path]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        rng = self.rng = self.restaurant.rng
        self.share = rng.choice([0.0, 0.1, 0.2, 0.4])
        network = [
            self._cut,
            self._double,
            self._damage,
            self._block_one_way,
            self._partition,
            self._terminal_leaves,
            self._terminal_moves,
        ]
        clocks = [self._clock_jumps, self._clock_2030]
        machines = [*clocks, self._terminal_clock_set, self._stop, self._slow_disk]
        losses = [
            self._kill,
            self._kill_soon,
            self._kill_soon,
            self._power_cut,
            self._disk_fails,
            self._disk_full,
            self._unreadable,
            self._restore,
            self._set_back,
        ]
        exact = self.people.authors.absolutes
        every = [*network, *machines, *([self._kill_when_known] if exact else losses)]
        some = rng.choice([0.2, 0.4, 0.7])
        self.kinds = [kind for kind in every if rng.random() < some] or [rng.choice(every)]
        self.restaurant.ledger.exact = exact
        for machine in self.restaurant.machines:
            machine.drift = rng.choice([0, 0, rng.randrange(-200, 200)])
            machine.offset_ms = rng.choice([0, 0, rng.randrange(-2_000, 2_000), rng.randrange(-HOURS_MS, HOURS_MS)])
        offsets = [machine.offset_ms for machine in self.restaurant.machines]
        agree = max(offsets) - min(offsets) < CLOCKS_MS // 2 and not any(kind in self.kinds for kind in clocks)
        self.restaurant.remembers_visits = exact and agree

    def something(self) -> None:
        self.rng.choice(self.kinds)()

    def _note(self, kind: str, who: str, what: str) -> None:
        self.restaurant.transcript.fault(kind, who, what)

    def _later(self, least_ms: int, most_ms: int, action: Callable[[], None]) -> None:
        self.restaurant.clockwork.later(self.rng.randrange(least_ms, most_ms), action)

    def _machine(self) -> Machine | None:
        """One that runs."""
        running = [machine for machine in self.restaurant.machines if machine.alive]
        return self.rng.choice(running) if running else None

    # ------------------------------------------------------------------ network

    def _links(self) -> list[Route]:
        """The ways between nodes, each once."""
        return list({id(d.route): d.route for d in self.restaurant.dialled}.values())

    def _route(self) -> Route | None:
        routes = self._links() + [terminal.route for terminal in self.restaurant.terminals]
        return self.rng.choice(routes) if routes else None

    def _cut(self) -> None:
        route = self._route()
        if route is not None and route.lines:
            self._note("connection cut", route.name, "the connection is cut")
            route.cut()

    def _double(self) -> None:
        route = self._route()
        if route is not None and not route.doubled:
            route.doubled = self.rng.randrange(1, 10)
            self._note("doubled frames", route.name, f"the next {route.doubled} frames with operations arrive twice")

    def _damage(self) -> None:
        """Operations come damaged, and whole when they are asked for again."""
        routes = self._links()
        route = self.rng.choice(routes) if routes else None
        if route is not None and not route.damaged:
            route.damaged = self.rng.randrange(1, 4)
            self._note("damaged frames", route.name, f"in the next {route.damaged} frames an operation is damaged")

    def _block_one_way(self) -> None:
        route = self._route()
        if route is not None and route.open:
            direction = self.rng.randrange(2)
            self._note("one-way cut", route.name, f"nothing gets through in direction {direction}")
            route.block(direction)
            self._later(100, 30_000, route.unblock)

    def _partition(self) -> None:
        """One node, or some, are out of everybody's reach."""
        routes = self._links()
        hit = [route for route in routes if route.open and self.rng.random() < 0.6]
        if not hit:
            return
        self._note("partition", "network", "no way between " + ", ".join(route.name for route in hit))
        lasts = self.rng.choice([2_000, 20_000, 600_000])
        for route in hit:
            route.block(0)
            route.block(1)
            self.restaurant.clockwork.later(self.rng.randrange(lasts // 2, lasts), route.unblock)

    def _terminal_leaves(self) -> None:
        terminal = self.rng.choice(self.restaurant.terminals)
        if terminal.wants:
            unnoticed = self.rng.random() < 0.4
            self._note("terminal gone", terminal.name, f"is out of reach{', unnoticed' * unnoticed}")
            terminal.leave(unnoticed=unnoticed)

    def _terminal_moves(self) -> None:
        """A terminal goes to another node, with what it has had no answer to."""
        terminal = self.rng.choice(self.restaurant.terminals)
        machine = self.rng.choice(self.restaurant.machines)
        if machine is terminal.machine:
            return
        if self.rng.random() < 0.7:  # in the middle of something
            for _ in range(self.rng.randrange(1, 4)):
                self.people.write(terminal)
        self._later(0, 2 * terminal.route.most_ms + 5, partial(self._move, terminal, machine))

    def _move(self, terminal: Terminal, machine: Machine) -> None:
        if self.over or machine is terminal.machine:
            return
        full = self.rng.random() < 0.7
        self._note("terminal moved", terminal.name, f"goes to {machine.node_id}{', with what it shows' * (not full)}")
        terminal.leave(unnoticed=self.rng.random() < 0.5)
        terminal.move(machine, self.restaurant.route_to(terminal.name, machine), full=full)
        self.restaurant.ledger.claims.update(terminal.names)
        terminal.come_back(full=full, queue=True)
        if self.rng.random() < 0.2:  # and on to a third, with the same still unanswered
            further = self.rng.choice(self.restaurant.machines)
            self._later(0, 2 * terminal.route.most_ms + 5, partial(self._move, terminal, further))
        else:
            self._later(200, 5_000, partial(self._go_on, terminal))

    def _go_on(self, terminal: Terminal) -> None:
        """It goes on with what it did, and is perhaps carried out of reach."""
        if not self.over:
            self.people.write(terminal)
            if self.rng.random() < 0.5:
                terminal.leave(unnoticed=self.rng.random() < 0.4)

    # ------------------------------------------------------------------ clocks

    def _clock_jumps(self) -> None:
        machine = self._machine()
        if machine is not None:
            by = self.rng.choice([-1, 1]) * self.rng.choice([500, 60_000, 2 * HOURS_MS, 30 * 24 * HOURS_MS])
            self._note("clock jump", machine.node_id, f"its clock jumps by {by} ms")
            machine.offset_ms += by

    def _terminal_clock_set(self) -> None:
        """Somebody sets a terminal's clock, rightly or wrongly, perhaps while something waits to be sent."""
        terminal = self.rng.choice(self.restaurant.terminals)
        by = self.rng.choice([0, 0, 90_000, -90_000, -3 * HOURS_MS, 24 * HOURS_MS])
        if by != terminal.manner.clock_ms:
            self._note("terminal's clock set", terminal.name, f"its clock is set, and shows {by} ms too much")
            terminal.set_clock(by)

    def _clock_2030(self) -> None:
        """A clock in 2030, put right later."""
        machine = self._machine()
        if machine is None:
            return
        before = machine.offset_ms
        self._note("clock in 2030", machine.node_id, "its clock is in 2030")
        machine.offset_ms = CLOCK_2030_MS

        def put_right() -> None:
            machine.offset_ms = before

        self._later(1_000, HOURS_MS, put_right)

    # ------------------------------------------------------------------ processes

    def _start_later(self, machine: Machine) -> None:
        self.restaurant.clockwork.later(self.rng.choice([200, 2_000, 300_000]), partial(self._start, machine))

    def _start(self, machine: Machine) -> None:
        if not machine.alive:
            machine.start()

    def _kill(self) -> None:
        machine = self._machine()
        if machine is not None:
            self._kill_this(machine)

    def _kill_soon(self) -> None:
        """In the second after something was stored, in which not everything is that goes with it."""
        machine = self._machine()
        if machine is None:
            return
        start = machine.starts

        def kill() -> None:
            if machine.alive and machine.starts == start and not self.over:
                self._kill_this(machine)

        machine.after_rows = partial(self._later, 0, 1_000, kill)

    def _kill_when_known(self) -> None:
        """Once what terminals confirmed is on disk: nothing else tells what they knew."""
        machine = self._machine()
        if machine is None or any(s.delivery.window.dirty for s in machine.core.sessions.online.values()):
            return
        if not machine.disk.idle or machine.core.replica.log.group.pending():
            return
        self._kill_this(machine)

    def _kill_this(self, machine: Machine) -> None:
        self._note("process killed", machine.node_id, "kill -9")
        machine.crash()
        self._start_later(machine)

    def _stop(self) -> None:
        machine = self._machine()
        if machine is not None and machine.core.health.ok and not self._unsettled(machine):
            self._note("clean restart", machine.node_id, "is stopped")
            machine.stop()
            self._start_later(machine)

    def _unsettled(self, machine: Machine) -> bool:
        """Whether its disk refuses at this moment."""
        return machine.disk.doom is not None or not machine.disk.idle or not machine.core.health.ok

    def _power_cut(self) -> None:
        machine = self._machine()
        if machine is None or machine.disk.doom is not None:
            return

        def met(kind: str) -> None:
            self._note(f"power cut, commit {kind}", machine.node_id, f"power cut in a commit: {kind}")
            self._start_later(machine)

        machine.power_cut_in_next_commit(met)

    # ------------------------------------------------------------------ disks

    def _slow_disk(self) -> None:
        machine = self._machine()
        if machine is not None:
            self._note("slow disk", machine.node_id, "its disk is slow")
            disk = machine.disk
            disk.slow = self.rng.choice([10, 200])
            disk.slow_reads = disk.slow if self.rng.random() < 0.5 else 1  # what it reads may be in memory still

            def quick() -> None:
                disk.slow = disk.slow_reads = 1

            self._later(1_000, 60_000, quick)

    def _unreadable(self) -> None:
        """For a while some reads fail, or nearly all."""
        machine = self._machine()
        if machine is None:
            return
        self._note("failed reads", machine.node_id, "its disk cannot be read")
        disk = machine.disk
        disk.unreadable = self.rng.choice([0.5, 0.7, 0.9])

        def readable() -> None:
            disk.unreadable = 0.0

        self._later(500, 60_000, readable)

    def _disk_fails(self) -> None:
        """A commit fails somewhere in its middle; a while later commits work again."""
        machine = self._machine()
        if machine is None:
            return
        self._note("failed commit", machine.node_id, "its disk fails in the middle of a commit")
        disk = machine.disk
        disk.interrupt_after(self.rng.randrange(1, 400))
        self._mend_later(machine, lambda: disk.interrupt_after(None))

    def _disk_full(self) -> None:
        machine = self._machine()
        if machine is None:
            return
        self._note("disk full", machine.node_id, "its disk is full")
        disk = machine.disk
        disk.fill(full=True)
        self._mend_later(machine, lambda: disk.fill(full=False))

    def _mend_later(self, machine: Machine, mend: Callable[[], None]) -> None:
        disk = machine.disk

        def mended() -> None:
            if not disk.gone:
                mend()

        self._later(500, 20_000, mended)

    def _restore(self) -> None:
        """A backup is made, and some time later it is put back, or an earlier one."""
        machine = self._machine()
        if machine is None or not machine.core.health.ok or self._unsettled(machine):
            return
        backups = self._backups.setdefault(machine.node_id, [])
        backup = machine.directory.parent / f"{machine.node_id}.{len(backups)}.backup"
        try:
            machine.backup(backup)
        except StorageError:  # its disk refuses just now
            return
        backups.append(backup)
        self.restaurant.transcript.note(machine.node_id, "is backed up")
        self._sooner_or_later(
            lambda: self._put_back(machine, lambda: machine.restore(self.rng.choice(backups)), "backup restored")
        )

    def _set_back(self) -> None:
        """The database file is set back to what it was, behind the node's back; and then perhaps forward again."""
        machine = self._machine()
        if machine is None:
            return
        copy = partial(self._copy, machine)
        if self.rng.random() < 0.5:
            copy()
        else:  # in the second after something was stored, in which not everything is that goes with it
            machine.after_rows = partial(self._later, 0, 1_000, copy)

    def _copy(self, machine: Machine) -> None:
        if machine.alive and not self._unsettled(machine):
            self.restaurant.transcript.note(machine.node_id, "its database is copied")
            older = Files.take(machine.directory, note=False)
            self._sooner_or_later(lambda: self._to_and_fro(machine, older))

    def _to_and_fro(self, machine: Machine, older: Files) -> None:
        newer = None if not machine.alive or self._unsettled(machine) else Files.take(machine.directory, note=False)
        self._put_back(machine, lambda: older.put_back(machine.directory), "database set back")
        if newer is not None and self.rng.random() < 0.8:
            again = partial(self._put_back, machine, lambda: newer.put_back(machine.directory), "database set back")
            self._sooner_or_later(again)

    def _sooner_or_later(self, action: Callable[[], None]) -> None:
        self._later(1_000, self.rng.choice([5_000, 60_000, 600_000]), action)

    def _put_back(self, machine: Machine, put_back: Callable[[], None], kind: str) -> None:
        if self.over:
            return
        others = [other for other in self.restaurant.machines if other is not machine]
        if not machine.alive or not all(other.alive for other in others):
            return  # nobody could say what the others hold
        self._note(kind, machine.node_id, kind)
        self.restaurant.checks.before_loss(machine, others)
        for terminal in self.restaurant.terminals:  # what they show is not what this database says they were shown
            if terminal.machine is machine:
                terminal.blank = True
                self.restaurant.ledger.forget(terminal.names)
        machine.crash()
        put_back()
        machine.start()

    # ------------------------------------------------------------------ the end

    def mend(self) -> None:
        """Nothing is broken any more, and nothing breaks."""
        self.over = True
        for route in [d.route for d in self.restaurant.dialled] + [t.route for t in self.restaurant.terminals]:
            route.unblock()
            route.damaged = 0
        for machine in self.restaurant.machines:
            if machine.alive:
                machine.disk.doom = None
                machine.disk.slow = machine.disk.slow_reads = 1
                machine.disk.unreadable = 0.0
                machine.disk.interrupt_after(None)
                machine.disk.fill(full=False)
            else:
                machine.start()
