"""A simulated terminal: speaks only the documented messages, and behaves as well or as badly as real ones do.

Its screen is the plain client's: its own writes at once, then every `data_sync` in order.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from operator import lt
from typing import TYPE_CHECKING, Any

import orjson
from attrs import define, evolve, field, frozen

from crdt import hlc
from crdt.records import name_of
from node.core.sessions.identity import Identity
from node.core.sessions.sessions import CLOCKS_MS
from node.screen import Screen
from node.simulation.event_queue import Clockwork
from node.simulation.machine import Machine
from node.simulation.network import SILENCE_MS, End, Route
from node.simulation.transcript import START_MS, Transcript
from storage.records import CLASSES

if TYPE_CHECKING:
    from node.core.sessions.session import Session

Data = dict[str, Any]


@frozen
class Manner:
    """How a terminal behaves.

    confirms: sends `sync_confirmation`. dated: with a timestamp, as the document has it and its client leaves it out.
    pongs: its library answers pings. heartbeats: it sends pings with its time, as the document's client does.
    stamps: puts a timestamp on its operations.
    bare_version: `version: 1` beside the operation's fields, as some clients send it.
    clock_ms: how wrong its clock is.
    reads_ms: its program reads what came so much later; its library has answered pings long before.
    flushes_ms: after a connection is there it reads for so long before it sends what waited.
    """

    confirms: bool = True
    dated: bool = False
    pongs: bool = True
    heartbeats: bool = True
    stamps: bool = True
    bare_version: bool = False
    clock_ms: int = 0
    reads_ms: int = 0
    flushes_ms: int = 0


HEARTBEATS_MS = (30_000, 30_000)
"""The document's client sends one every 30 s. The later ones say what these did, so they come less often."""

LATER_HEARTBEATS_MS = 300_000

WHOLE = ("state-", "current-")
"""How the ids of messages begin that show an entity as it is."""

SHOWN = 1_000
"""Characters of a message in the transcript."""

ROOMY = 1_024
"""Rows under way that no evening lets go by unconfirmed."""

MEASURED_BY = 2
"""Pings on one connection after which a node must know a clock, whatever was before."""

CLOCK_DOUBT_MS = 2_500
"""A node that is wrong by less about a clock judges what it sends rightly: the tolerance, and the way here."""

LONG_BEFORE_MS = 5_500
"""What was written so long before a connection was written without having read what came on it: a node can tell by
the time. It cannot where it was shorter (node/core/sessions/session.py)."""


@define(eq=False)
class Told:
    """What a terminal was told by a machine, which that may never go back on. A program may read it when the terminal
    uses another one."""

    confirmed: Callable[[Terminal, Machine, Data], None]
    refused: Callable[[Terminal, Machine, Data], None]
    unknown: Callable[[Terminal, Iterable[str]], None]
    """Operations that were written from a screen of which the node does not know that it was shown."""
    held: Callable[[Machine, tuple[str, str], int], Iterable[str]]
    """The operations that an entity holds which a node shows with this version."""


