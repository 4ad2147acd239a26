"""Who is connected to a simulated node: the core's admission, run without sockets.

A probe is not sent as a ping here: once the time for its pong is over, the network says whether it would have come.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from node.core.admission import REPLACED, Admission, Caller, Enter, Probe, Refuse, Seat
from node.core.links.dialling import challenge_of
from node.core.links.link import Link
from node.core.sessions.session import Session
from node.core.start import admission
from node.simulation.network import End
from node.wire.links.handshake import Hello

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from node.config.sections import Config
    from node.core.core import Core
    from node.core.ports import Instant
    from node.core.sessions.identity import Identity
    from node.simulation.disk import SlowDisk


class Computer(Protocol):
    """What a door needs of the machine that it belongs to."""

    config: Config
    rng: random.Random
    core: Core
    disk: SlowDisk

    def now(self) -> Instant: ...

    def busy(self) -> None:
        """Something happens here."""

    def busy_with(self, payload: bytes) -> None:
        """A frame is there."""


@define(eq=False)
class Holder:
    """A connection that has a seat."""

    end: End
    session: Session | Link


Verdict = Enter[Holder] | Probe[Holder] | Refuse[Holder]


@define(eq=False)
class Door:
    """The connections of one machine. dialled: its ends of those to other nodes."""

    machine: Computer
    admission: Admission[Holder] = field(init=False)
    dialled: list[End] = field(factory=list)
    _arriving: list[End] = field(factory=list)
    """Connections that wait for a seat, also of nodes that have not shown who they are."""

    def open(self) -> None:
        """The process has started, and nobody is connected."""
        self.admission = admission(self.machine.core, self.machine.config)

    @property
    def holders(self) -> dict[str, Holder]:
        """Who is connected, by name."""
        return {name: seat.holder for name, seat in self.admission.seats.items()}

    def accept_terminal(self, identity: Identity, end: End, *, full: bool) -> None:
        """A terminal's connection is there."""
        caller = Caller(identity.terminal_id, identity.terminal_type)
        self._arrive(caller, end, partial(self._seat_terminal, caller, identity, end, full))

    def _seat_terminal(
        self, caller: Caller, identity: Identity, end: End, full: bool, entered: Enter[Holder]
    ) -> None:
        if entered.old is not None:
            self._replace(entered.old)
        session = self.machine.core.sessions.connect(identity, end, full=full)
        seat = self.admission.take(caller, Holder(end, session))
        end.line.session = session

        def ended(code: int, reason: str) -> None:
            self.machine.core.sessions.disconnect(session)
            self._leave(seat)

        def received(payload: bytes) -> None:
            self.machine.busy_with(payload)
            session.receive(payload)

        end.on_text, end.on_end = received, ended
        end.on_pong = lambda payload: session.pong(int(payload))
        self._arriving.remove(end)
        self.machine.busy()
        end.resume_reading()

    def accept_link(self, caller: Caller, role: str, claim: tuple[str, int], end: End) -> None:
        """Another node's connection. claim: its epoch and head."""
        self._arrive(caller, end, partial(self._seat_link, caller, role, claim, end))

    def _seat_link(self, caller: Caller, role: str, claim: tuple[str, int], end: End, entered: Enter[Holder]) -> None:
        core, now = self.machine.core, self.machine.now()
        hello = Hello(caller.name, *claim, now.wall_ms, "", None)
        name = f"{self.machine.rng.getrandbits(64):x}"
        challenge = challenge_of(caller.instance, caller.attempt)
        seats: list[Seat[Holder]] = []

        def enters() -> tuple[int, str] | None:
            verdict = self.admission.proven(caller, entered)
            if isinstance(verdict, Refuse):
                return verdict.code, verdict.reason
            if (old := self.admission.seats.get(caller.name)) is not None:
                self._replace(old)
            self._arriving.remove(end)
            seats.append(self.admission.take(caller, Holder(end, link)))
            return None

        link = Link(
            host=core.links,
            role=role,
            connection=end,
            session_id=name,
            challenge=challenge,
            hello=hello,
            enters=enters,
        )

        def ended(code: int, reason: str) -> None:
            core.links.unlink(link)
            if seats:
                self._leave(seats[0])
            elif end in self._arriving:
                self._arriving.remove(end)

        def received(payload: bytes) -> None:
            self.machine.busy_with(payload)
            link.receive(payload)

        end.on_text, end.on_end = received, ended
        link.open()
        self.machine.busy()
        end.resume_reading()

    # ------------------------------------------------------------------ admission

    def _arrive(self, caller: Caller, end: End, enter: Callable[[Enter[Holder]], None]) -> None:
        end.pause_reading()
        self._arriving.append(end)
        self._act(self.admission.ask(caller), end, enter)

    def _act(self, verdict: Verdict, end: End, enter: Callable[[Enter[Holder]], None]) -> None:
        if isinstance(verdict, Enter):
            enter(verdict)
        elif isinstance(verdict, Probe):
            self.machine.disk.later(self.machine.config.time.probe_ms, partial(self._probed, verdict, end, enter))
        else:
            session = verdict.old.holder.session if verdict.old is not None else None
            if isinstance(session, Link) and verdict.notice is not None:
                session.reply(verdict.notice)
            end.close(verdict.code, verdict.reason)

    def _probed(self, probe: Probe[Holder], end: End, enter: Callable[[Enter[Holder]], None]) -> None:
        if end.over:
            return
        alive = self.admission.seats.get(probe.caller.name) is probe.old and probe.old.holder.end.answers
        self._act(self.admission.answered(probe) if alive else self.admission.waited(probe), end, enter)

    def _replace(self, old: Seat[Holder]) -> None:
        end, session = old.holder.end, old.holder.session
        end.close(*REPLACED)
        end.on_text, end.on_end = _ignore, _ignore
        if isinstance(session, Link):
            self.machine.core.links.unlink(session)
        else:
            self.machine.core.sessions.disconnect(session)
        self.admission.leave(old)

    # ------------------------------------------------------------------ leaving

    def _leave(self, seat: Seat[Holder]) -> None:
        self.machine.busy()
        self.admission.leave(seat)

    def let_go(self, unnoticed: Callable[[], bool]) -> None:
        """Every connection of this machine ends. unnoticed: whether the other side of one learns it from silence."""
        ends = {id(holder.end): holder.end for holder in self.holders.values()}
        ends |= {id(end): end for end in (*self.dialled, *self._arriving)}
        self.admission.seats.clear()
        self.dialled, self._arriving = [], []
        for end in ends.values():
            if not end.over:
                end.vanish(unnoticed=unnoticed())


def _ignore(*_: object) -> None:
    return None
