"""A configured link of a simulated node: dialled for ever, with the runtime's back-off."""

from __future__ import annotations

from functools import partial

from attrs import define, field

from node.core.links.dialling import Backoff
from node.core.links.link import Link
from node.errors import AlreadyConnected
from node.simulation.machine import Machine
from node.simulation.network import End, Route

ACCEPTED_POLL_MS = 200
"""How soon a node dials again once the link that the other one dialled has ended."""


@define(eq=False)
class Dialling:
    """`machine` dials `other`. role: what the other one is to it: upstream | peer."""

    machine: Machine
    other: Machine
    role: str
    route: Route
    _backoff: Backoff = field(init=False)
    since_ms: int = 0
    """When its youngest connection began."""
    _attempt: int = 0

    def __attrs_post_init__(self) -> None:
        links = self.machine.config.links
        self._backoff = Backoff(links.backoff_ms, links.backoff_max_ms)
        self.machine.on_start.append(self._begin)

    def _begin(self) -> None:
        self._backoff.attempts = 0
        self._dial()

    def _later(self, delay_ms: float, action: partial[None]) -> None:
        self.machine.disk.later(delay_ms, action)

    def _dial(self) -> None:
        machine, route = self.machine, self.route
        there = machine.core.links.get(self.other.node_id)
        if there is not None and not there.dialled:
            self._later(ACCEPTED_POLL_MS, partial(self._dial))
        elif not route.open:
            self._later(machine.config.links.connect_timeout_ms, partial(self._over, machine.now().mono_ms, None))
        else:
            self._later(2 * route.delay(), partial(self._arrived, machine.now().mono_ms))

    def _arrived(self, began_ms: int) -> None:
        machine, other, route = self.machine, self.other, self.route
        if not other.alive or not route.open:
            self._over(began_ms, None)
            return
        core = machine.core
        line = route.network.open(route)
        here, there = line.ends if self._first else (line.ends[1], line.ends[0])
        now = machine.now()
        link = Link(core, self.role, here, "ws://other", True, None, f"{machine.rng.getrandbits(64):x}", now.wall_ms)
        machine.door.dialled.append(here)

        def received(payload: bytes) -> None:
            machine.busy_with(payload)
            link.receive(payload)

        def ended(code: int, reason: str) -> None:
            core.unlink(link)
            machine.door.dialled.remove(here)
            self._ended(link, began_ms, code, reason)

        here.on_text, here.on_end = received, ended
        self._attempt += 1
        self.since_ms = machine.clockwork.now_ms
        role = "peer" if self.role == "peer" else "downstream"
        claim, caller = (core.epoch, core.replica.log.committed), (core.instance, self._attempt)
        other.door.accept_link(machine.node_id, role, claim, caller, there)

    @property
    def _first(self) -> bool:
        """Whether this machine is the route's first side."""
        return self.route.name.startswith(f"{self.machine.node_id} ")

    def _ended(self, link: Link, began_ms: int, code: int, reason: str) -> None:
        if code == AlreadyConnected.code:
            self.machine.core.report_twin(f"{self.other.node_id} says {reason!r}")
        self._over(began_ms, link)

    def _over(self, began_ms: int, link: Link | None) -> None:
        """An attempt, or its link, has ended."""
        machine = self.machine
        self._backoff.ended(link is not None and link.was_up, machine.now().mono_ms - began_ms)
        self._later(self._backoff.wait_ms(machine.rng.uniform), partial(self._dial))

    @property
    def link(self) -> Link | None:
        """The link with the other node that is up on both sides, whoever dialled it."""
        here, there = _up(self.machine, self.other), _up(self.other, self.machine)
        if here is None or there is None or not isinstance(here.connection, End):
            return None
        return here if there.connection in here.connection.line.ends else None


def _up(one: Machine, other: Machine) -> Link | None:
    """The link that `one` takes to be up with `other`."""
    link = one.core.links.get(other.node_id) if one.alive else None
    return link if link is not None and link.state == "up" else None
