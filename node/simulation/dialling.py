"""A configured link of a simulated node: the core's dialling, run over simulated routes."""

from __future__ import annotations

from functools import partial

from attrs import define, field

from node.core.admission import Caller
from node.core.links.dialling import TWIN, Backoff, Dialling, Wait, challenge_of
from node.core.links.link import Link
from node.simulation.machine import Machine
from node.simulation.network import End, Route


@define(eq=False)
class Dialler:
    """`machine` dials `other`. role: what the other one is to it: upstream | peer."""

    machine: Machine
    other: Machine
    role: str
    route: Route
    since_ms: int = 0
    """When its youngest connection began."""
    _dialling: Dialling = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.machine.on_start.append(self._begin)

    def _begin(self) -> None:
        """The machine's process has started."""
        machine, links = self.machine, self.machine.config.links
        self._dialling = Dialling(
            links=machine.core.links.by_node,
            attempts=machine.attempts,
            backoff=Backoff(links.backoff_ms, links.backoff_max_ms),
            paused_ms=links.paused_s * 1000,
            connect_timeout_ms=links.connect_timeout_ms,
            uniform=machine.rng.uniform,
        )
        self._go_on()

    def _go_on(self) -> None:
        machine, route = self.machine, self.route
        step = self._dialling.next(machine.now().mono_ms)
        if isinstance(step, Wait):
            machine.disk.later(step.ms, self._go_on)
        elif not route.open:
            machine.disk.later(step.connect_ms, partial(self._over, None))
        else:
            machine.disk.later(2 * route.delay(), partial(self._arrived, step.attempt))

    def _arrived(self, attempt: int) -> None:
        machine, other, route = self.machine, self.other, self.route
        if not other.alive or not route.open:
            self._over(None)
            return
        core = machine.core
        line = route.network.open(route)
        here, there = line.ends if self._first else (line.ends[1], line.ends[0])
        name = f"{machine.rng.getrandbits(64):x}"
        challenge = challenge_of(core.instance, attempt)
        link = Link(
            host=core.links,
            role=self.role,
            connection=here,
            session_id=name,
            url="ws://other",
            challenge=challenge,
        )
        self._dialling.connected(link)
        machine.door.dialled.append(here)

        def received(payload: bytes) -> None:
            machine.busy_with(payload)
            link.receive(payload)

        def ended(code: int, reason: str) -> None:
            core.links.unlink(link)
            machine.door.dialled.remove(here)
            if code == TWIN:
                core.links.report_twin(f"{self.other.node_id} says {reason!r}")
            self._over(code)

        here.on_text, here.on_end = received, ended
        self.since_ms = machine.clockwork.now_ms
        role = "peer" if self.role == "peer" else "downstream"
        realm = core.replica.settings.realm
        caller = Caller(machine.node_id, node=True, instance=core.instance, attempt=attempt, realm=realm)
        other.door.accept_link(caller, role, (core.links.epoch, core.replica.log.committed), there)

    @property
    def _first(self) -> bool:
        """Whether this machine is the route's first side."""
        return self.route.name.startswith(f"{self.machine.node_id} ")

    def _over(self, code: int | None) -> None:
        """An attempt, or its link, has ended. code: the close code of the connection, None without one."""
        self._dialling.ended(self.machine.now().mono_ms, code)
        self._go_on()

    @property
    def link(self) -> Link | None:
        """The link with the other node that is up on both sides, whoever dialled it."""
        here, there = _up(self.machine, self.other), _up(self.other, self.machine)
        if here is None or there is None or not isinstance(here.connection, End):
            return None
        return here if there.connection in here.connection.line.ends else None


def _up(one: Machine, other: Machine) -> Link | None:
    """The link that `one` takes to be up with `other`."""
    link = one.core.links.by_node.get(other.node_id) if one.alive else None
    return link if link is not None and link.state == "up" else None
