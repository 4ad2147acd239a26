"""Who is connected to a simulated node: connections arrive, wait for a place under their name, and end.

As the runtime's endpoint does it, without sockets.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field

from node.core.links.link import Link
from node.core.sessions.session import Session
from node.errors import AlreadyConnected, StaleAttempt
from node.simulation.network import End
from node.wire.links.handshake import Hello

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.core.sessions.identity import Identity
    from node.simulation.machine import Machine  # noqa: TC004 (it imports this file)

PROBE_MS = 500
"""How long a connection under a name that is connected already waits for the old one to answer."""


@define(eq=False)
class Seat:
    """Who is connected under one name."""

    end: End
    session: Session | Link
    instance: str = ""
    attempt: int = 0


@define(eq=False)
class Door:
    """The connections of one machine. dialled: its ends of those to other nodes."""

    machine: Machine
    seats: dict[str, Seat] = field(factory=dict)
    dialled: list[End] = field(factory=list)
    _arriving: list[End] = field(factory=list)
    """Connections that wait for a place."""

    def accept_terminal(self, identity: Identity, end: End, *, full: bool) -> None:
        """A terminal's connection is there. One under the same name that still answers keeps its place."""
        end.pause_reading()
        self._arriving.append(end)
        self._make_room(identity.terminal_id, end, "", 0, partial(self._seat_terminal, identity, end, full))

    def _seat_terminal(self, identity: Identity, end: End, full: bool) -> None:
        end.line.noted = self.machine.core.healthy
        session = self.machine.core.connect(identity, end, full=full)
        seat = self.seats[identity.terminal_id] = Seat(end, session)
        end.line.session = session

        def ended(code: int, reason: str) -> None:
            self.machine.core.disconnect(session)
            self._leave(identity.terminal_id, seat)

        def received(payload: bytes) -> None:
            self.machine.busy()
            session.receive(payload)

        end.on_text, end.on_end = received, ended
        end.on_pong = lambda payload: session.pong(int(payload))
        self._welcome(end)

    def accept_link(self, peer: str, role: str, claim: tuple[str, int], caller: tuple[str, int], end: End) -> None:
        """Another node's connection. claim: its epoch and head. caller: its instance and which attempt this is."""
        end.pause_reading()
        self._arriving.append(end)
        self._make_room(peer, end, *caller, partial(self._seat_link, peer, role, claim, caller, end))

    def _seat_link(self, peer: str, role: str, claim: tuple[str, int], caller: tuple[str, int], end: End) -> None:
        core, now = self.machine.core, self.machine.now()
        hello = Hello(peer, *claim, now.wall_ms, "", None)
        link = Link(core, role, end, "", False, hello, f"{self.machine.rng.getrandbits(64):x}", now.wall_ms)
        seat = self.seats[peer] = Seat(end, link, *caller)

        def ended(code: int, reason: str) -> None:
            core.unlink(link)
            self._leave(peer, seat)

        def received(payload: bytes) -> None:
            self.machine.busy_with(payload)
            link.receive(payload)

        end.on_text, end.on_end = received, ended
        if core.linked(link):
            link.greet()
        else:
            link.refuse()
        self._welcome(end)

    def _welcome(self, end: End) -> None:
        self._arriving.remove(end)
        self.machine.busy()
        end.resume_reading()

    def _leave(self, name: str, seat: Seat) -> None:
        self.machine.busy()
        if self.seats.get(name) is seat:
            del self.seats[name]

    def _make_room(self, name: str, end: End, instance: str, attempt: int, seat: Callable[[], None]) -> None:
        """As the endpoint does: of two attempts of one instance the later stays; else whoever still answers."""
        old = self.seats.get(name)
        if old is None:
            seat()
            return
        if instance and instance == old.instance:
            if attempt < old.attempt:
                end.close(StaleAttempt.code, "a later attempt of the same node is connected")
                return
            self._replace(name, old)
            seat()
            return

        def probed() -> None:
            if end.over:
                return
            if self.seats.get(name) is old and old.end.answers:
                if isinstance(old.session, Link):
                    self.machine.core.report_twin(f"{name} connected twice")
                end.close(AlreadyConnected.code, "already connected")
                return
            now = self.seats.get(name)
            if now is not None and now is not old:
                self._make_room(name, end, instance, attempt, seat)
                return
            if now is old:
                self._replace(name, old)
            seat()

        self.machine.disk.later(PROBE_MS, probed)

    def _replace(self, name: str, old: Seat) -> None:
        old.end.close(AlreadyConnected.code, "replaced by a new connection")
        old.end.on_text, old.end.on_end = _ignore, _ignore
        if isinstance(old.session, Link):
            self.machine.core.unlink(old.session)
        else:
            self.machine.core.disconnect(old.session)
        del self.seats[name]

    def let_go(self, unnoticed: Callable[[], bool]) -> None:
        """Every connection of this machine ends. unnoticed: whether the other side of one learns it from silence."""
        ends = {id(seat.end): seat.end for seat in self.seats.values()}
        ends |= {id(end): end for end in (*self.dialled, *self._arriving)}
        self.seats, self.dialled, self._arriving = {}, [], []
        for end in ends.values():
            if not end.over:
                end.vanish(unnoticed=unnoticed())


def _ignore(*_: object) -> None:
    return None
