"""What a node does by the clock: one table of names and periods. A shell runs it, and passes the time.

    probe        50 ms   ping the terminals that do not confirm, so that their pongs say what arrived
    change      100 ms   where a terminal came or went: tell monitors and linked nodes; tell monitors what was put off
    second        1 s    read again what could not be read; leases, cursors, links, parked operations (`Core.tick`)
    status     [time] status_interval_s    measure the connections; tell monitors who is here (less often, if many)
    metrics    [time] metrics_interval_s   tell monitors the figures
    figures      15 s    take a point of the last hours' figures
    checkpoint   30 s    move the WAL into the database file, where something was committed and the disk works

How often two nodes compare what they hold is in links/anti_entropy.py: a link looks at it each second.

The trio app asks every turn (the shortest period), and twice a second while nothing is read, written or connected.
A simulated machine asks once a second, and once in twenty seconds while nothing happens: every job that is due runs,
in the order of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from crdt.classes import define
from node.core import monitors
from node.core.core import Core
from node.core.delivery.delivery import PING_INTERVAL_MS
from node.core.faults import Faults
from node.core.figures import POINT_MS

CHANGE_MS = 100
SECOND_MS = 1_000
CHECKPOINT_MS = 30_000

STATUS_BYTES_A_SECOND = 10_000
"""How much a monitor is told of who is here: the state of five hundred terminals each ten seconds."""


class Shell(Protocol):
    """What the program around a core does when a job of the table asks for it. No call blocks."""

    def read_again(self) -> None:
        """Try the reads that failed once more."""
        ...

    def heartbeat(self) -> None:
        """Measure every terminal's round trip, and drop those that were silent for too long."""
        ...

    def memory_mb(self) -> float:
        """Resident memory of the process."""
        ...

    def database_bytes(self) -> int:
        """Of the database and its WAL on the disk."""
        ...

    def checkpoint(self) -> None:
        """Move the WAL into the database file."""
        ...


@define(eq=False, kw_only=True)
class Job:
    """One line of the table. ran_ms: when it ran last, or when the schedule began."""

    name: str
    period_ms: float
    act: Callable[[], None]
    ran_ms: float
    may: Callable[[], bool] = lambda: True
    """Whether the job may run now. One that may not stays due."""

    def due(self, now_ms: float) -> bool:
        return now_ms - self.ran_ms >= self.period_ms and self.may()


@define(eq=False)
class Schedule:
    """The jobs of one node, in the order of the table. One that fails keeps no other from running."""

    jobs: Sequence[Job]
    faults: Faults

    @property
    def turn_ms(self) -> float:
        """How often to ask."""
        return min(job.period_ms for job in self.jobs)

    def step(self, now_ms: float) -> list[str]:
        """Run what is due; the names of what ran. now_ms: on a clock that never goes back."""
        ran = []
        for job in self.jobs:
            if job.due(now_ms):
                job.ran_ms = now_ms
                self.faults.guard(f"the job {job.name!r}", job.act)
                ran.append(job.name)
        return ran


def schedule(
    core: Core, shell: Shell, *, now_ms: float, status_ms: float | None, metrics_ms: float | None
) -> Schedule:
    """The table of a node that has just started. status_ms, metrics_ms: None leaves that job out."""
    checkpointed, told = _Checkpointed(core, shell), _Status(core)

    def second() -> None:
        shell.read_again()
        core.tick()

    def change() -> None:
        if core.sessions.changed():
            told.tell()
        else:
            told.go_on()

    def status() -> None:
        shell.heartbeat()
        told.tell()

    def metrics() -> None:
        if core.sessions.monitors():
            monitors.tell(core, monitors.performance(core, shell.memory_mb()))

    def figures() -> None:
        core.note_figures(shell.database_bytes(), int(shell.memory_mb() * 1_048_576))

    jobs = [
        Job(name="probe", period_ms=PING_INTERVAL_MS, act=core.probe_owed, ran_ms=now_ms),
        Job(name="second", period_ms=SECOND_MS, act=second, ran_ms=now_ms),
        Job(name="change", period_ms=CHANGE_MS, act=change, ran_ms=now_ms),
    ]
    if status_ms is not None:
        jobs.append(Job(name="status", period_ms=status_ms, act=status, ran_ms=now_ms))
    if metrics_ms is not None:
        jobs.append(Job(name="metrics", period_ms=metrics_ms, act=metrics, ran_ms=now_ms))
        jobs.append(Job(name="figures", period_ms=POINT_MS, act=figures, ran_ms=now_ms))
    jobs.append(
        Job(
            name="checkpoint",
            period_ms=CHECKPOINT_MS,
            act=checkpointed.run,
            ran_ms=now_ms,
            may=lambda: core.health.ok,
        )
    )
    return Schedule(jobs, core.replica.faults)


@define(eq=False)
class _Status:
    """Who is here: linked nodes are told what changed, monitors everything.

    free_ms: when monitors may be told again. The larger the last message, the later.
    """

    core: Core
    free_ms: float = 0
    _owed: bool = False

    def tell(self) -> None:
        self.core.links.neighbours.say(force=False)
        self._owed = True
        self.go_on()

    def go_on(self) -> None:
        """Tell the monitors what was put off."""
        now_ms = self.core.clock().mono_ms
        if self._owed and now_ms >= self.free_ms and self.core.sessions.monitors():
            message = monitors.terminal_status(self.core)
            monitors.tell(self.core, [message])
            self._owed, self.free_ms = False, now_ms + 1000 * len(message) / STATUS_BYTES_A_SECOND


@define(eq=False)
class _Checkpointed:
    """A checkpoint that is skipped when nothing was committed. commits: how many there were at the last one."""

    core: Core
    shell: Shell
    commits: int = 0

    def run(self) -> None:
        if self.core.statistics.commits != self.commits:
            self.commits = self.core.statistics.commits
            self.shell.checkpoint()