@define(eq=False)
class Terminal:
    """One terminal and its place. machine: the node it uses. queue: written while there was no connection."""

    clockwork: Clockwork
    transcript: Transcript
    name: str
    kind: str
    manner: Manner
    machine: Machine
    route: Route
    rng: random.Random
    told: Told
    screen: Screen = field(factory=Screen)
    unanswered: dict[str, Data] = field(factory=dict)
    conflicts: dict[str, Data] = field(factory=dict)
    leases: dict[tuple[str, str], str] = field(factory=dict)
    latest: Data | None = None
    """The operation it was shown last."""
    end: End | None = None
    unread: list[str] = field(factory=list)
    """Names of the operations of rows that its library has, on this connection, and its program has not read yet."""
    wants: bool = True
    """Whether it is switched on: then it connects again whenever its connection ends."""
    unconfirmed: list[str] = field(factory=list)
    """Operation ids of rows it keeps its confirmations of for later."""
    lazy: bool = False
    blank: bool = False
    """What it shows is not what its node knows that it shows: it was loaded again, or has come to another node."""
    unheard: bool = False
    """It shows rows whose confirmation was lost with the connection: its node knows by the version that it names."""
    reloaded: bool = False
    """It keeps nothing, and asks for everything until a node has stored that."""
    hid: bool = False
    """It read before it sent what it had written, and its clock, which nothing had shown yet, did not tell."""
    strayed: bool = False
    """It came to its node with what it had been shown elsewhere, and kept that."""
    life: int = 0
    """How often it began with an empty screen."""
    received: list[str | tuple[str, str]] = field(factory=list)
    """Names of all rows it was ever sent, in order; of entities it was sent whole their keys, and what they held."""
    came: int = 0
    """How many of those it had when it came to its node."""
    came_ms: int | None = None
    """When that was, unless it is long ago by all clocks: another node may say that it was still there."""
    _seen: tuple[int, ...] = ()
    """How far it had seen the log of its node when its last connection ended."""
    wrote: dict[str, int] = field(factory=dict)
    """How many of those it had when it sent an operation, the last time."""
    written_ms: dict[str, int] = field(factory=dict)
    """When it wrote an operation."""
    _received_ids: set[str] = field(factory=set)
    _dialling: bool = False
    _holds_back: bool = False
    """It reads before it sends what it has written."""
    _held_back_ms: int | None = None
    """Since when it reads so, over all its connections since it has sent what waited."""
    _heartbeats: int = 0
    """How many were answered on this connection, since its clock was set."""
    _pings: deque[bool] = field(factory=deque)
    """Of the pings that wait for a pong, whether each is a heartbeat."""
    _number: int = 0

    # ------------------------------------------------------------------ connecting

    @property
    def session(self) -> Session | None:
        """The node's side of this connection, where there is one."""
        return (
            self.machine.core.sessions.online.get(self.name) if self.end is not None and self.machine.alive else None
        )

    @property
    def names(self) -> list[str]:
        """Of the operations that it has had no answer to."""
        return [name_of(self.name, operation_id) for operation_id in self.unanswered]

    def connect(self, *, full: bool = False, queue: bool = False) -> None:
        """Dial until it works. full: as a page that was loaded again and keeps nothing, or, with queue, only what it
        has had no answer to."""
        if self.end is not None:
            return
        if full:
            self.blank = self.reloaded = True
            self.strayed = self.hid = self.unheard = False
            self.life += 1
            self.told.unknown(self, self.names)  # what the next node takes them to have seen is another thing
            self.screen.clear()
            self.conflicts.clear()
            if not queue:
                self.unanswered.clear()
            for operation in self.unanswered.values():
                self.screen.apply(operation)
        if self._dialling:
            return
        self._dialling = True
        self.clockwork.later(2 * self.route.delay(), self._arrived)

    def _arrived(self) -> None:
        self._dialling = False
        if not self.wants:
            return
        if not self.machine.alive or not self.route.open:
            self._dialling = True
            self.clockwork.later(self.rng.randrange(200, 3_000), self._arrived)
            return
        line = self.route.network.open(self.route)
        self.end, there = line.ends
        self.end.answers_pings = self.manner.pongs
        self.end.on_text, self.end.on_end = self._received, self._ended
        identity = Identity(self.name, self.kind, f"user-{self.name}", f"session-{self.rng.getrandbits(64):x}")
        wanting = ", keeping nothing" if self.reloaded else ""
        self.transcript.note(self.name, f"connects to {self.machine.node_id}{wanting}")
        self.machine.door.accept_terminal(identity, there, full=self.reloaded)
        self._doubted()
        self._heartbeats = 0
        self._pings.clear()
        if self.manner.heartbeats:
            self._beat_later(self.end, 0)
        self._holds_back = self.manner.flushes_ms > 0
        if self._holds_back:
            self._held_back_ms = self.clockwork.now_ms if self._held_back_ms is None else self._held_back_ms
            self.clockwork.later(self.manner.flushes_ms, partial(self._flush, self.end))
        else:
            self._flush(self.end)

    def _doubted(self) -> None:
        """Its node knows less of what it has seen than it did: another one said that it was there meanwhile."""
        session = self.session
        if (
            session is not None
            and self.came_ms is not None
            and any(map(lt, session.delivery.window.at_connect, self._seen))
        ):
            self.told.unknown(self, self.names)

    def _flush(self, end: End) -> None:
        """Send what waited. What a terminal read before that is known to its node when these come."""
        if self.end is not end:
            return
        dark = [o for o in self.unanswered.values() if self.misjudged or not self._dates(o)]
        self.told.unknown(self, [name_of(self.name, operation["id"]) for operation in dark])
        if self._held_back_ms is not None and self.manner.stamps and self.unanswered:
            self.hid |= self._heartbeats < MEASURED_BY and self._misread_ms() < 0
        self._holds_back, self._held_back_ms = False, None
        for operation in self.unanswered.values():
            self._send({"type": "data_sync", "operation": operation})

    def hold_back_no_more(self) -> None:
        """What waits is sent before anything more is read."""
        if self.end is not None and self._holds_back:
            self._flush(self.end)
        self.manner = evolve(self.manner, flushes_ms=0)

    def _dates(self, operation: Data) -> bool:
        """Whether an operation that waited says from what it was written, by its version or its time, or was written
        from what had been read last."""
        if self._held_back_ms is None or "version" in operation["data"]:
            return True
        long_before = self._held_back_ms - self.written_ms[operation["id"]] > LONG_BEFORE_MS
        return self.manner.stamps and long_before and abs(self._misread_ms()) <= CLOCK_DOUBT_MS

    def _beat_later(self, end: End, count: int) -> None:
        after_ms = HEARTBEATS_MS[count] if count < len(HEARTBEATS_MS) else LATER_HEARTBEATS_MS
        self.clockwork.later(after_ms, partial(self._beat, end, count))

    def _beat(self, end: End, count: int) -> None:
        if self.end is end:
            self._pings.append(True)
            self._send({"type": "ping", "timestamp": self._time()})
            self._beat_later(end, count + 1)

    def ping(self) -> None:
        """One without a time."""
        self._pings.append(False)
        self.send({"type": "ping"})

    def _ended(self, code: int, reason: str) -> None:
        self.transcript.note(self.name, f"loses its connection: {code} {reason}")
        self._parted()
        if self.wants:
            self.clockwork.later(self.rng.randrange(3_000), self.connect)

    def _parted(self) -> None:
        """Rows that were received, and whose confirmation was lost with the connection, are shown here, and the node
        does not know it but by a version."""
        session = None if self.end is None else self.end.line.session
        self.blank |= session is not None and not _rests(session)  # it was just being shown the past
        self._seen = () if session is None else session.delivery.window.acked
        if self.came_ms is not None and self.clockwork.now_ms - self.came_ms > CLOCKS_MS + 2 * SILENCE_MS:
            self.came_ms = None
        pending = () if session is None else session.delivery.window.pending
        if any(entry[2] in self._received_ids for entry in pending):
            self.unheard = True
            dark = [o["id"] for o in self.unanswered.values() if "version" not in o["data"]]
            self.told.unknown(self, [name_of(self.name, operation_id) for operation_id in dark])
        self.end = None
        self.unconfirmed.clear()
        self.unread.clear()
        self._received_ids.clear()

    def leave(self, *, unnoticed: bool) -> None:
        """Switched off, or out of reach: unnoticed, the node learns it only from silence."""
        self.wants = False
        if self.end is not None:
            end = self.end
            self._parted()
            end.vanish(unnoticed=unnoticed)

    def come_back(self, *, full: bool = False, queue: bool = False) -> None:
        self.wants = True
        self.connect(full=full, queue=queue)

    def move(self, machine: Machine, route: Route, *, full: bool) -> None:
        """The waiter takes the tablet to another node. full: it asks for everything there."""
        self.machine, self.route, self.came = machine, route, len(self.received)
        self.blank = True
        self.came_ms, self._seen = self.clockwork.now_ms, ()
        self.strayed = not full
        self.leases.clear()
        if not full:
            self.told.unknown(self, self.names)  # what it had seen is known there if the nodes have met since

    # ------------------------------------------------------------------ sending

    def _time(self) -> str:
        """What its clock shows."""
        return hlc.iso(START_MS + self.clockwork.now_ms + self.manner.clock_ms)

    def set_clock(self, clock_ms: int) -> None:
        """Somebody sets its clock: it is wrong by this from here on."""
        self.manner, self._heartbeats = evolve(self.manner, clock_ms=clock_ms), 0

    @property
    def misjudged(self) -> bool:
        """Whether its node takes this clock for another than it is, as it may: nothing has shown it the time lately.

        What is written just now is old by such a reckoning, so that its author knew less than it did.
        """
        return self.manner.stamps and self._heartbeats < MEASURED_BY and self._misread_ms() > CLOCK_DOUBT_MS

    def _misread_ms(self) -> int:
        """How much further behind this clock is than its node takes it to be."""
        if not self.machine.alive:
            return 0
        now = self.machine.now()
        behind_ms = now.wall_ms - (START_MS + self.clockwork.now_ms + self.manner.clock_ms)
        return behind_ms - (self.machine.core.replica.terminal_clocks.offset_ms(self.name, now) or 0)

    def _send(self, message: Data) -> None:
        if message["type"] == "data_sync":
            self.wrote[message["operation"]["id"]] = len(self.received)
        if self.end is not None:
            self.end.send_text(orjson.dumps(message))

    def send(self, message: Data) -> None:
        """Any message, if there is a connection."""
        self.transcript.note(self.name, f"sends {orjson.dumps(message).decode()}")
        self._send(message)

    def send_raw(self, payload: bytes) -> None:
        self.transcript.note(self.name, f"sends {payload[:80]!r}")
        if self.end is not None:
            self.end.send_text(payload)

    def write(self, entity_type: str, entity_id: str | None, kind: str, data: Data, **extra: Any) -> str:
        """Write an operation: on its own screen at once, to the node as soon as there is a connection."""
        self._number += 1
        operation: Data = {
            "id": f"op-{self._number}",
            "entity_type": entity_type,
            "operation": kind,
            "data": data,
            "terminal_id": self.name,
            **extra,
        }
        if entity_id is not None:
            operation["entity_id"] = entity_id
        if self.manner.stamps:
            operation["timestamp"] = self._time()
        if self.manner.bare_version:
            operation.setdefault("version", 1)
        self.transcript.note(self.name, f"writes {orjson.dumps(operation).decode()[:SHOWN]}")
        self.unanswered[operation["id"]] = operation
        self.written_ms[operation["id"]] = self.clockwork.now_ms
        self.screen.apply(operation)
        if not self._holds_back:
            self._send({"type": "data_sync", "operation": operation})
        return str(operation["id"])

    def again(self, operation: Data, *, show: bool = False) -> None:
        """Send an operation once more. show: it was refused, so it is written anew."""
        if show:
            self.unanswered.pop(operation["id"], None)
            self.unanswered[operation["id"]] = operation
            self.screen.apply(operation)
        self.transcript.note(self.name, f"sends {operation['id']} once more")
        if not self._holds_back:
            self._send({"type": "data_sync", "operation": operation})

    # ------------------------------------------------------------------ receiving

    @property
    def heard_confirming(self) -> bool:
        """Whether its node knows that it confirms. One that has never done so, or lets a whole window of rows go by
        before it does, is taken for one that never does: then what its library has answered counts as read, also
        after it has confirmed again."""
        session = self.session
        if session is None or not session.delivery.window.confirms:
            return False
        unread = Counter(name.partition("/")[2] for name in self.unread)  # as a confirmation names them
        return not unread - Counter(entry[2] for entry in session.delivery.window.pending)

    def _received(self, payload: bytes) -> None:
        if not self.manner.reads_ms:
            self._read(payload, self.life, self.machine)
            return
        self.clockwork.later(self.manner.reads_ms, partial(self._read, payload, self.life, self.machine))
        certain = self.heard_confirming and self.machine.config.limits.window_rows >= ROOMY
        if (message := orjson.loads(payload))["type"] == "data_sync":
            self.unread.append(own_name(message["operation"]))
            if not certain:
                self._note_received(message["operation"], self.machine)

    def _read(self, payload: bytes, life: int, machine: Machine) -> None:
        """The program takes what came: also of a connection that is gone, unless it was loaded again since."""
        if life != self.life:
            return
        message = orjson.loads(payload)
        kind = message["type"]
        if kind == "connection_established":
            self.reloaded &= self.end is None or message.get("sync") == "full"
        elif kind == "data_sync":
            self._row(message["operation"], machine)
        elif kind == "sync_confirmation":
            self.unanswered.pop(message["operation_id"], None)
            self.told.confirmed(self, machine, message)
        elif kind == "sync_error":
            self.unanswered.pop(message.get("operation_id") or "", None)
            self.transcript.note(self.name, f"is refused {message.get('operation_id')}: {message['error']}")
            self.told.refused(self, machine, message)
        elif kind == "sync_conflict":
            self.conflicts[message["conflict"]["id"]] = message["conflict"]
        elif kind == "pong":
            self._heartbeats += bool(self._pings) and self._pings.popleft()
        elif kind == "lock_acquired":
            self.leases[message["entity_type"], message["entity_id"]] = message["lock_id"]

    def _row(self, operation: Data, machine: Machine) -> None:
        if operation["terminal_id"] == self.name:
            self.unanswered.pop(operation["id"], None)
        if (name := own_name(operation)) in self.unread:
            self.unread.remove(name)
        self._note_received(operation, machine)
        self.latest = operation
        self.screen.apply(operation)
        if self.manner.confirms:
            if self.lazy:
                self.unconfirmed.append(operation["id"])
            else:
                self._confirm(operation["id"])

    def _note_received(self, operation: Data, machine: Machine) -> None:
        self._received_ids.add(operation["id"])
        self.received.append(own_name(operation))
        if operation["id"].startswith(WHOLE):
            key = (operation["entity_type"], operation["entity_id"])
            self.received += [key, *self.told.held(machine, key, operation["version"])]

    def _confirm(self, operation_id: str) -> None:
        message = {"type": "sync_confirmation", "operation_id": operation_id, "terminal_id": self.name}
        self._send({**message, "timestamp": self._time()} if self.manner.dated else message)

    def confirm_some(self, count: int) -> None:
        """Some of what a lazy terminal has not confirmed yet."""
        for operation_id in self.unconfirmed[:count]:
            self._confirm(operation_id)
        del self.unconfirmed[:count]

    # ------------------------------------------------------------------ looking

    def coming(self) -> set[str]:
        """Ids of the operations whose rows are on their way to its program."""
        pending = () if self.session is None else self.session.delivery.window.pending
        return {*(entry[2] for entry in pending), *(name.partition("/")[2] for name in self.unread)}

    @property
    def at_rest(self) -> bool:
        """Whether the screen is not just being shown the past."""
        session = self.session
        if session is None or session.delivery.connection is not _other(self.end):
            return False
        at_rest = _rests(session)
        self.blank &= not at_rest
        self.unheard &= not at_rest
        return at_rest

    def shown(self, entity_type: str) -> dict[str, Data]:
        """Of a type, without versions."""
        return self.screen.shown(entity_type)


def own_name(operation: Data) -> str:
    """What an operation is called, by its author and its id."""
    return name_of(operation["terminal_id"], operation["id"])


def _rests(session: Session) -> bool:
    """Whether all that was missed was sent, and confirmed."""
    delivery = session.delivery
    return all(delivery.window.acknowledged(priority) >= delivery.feed.again_upto for priority in range(CLASSES))


def _other(end: End | None) -> End | None:
    return end.line.ends[1 - end.side] if end is not None else None
