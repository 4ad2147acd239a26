"""The terminals that are connected: how each begins, and what is left when its connection ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import le
from typing import TYPE_CHECKING

from attrs import evolve, field

from crdt import hlc
from crdt.classes import define
from node.config.sections import Permissions
from node.core.delivery.cursors import Cursors
from node.core.delivery.delivery import Delivery
from node.core.delivery.terminal_feed import TerminalFeed
from node.core.delivery.window import Window
from node.core.log.entries import NO_POSITION
from node.core.sessions.devices import Devices
from node.core.sessions.identity import Activity
from node.core.sessions.session import Session, Shared
from node.core.sessions.token_bucket import Bucket
from node.rights import AUDIT, MESSAGES, METRICS, OF_TYPE, Rights
from node.wire import outgoing
from storage.records import CLASSES, CursorRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from node.core.ports import Connection
    from node.core.sessions.identity import Identity


FIRST_EPOCH = 1
"""The epoch of a database that was never set back, copied or moved."""

CLOCKS_MS = 60_000
"""How far the clocks of two nodes may be apart when they say when a terminal was there."""


@define(eq=False)
class Bounds:
    """Limits of a session, from the configuration."""

    rate_per_second: float
    rate_burst: float
    window_rows: int
    terminals: int


@define(eq=False, kw_only=True)
class Sessions:
    """The connected terminals.

    online: terminal id -> its session.
    left: called with a terminal whose connection ended.
    came: called with a terminal that connected, when it was here last (Unix milliseconds; None for never), and what
        to call once what it had seen elsewhere is known. Returns whether that has to be asked.
    store_cursors: stores the cursors that moved with the current group.
    """

    shared: Shared
    permissions: Mapping[str, Permissions]
    bounds: Bounds
    cursors: Cursors
    store_cursors: Callable[[], None]
    left: Callable[[str], None]
    came: Callable[[str, int | None, Callable[[], None]], bool]
    devices: Devices = field(factory=Devices, init=False)
    online: dict[str, Session] = field(factory=dict, init=False)
    _leaving: dict[str, Session] = field(factory=dict, init=False)
    """Sessions whose connection ended while something was still to be decided."""
    _were_elsewhere: set[str] = field(factory=set, init=False)
    """Terminals that are away and were at another node since they were here."""
    _changed: bool = field(default=True, init=False)

    def connect(
        self,
        identity: Identity,
        connection: Connection,
        *,
        full: bool = False,
        by_position: bool = False,
        rights: Rights | None = None,
    ) -> Session:
        """A terminal is connected: greet it and deliver what lies after its cursor.

        full: deliver everything instead.
        by_position: it speaks the subprotocol `comanda.v1`, and may confirm many rows at once.
        rights: of its token; without one they are those of its type.
        """
        now, bounds, terminal_id = self.shared.around.clock(), self.bounds, identity.terminal_id
        known = self.cursors.terminals.get(terminal_id)
        last_here_ms = None if known is None else known.last_seen_ms
        nothing, head = (NO_POSITION,) * CLASSES, self.shared.log.head
        reached = nothing if known is None else _told(known, nothing)
        if known is None:
            known = CursorRow(terminal_id, identity.terminal_type, None, nothing, now.wall_ms, anew=full)
        elif full:  # it keeps nothing of what it was sent
            known = evolve(known, positions=nothing, sent=nothing, anew=True)
            self.cursors.sendings.pop(terminal_id, None)
            self.shared.replica.knowledge.keeps_nothing(terminal_id)
        window = Window.of(known, bounds.window_rows)
        window.sendings = self.cursors.sendings_of(known, now)
        window.sendings.connected(now.mono_ms, window.at_connect)
        permissions = self.permissions[identity.terminal_type]
        rights = permissions.rights if rights is None else rights
        types = [policy.entity_type for policy in self.shared.replica.registry.all()]
        allowed = {m: rights.of_types(need.verb, types) for m, need in MESSAGES.items() if need.what == OF_TYPE}
        reads, monitor = rights.of_types("read", types), identity.terminal_type == "monitor"
        feed = TerminalFeed(
            terminal_id=terminal_id,
            names=frozenset([terminal_id, *(f"resolve:{name}" for name in rights.of_types("resolve", types))]),
            reads=None if len(reads) == len(types) else reads,
            monitor=monitor,
            audited=monitor and rights.may("read", AUDIT),
            by_position=by_position,
            again=((window.at_connect, head),),
            told=tuple(head if row == NO_POSITION else row for row in reached),
        )
        delivery = Delivery(
            window=window,
            feed=feed,
            log=self.shared.log,
            disk=self.shared.around.disk,
            connection=connection,
        )
        session = Session(
            identity=identity,
            allowed=allowed,
            watches=monitor and rights.may("read", METRICS),
            breaks_locks=permissions.breaks_locks,
            anew=known.anew,
            delivery=delivery,
            connection=connection,
            shared=self.shared,
            bucket=Bucket.full(bounds.rate_per_second, bounds.rate_burst, now.mono_ms),
            activity=Activity(now.wall_ms, now.wall_ms),
        )
        try:
            session.unknown = self.came(terminal_id, last_here_ms, session.known)
            session.stranger = session.unknown or last_here_ms is None or terminal_id in self._were_elsewhere
            self._were_elsewhere.discard(terminal_id)
            self._begin(session, full=full)
        except Exception:
            self.disconnect(session)
            raise
        return session

    def _begin(self, session: Session, *, full: bool) -> None:
        identity, delivery = session.identity, session.delivery
        terminal_id = identity.terminal_id
        earlier = self._leaving.pop(terminal_id, None)
        if earlier is not None and earlier.unfinished:
            session.follow(earlier)
        self.online[terminal_id] = session
        self._changed = True
        stored = not full or self.shared.health.ok
        if full and stored and terminal_id in self.cursors.terminals:
            # Stored first: a node that dies now must not go on from the old cursor of a terminal that keeps nothing.
            delivery.held = True
            self._note(session)
            self.store_cursors()
        else:
            session.reply(self._greeting(session, stored=stored))
            delivery.pump()

    def _greeting(self, session: Session, *, stored: bool) -> bytes:
        """stored: whether it is on disk that the terminal keeps nothing, if it said so."""
        identity, now, began = session.identity, self.shared.around.clock(), self.shared.replica.locks.epoch
        extra: dict[str, object] = {} if began == FIRST_EPOCH else {"recovered": began}
        if not stored:
            extra["sync"] = "full"
        return outgoing.connection_established(
            identity.terminal_id, hlc.iso(now.wall_ms), identity.session_id, **extra
        )

    def disconnect(self, session: Session) -> None:
        """The connection ended. The cursor stays where the terminal has confirmed up to."""
        session.gone = session.delivery.closed = True
        terminal_id = session.identity.terminal_id
        if self.online.get(terminal_id) is session:
            del self.online[terminal_id]
        self._changed = True
        self.shared.replica.faults.guard("the end of a session", lambda: self._ended(session))

    def _ended(self, session: Session) -> None:
        self._note(session)
        self._leaving = {t: s for t, s in self._leaving.items() if s.unfinished}
        if session.unfinished:
            self._leaving[session.identity.terminal_id] = session
        self.store_cursors()
        self.left(session.identity.terminal_id)

    # ------------------------------------------------------------------ terminals that go elsewhere

    def last_here(self, terminals: Iterable[str] | None) -> Mapping[str, tuple[int, Sequence[int], bool]]:
        """When each was last here (Unix milliseconds), how far it has seen this log, and whether it began here anew.

        terminals: None for all.
        """
        self.note_cursors(every=False)
        rows, now_ms = self.cursors.terminals, self.shared.around.clock().wall_ms
        found = rows.values() if terminals is None else [rows[name] for name in terminals if name in rows]
        online = self.online
        return {
            r.terminal_id: (now_ms if r.terminal_id in online else r.last_seen_ms, r.positions, r.anew) for r in found
        }

    def was_elsewhere(self, terminal_id: str, seen_ms: int, held: Sequence[int]) -> None:
        """A terminal was at another node, which held this log up to `held`.

        What comes after that it was not shown there, so it is sent it again.
        """
        row, session = self.cursors.terminals.get(terminal_id), self.online.get(terminal_id)
        if row is None:
            return
        now = self.shared.around.clock()
        here_ms = row.last_seen_ms
        if session is not None and session.delivery.window.sendings is not None:
            here_ms = now.wall_ms - (now.mono_ms - session.delivery.window.sendings.away[0])
        if seen_ms + CLOCKS_MS < here_ms or all(map(le, row.positions, held)):
            return
        if session is None:
            self._were_elsewhere.add(terminal_id)
            positions = tuple(map(min, row.positions, held))
            self.cursors.note_cursor(evolve(row, positions=positions, sent=_told(row, held)))
        else:
            delivery = session.delivery
            window = delivery.window
            session.stranger = True  # it may have seen there what nobody here knows of
            delivery.feed.go_back(tuple(map(min, window.sent, held)), self.shared.replica.log.head, window.acked)
            delivery.go_back(held)

    # ------------------------------------------------------------------ cursors

    def note_cursors(self, *, every: bool) -> None:
        """Note the cursors that moved. every: all cursors, also of terminals that have confirmed nothing yet."""
        changed = self.shared.replica.terminal_clocks.changed
        for session in self.online.values():
            if every or session.delivery.window.dirty or session.identity.terminal_id in changed:
                self._note(session)

    def _note(self, session: Session) -> None:
        identity, window, now = session.identity, session.delivery.window, self.shared.around.clock()
        clocks = self.shared.replica.terminal_clocks
        self.cursors.note_cursor(
            CursorRow(
                terminal_id=identity.terminal_id,
                terminal_type=identity.terminal_type,
                user_id=identity.user_id,
                positions=window.positions,
                last_seen_ms=now.wall_ms,
                clock=clocks.stored(identity.terminal_id, now),
                sent=window.ever_sent,
                confirms=window.confirms,
                online=not session.gone,
                anew=session.anew,
            )
        )
        clocks.changed.discard(identity.terminal_id)
        window.dirty = False
        if len(self.cursors.terminals) > self.bounds.terminals:
            self._let_go()

    def _let_go(self) -> None:
        """Too many terminals are known: forget some that are away and hold no lock."""
        replica = self.shared.replica
        stay = {*self.online, *self._leaving, *(lease.terminal for lease in replica.locks.leases.values())}
        for terminal_id in self.cursors.let_go(self.bounds.terminals, stay):
            self._were_elsewhere.discard(terminal_id)
            replica.knowledge.forget(terminal_id)
            replica.terminal_clocks.forget(terminal_id)

    def stored(self, cursors: Iterable[CursorRow]) -> None:
        """These cursors are durable. Terminals that wait for that are greeted."""
        for cursor in cursors:
            session = self.online.get(cursor.terminal_id)
            if session is not None and max(cursor.positions) == NO_POSITION:
                self._let_begin(session, stored=True)

    def let_all_begin(self) -> None:
        """Nothing can be stored. Terminals that wait for their cursor are served all the same, and told to ask for
        everything again."""
        for session in list(self.online.values()):
            self._let_begin(session, stored=False)

    def _let_begin(self, session: Session, *, stored: bool) -> None:
        if session.delivery.held:
            try:
                session.reply(self._greeting(session, stored=stored))
                session.delivery.held = False
                session.delivery.pump()
            except Exception as error:
                session.delivery.failed(error)

    # ------------------------------------------------------------------ who is here

    def monitors(self) -> list[Session]:
        """Monitors that can be told figures."""
        return [s for s in self.online.values() if s.watches and not (s.closed or s.gone)]

    def changed(self) -> bool:
        """Whether a terminal came or went since the last call, here or on a linked node."""
        changed, self._changed = self._changed, False
        return changed

    def mark_changed(self) -> None:
        """Monitors are to be told the status soon."""
        self._changed = True


def _told(row: CursorRow, back: Sequence[int]) -> tuple[int, ...]:
    """What `sent` of a cursor becomes where it goes back to these positions, by class.

    Where the terminal then has nothing, it is sent the entities, and no state of them shows what is for it by name.
    So that is how far it had confirmed.
    """
    found = zip(row.positions, row.sent, back, strict=True)
    return tuple(at if after == NO_POSITION < at else sent for at, sent, after in found)
