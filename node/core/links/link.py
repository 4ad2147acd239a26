"""One link: another node on the other end of a WebSocket, each following the other's log.

    handshake --the other's claim fits our log--> up --connection ends--> closed
    handshake --it holds what we never wrote--> closed, under a new epoch (we are a restored copy)

Both sides do the same, but one of them dialled, and one may be the other's upstream. How much this node holds of the
peer's log is stored with the rows themselves (`PeerRow`), so a restored node asks for exactly what it lost.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import orjson
from attrs import field

from crdt.classes import define
from node.core.admission import other_realm
from node.core.delivery.delivery import Delivery
from node.core.delivery.window import Window
from node.core.inbox import Inbox
from node.core.links import anti_entropy, contents, history
from node.core.links.asked import Asked
from node.core.links.clock_offset import ClockOffset
from node.core.links.feed import FRAME_BYTES, LINK_OUTBOX, LINK_PAGE, LinkFeed
from node.core.links.handshake import Handshake
from node.core.links.held_at import HeldAt
from node.core.links.host import Host, Node
from node.core.links.peer_log import PeerLog
from node.core.links.walk import Walk
from node.core.log.entries import NO_POSITION
from node.core.operations import parked, states
from node.core.operations.in_turns import Undone, is_large_message
from node.core.operations.needs import fetch
from node.core.operations.remote import Outcome
from node.core.operations.settled import Documents
from node.core.ports import Connection, Needs, Unreadable
from node.errors import AlreadyConnected, InvalidMessage, PermissionDenied
from node.wire.close_codes import INTERNAL_ERROR, NORMAL
from node.wire.frames import Outgoing
from node.wire.json_text import MOST_VALUES, too_many_values, word
from node.wire.links import contents as contents_wire
from node.wire.links import digests, locks, positions
from node.wire.links import history as history_wire
from node.wire.links.handshake import (
    Hello,
    KeptOut,
    clock_pong,
    ping,
    read_clock,
    read_kept_out,
    read_keys,
    read_speaks_for,
    speaks_for,
)
from node.wire.links.operations import entities_of
from node.wire.links.states import Parts, is_part, is_state, read_progress, remote_state
from storage.records import FollowerRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from node.core.links.first_sync import FirstSync
    from node.core.ports import Instant
    from node.wire.links.states import RemoteState, StateProgress
    from node.wire.messages import Message
    from storage.answers import Fetched
    from storage.records import Key

logger = logging.getLogger("comanda.link")

TURN_MESSAGES = 32
"""Messages of one frame that are taken at once. One counts for as many as entities that it updates."""

STATE_MESSAGES = 2
"""What an entity whole counts for: it is shown and stored, and an operation of its history is only compared."""

GATHERED_ROWS = 128
GATHER_MS = 100
"""Rows of history that are stored together, and how long they wait for others: nobody is told of them, and a commit
costs as much as several of them."""

BACKLOG_PAUSE = 8
"""Frames waiting for the disk above which the socket is not read."""

FRAME_VALUES = 4 * MOST_VALUES
"""Most values in a frame of more than FRAME_BYTES: it holds one message, with little more than a terminal's has."""

FIRST_FRAME_BYTES = 65_536
"""Largest frame of a node that has not shown who it is."""

ASK_INTERVAL_MS = 60_000
"""How often operations that came damaged are asked for once more."""

BAD_ASKED = 100
"""Most damaged operations that are asked for again at a time."""

NEARLY = 1_000
"""Two nodes count as caught up with fewer rows than this under way."""


@define(eq=False, kw_only=True)
class Link:
    """A connected node.

    role: what the other node is to this one: upstream | peer | downstream.
    session_id: what this side calls the connection.
    url: the address that was dialled; None if the other node dialled.
    challenge: what the dialling side drew for this connection.
    hello: what a dialling node said in its request; None until the other side has said who it is.
    enters: takes the seat under the name of a node that dialled, once it has shown who it is. Returns the close code
        and reason if another connection keeps it.
    node_key: fingerprint of the key that the other side has to prove, where the configuration says it.
    """

    host: Host
    role: str
    connection: Connection
    session_id: str
    url: str | None = None
    challenge: str = ""
    hello: Hello | None = None
    enters: Callable[[], tuple[int, str] | None] = lambda: None
    node_key: str | None = None
    node: Node = field(init=False)
    since_ms: int = field(init=False)
    delivery: Delivery[LinkFeed] = field(init=False)
    peer_log: PeerLog = field(factory=PeerLog, init=False)
    clock: ClockOffset = field(init=False)
    state: str = field(default="handshake", init=False)
    was_up: bool = field(default=False, init=False)
    held_at: HeldAt = field(factory=HeldAt, init=False)
    operations_in: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    """Entities that came whole and that nobody had asked for."""
    asked: Asked = field(factory=Asked, init=False)
    contents: Walk = field(factory=Walk, init=False)
    parts: Parts = field(factory=Parts, init=False)
    kept_out: KeptOut | None = field(default=None, init=False)
    """What the other side cannot apply of what came from here, as it said last."""
    paused: bool = field(default=False, init=False)
    """It passed its budget, and is not read for the rest of the minute."""
    _fetching: bool = field(default=False, init=False)
    """A frame waits for the disk."""
    _documents: Documents | None = field(default=None, init=False)
    """Of the history of a first synchronisation, while it comes."""
    compare_owed: bool = field(default=False, init=False)
    compared_ms: int | None = field(default=None, init=False)
    _compared_head: int | None = field(default=None, init=False)
    """The last row of the log when this side began a comparison."""
    _gathers: bool = field(default=False, init=False)
    """History that was taken waits for more of it."""
    _lingers: bool = field(default=False, init=False)
    """Rows wait for others that may follow."""
    _pinged_ms: int | None = field(default=None, init=False)
    _asked_ms: int = field(default=0, init=False)
    """When we last asked again for damaged operations."""
    _kept_out_said: bool = field(default=False, init=False)
    _origins_said: int = field(default=0, init=False)
    """How many nodes this one was known to speak for when it said so last. They only become more."""
    _asked_upto: int = field(default=0, init=False)
    """Quarantine number up to which we have asked."""
    _handshake: Handshake = field(init=False)
    _inbox: Inbox[str | bytes | list[dict[str, Any]]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        node = self.node = self.host.node
        self.since_ms = node.clock().wall_ms
        self.clock = ClockOffset(node.replica.clock.offset_ms if self.role == "upstream" else 0)
        self._handshake = Handshake(link=self, session_id=self.session_id)
        self._inbox = Inbox(
            handle=self._frame,
            failed=self._broke,
            later=partial(node.around.timer.call_later, 0),
            resume=self._go_on,
            connection=self.connection,
            most=BACKLOG_PAUSE,
            most_bytes=self.host.backlog_bytes,
        )
        self.delivery = Delivery(
            window=Window(self.host.window_rows),
            feed=LinkFeed(
                total=lambda: len(node.replica.residents.known),
                operations=lambda: node.replica.held.digests.count,
                later=lambda act: node.around.timer.call_later(0, lambda: self.guarded(act)),
                outgoing=self.host.frames.outgoing,
            ),
            log=node.log,
            disk=node.disk,
            connection=self.connection,
            page=LINK_PAGE,
            outbox_high=LINK_OUTBOX,
        )
        self.delivery.held = True

    # ------------------------------------------------------------------ who is there

    @property
    def dialled(self) -> bool:
        """Whether this node dialled."""
        return self.url is not None

    @property
    def peer_id(self) -> str:
        return self.hello.node_id if self.hello is not None else ""

    @property
    def via(self) -> str:
        return f"{self.hello.node_id}:{self.hello.epoch}" if self.hello is not None else ""

    @property
    def held(self) -> bool:
        """Whether the link waits in its handshake while another one fills this node."""
        return self._handshake.held

    @property
    def backlog(self) -> int:
        """Bytes that arrived and wait."""
        return self._inbox.size

    def open(self) -> None:
        """Answer a node that dialled."""
        self._handshake.open()

    def release(self) -> None:
        """Nothing holds this link back any more."""
        self._handshake.release()

    def go(self, upto: Sequence[int], after: Mapping[int, Key]) -> None:
        """The handshake is over: follow this node's log from these positions on.

        after: for a class without a position, the last entity that the other side has.
        """
        self.state, self.was_up = "up", True
        assert self.hello is not None
        self.held_at = self.host.held_at_of(self.hello)
        self.held_at.note(self.node.replica.log.head, self.whole_upto)
        self.say_origins()
        self.node.replica.log.when_signed(partial(self.guarded, self._follow, upto, after))
        self.node.disk.wake_writer()
        self._ping()
        history.begin(self)
        self.host.link_up(self)

    def _follow(self, upto: Sequence[int], after: Mapping[int, Key]) -> None:
        """Send rows. Every operation that was accepted here has its proof."""
        if self.state == "up":
            self.delivery.feed.start(self.delivery, upto, after)

    @property
    def ping_ms(self) -> float:
        """Between two pings to the other side."""
        return self.host.pace.ping_ms(self.clock)

    @property
    def silence_ms(self) -> float:
        """After how long without a word from the other side the link is over."""
        return self.host.pace.silence_ms(self.clock)

    def pump(self) -> None:
        """Rows were committed: send them, to a far node with those of the next moment."""
        linger_ms = self.host.pace.linger_ms(self.clock)
        if not linger_ms:
            self._pump()
        elif not self._lingers:
            self._lingers = True
            self.node.around.timer.call_later(linger_ms, lambda: self.guarded(self._lingered))

    def _lingered(self) -> None:
        self._lingers = False
        if self.state != "closed":
            self._pump()

    def _pump(self) -> None:
        """Send rows, but say first for whom this node speaks."""
        if len(self.node.replica.origins.known) != self._origins_said and self.state == "up":
            self.say_origins()
        self.delivery.pump()

    def say_origins(self) -> None:
        """Say for whom this node speaks on the link."""
        replica = self.node.replica
        self._origins_said = len(replica.origins.known)
        known = replica.origins.known - {self.peer_id}
        if known:
            self.reply(speaks_for(sorted(known), replica.keyring.keys_of([*sorted(known), self.peer_id])))

    # ------------------------------------------------------------------ inbound

    def receive(self, text: str | bytes) -> None:
        """One frame: a message or an array of them."""
        if self.state == "closed":
            return
        if self._handshake.identified:
            self._spend(("frames", 1), ("bytes", len(text)))
        elif len(text) > FIRST_FRAME_BYTES:  # a stranger's, so that it uses up nobody's budget
            self.close(InvalidMessage.code, "a link does not begin with so much")
            return
        self.guarded(self._inbox.put, text)

    def _spend(self, *amounts: tuple[str, int]) -> None:
        """Take amounts from this minute's budget. A link that passes one is not read until the minute is over."""
        budget, now_ms = self.host.budget(self.peer_id), self.node.clock().mono_ms
        for what, amount in amounts:
            if budget.spend(what, amount, now_ms):
                self.paused = self._inbox.waiting = True
                self._inbox.pause()
                logger.warning(
                    "the link to %(peer)s is not read for a minute: too many %(what)s",
                    {"peer": self.peer_id or self.url, "what": what},
                )

    def _go_on(self) -> None:
        """Handle what arrived meanwhile, unless something else is waited for."""
        if not (self.paused or self._fetching):
            self._inbox.waiting = False
            self._inbox.drain()

    def guarded(self, act: Callable[..., object], *arguments: object) -> None:
        """Do something of this link. If our own code fails on it, the link ends alone."""
        self._inbox.guarded(act, *arguments)

    def _broke(self, error: Exception) -> None:
        self.lose(self.node.replica.faults.report(f"a link to {self.peer_id!r}", b"", error))

    def lose(self, told: str) -> None:
        self.close(INTERNAL_ERROR, told)

    def again(self, messages: Sequence[Message]) -> None:
        """A link has none: it was closed, and its node asks again."""

    def _frame(self, item: str | bytes | list[dict[str, Any]]) -> None:
        """A frame, or what is left of one. TURN_MESSAGES are taken at once, and everybody else gets a turn."""
        if isinstance(item, list):
            messages = item
        else:
            if len(item) > 2 * FRAME_BYTES and too_many_values(item, FRAME_VALUES):
                self.close(InvalidMessage.code, f"a frame of {len(item)} bytes has too many values")
                return
            try:
                loaded = orjson.loads(item)
            except ValueError as error:
                self.close(InvalidMessage.code, f"not JSON: {error}")
                return
            messages = loaded if isinstance(loaded, list) else [loaded]
            if not all(isinstance(message, dict) for message in messages):
                self.close(InvalidMessage.code, "a frame is an object or an array of objects")
                return
        first = _first_turn(messages)
        if messages is not item and first == 1 and is_large_message(messages[0]):
            first = 0  # it was long to read
        rest = messages[first:]
        if first:
            self._take(messages[:first])
        if rest and self.state != "closed":
            self._inbox.hold_first(rest)
            if not self._inbox.waiting:
                self._inbox.waiting = True
                self.node.around.timer.call_later(0, lambda: self.guarded(self._go_on))

    def _take(self, messages: list[dict[str, Any]]) -> None:
        sync = self._first_sync
        if sync is None or sync.phase != "history":
            self._documents = None
            self._take_closely(messages)
            return
        documents = self._documents = self._documents or Documents(self.node.replica.residents)
        missing = documents.missing(dict.fromkeys(entities_of(messages)))
        if not missing:
            self._take_settled(messages, documents)
            return

        def read(found: Fetched | Unreadable) -> None:
            if self.state != "closed":
                self._fetching = False
                if not isinstance(found, Unreadable):
                    documents.provide(found.entities)
                self._take_settled(messages, documents)
                self._go_on()

        self._fetching = self._inbox.waiting = True
        self.node.disk.fetch(Needs(missing), lambda found: self.guarded(read, found))

    def _take_settled(self, messages: list[dict[str, Any]], documents: Documents) -> None:
        """History, whose entities are here: what these do not plainly contain is looked at closely."""
        place, node = 0, self.node
        if len(messages) == 1 and is_large_message(messages[0]) and self._may_decide(messages[0]):
            self._settle_in_turns(messages, documents)
            return
        while place < len(messages) and self.state != "closed":
            operations = list(takewhile(self._is_operation, islice(messages, place, None)))
            if not operations or not node.health.ok:
                place += self._messages(messages[place : place + 1])
                continue
            taken = parked.receive_settled(node.replica, operations, documents, self.via, node.clock())
            self.operations_in += taken
            place += taken
            if taken:
                self._store()
            if taken < len(operations):
                self._take_closely(messages[place:])
                return

    def _settle_in_turns(self, messages: list[dict[str, Any]], documents: Documents) -> None:
        """The same of one large operation."""
        replica, taken = self.node.replica, False
        if self.state == "closed":
            return
        self._fetching = self._inbox.waiting = True
        if replica.in_turns.busy:
            replica.in_turns.wait(partial(self.guarded, self._settle_in_turns, messages, documents))
            return

        def steps() -> Generator[int, None, bool]:
            nonlocal taken
            now = self.node.clock()
            taken = yield from parked.receive_settled_in_steps(replica, messages[0], documents, self.via, now)
            return False

        def decided() -> None:
            self._fetching = False
            if self.state == "closed":
                return
            if taken:
                self.operations_in += 1
                self._store()
            else:
                self._take_closely(messages)
            self._go_on()

        self._in_turns(steps(), messages, decided)

    def _in_turns(
        self, steps: Generator[int, None, bool], messages: Sequence[dict[str, Any]], decided: Callable[[], None]
    ) -> None:
        """Do something in several turns, and `decided` when it is done. The link waits until then."""

        def done(raised: Exception | None) -> None:
            self.guarded(ended, raised)

        def ended(raised: Exception | None) -> None:
            if raised is not None and not isinstance(raised, Undone):  # a failed commit has closed the link
                raise raised
            decided()

        self._fetching = self._inbox.waiting = True
        self.node.replica.begin_in_turns(steps, parked.names_in(messages), done)

    def _is_operation(self, message: Mapping[str, Any]) -> bool:
        """Whether a message is of this store, may be an operation, and comes from who has shown who it is."""
        realm = self.node.replica.settings.realm
        return (
            message.get("type") == "data_sync" and message.get("realm", realm) == realm and self._handshake.identified
        )

    def _take_closely(self, messages: list[dict[str, Any]]) -> None:
        needs = self._needs(messages)
        if needs is None:
            self._decide(messages)
            return

        def fetched(unreadable: Unreadable | None) -> None:
            if self.state == "closed":
                return
            if unreadable is not None:
                self._one_by_one(deque(messages))
                return
            self._fetching = False
            if len(messages) == 1 and needs.alone and self.node.replica.in_turns.busy:
                self._take_closely(messages)  # another one was faster
                return
            self._decide(messages)
            self._go_on()

        def guarded(unreadable: Unreadable | None) -> None:
            self.guarded(fetched, unreadable)

        fetch(self.node.replica, self.node.disk, needs, guarded)
        self._fetching = self._inbox.waiting = True

    def _needs(self, messages: Sequence[dict[str, Any]]) -> Needs | None:
        """What must be read before these messages can be decided."""
        messages = [message for message in messages if "link" in message]
        if not messages:
            return None  # they are about nothing that is held
        replica = self.node.replica
        entities = tuple(dict.fromkeys(entities_of(messages)))
        missing, doubled = replica.residents.missing(entities), parked.doubled(replica, messages)
        large, in_turns = len(messages) == 1 and is_large_message(messages[0]), replica.in_turns
        needed = missing or doubled or (large and in_turns.busy)
        if not needed and not in_turns.names:
            return None
        names = parked.names_in(messages)
        if not needed and in_turns.names.isdisjoint(names):
            return None
        return Needs(missing, doubled, held=entities, known=names, alone=large)

    def _decide(self, messages: list[dict[str, Any]]) -> None:
        """Take messages in order; a large operation, which is alone, in several turns."""
        replica = self.node.replica
        if len(messages) != 1 or not is_large_message(messages[0]) or not self._may_decide(messages[0]):
            self._messages(messages)
            return
        outcome = Outcome()

        def steps() -> Generator[int, None, bool]:
            nonlocal outcome
            now = self.node.clock()
            outcome = yield from parked.receive_in_steps(replica, messages[0], self.via, now, pauses=True)
            return bool(replica.log.group.rows)

        def decided() -> None:
            self._fetching = False
            if self.state != "closed":
                self._came(outcome)
                self._store()
                self._go_on()
            else:
                self.node.disk.wake_writer()

        self._in_turns(steps(), messages, decided)

    def _may_decide(self, message: Mapping[str, Any]) -> bool:
        """Whether an operation may be taken from the link now."""
        return self.node.health.ok and self._is_operation(message)

    def _one_by_one(self, messages: deque[dict[str, Any]]) -> None:
        """Something that a frame needs cannot be read: park the messages that need it, and take the others."""
        while messages and self.state != "closed":
            message = messages.popleft()
            needs = self._needs([message])
            if needs is None:
                self._messages([message])
                continue

            def fetched(unreadable: Unreadable | None, message: dict[str, Any]) -> None:
                self._messages([message], unreadable)
                self._one_by_one(messages)

            def guarded(unreadable: Unreadable | None, message: dict[str, Any] = message) -> None:
                if self.state != "closed":
                    self.guarded(fetched, unreadable, message)

            fetch(self.node.replica, self.node.disk, needs, guarded)
            return
        self._fetching = False
        self._go_on()

    def _messages(self, messages: Sequence[dict[str, Any]], unreadable: Unreadable | None = None) -> int:
        """Take messages in order. Returns how many.

        unreadable: why what they need cannot be read; they are put off then.
        """
        node, taken = self.node, 0
        if not node.health.ok:
            self.close(INTERNAL_ERROR, "the node cannot store anything at the moment")
            return taken
        now = node.clock()
        try:
            for message in messages:
                if "realm" in message and message["realm"] != node.replica.settings.realm:
                    self.of_another_realm(message["realm"])
                elif unreadable is not None:
                    self._put_off(message, unreadable, now)
                elif message.get("type") == "data_sync" and self._handshake.identified:
                    self._data_sync(message, now)
                else:
                    self._other(message)
                taken += 1
                if self.state == "closed":
                    break
        except InvalidMessage as error:
            self.close(InvalidMessage.code, str(error))
        except Exception as error:
            said = orjson.dumps([message.get("type") for message in messages])
            self.close(INTERNAL_ERROR, node.replica.faults.report(f"a frame of {self.peer_id!r}", said, error))
        if node.replica.log.group.pending() or node.replica.faults.torn is not None:
            self._store()
        return taken

    def _store(self) -> None:
        """Have what was taken stored: at once, or history with more of it."""
        node, sync = self.node, self._first_sync
        history = sync is not None and sync.phase == "history"
        if not history or len(node.replica.log.group.rows) >= GATHERED_ROWS or node.replica.faults.torn is not None:
            node.disk.wake_writer()
        elif not self._gathers:
            self._gathers = True
            node.around.timer.call_later(GATHER_MS, self._gathered)

    def _gathered(self) -> None:
        self._gathers = False
        self.node.disk.wake_writer()

    def of_another_realm(self, named: object) -> None:
        """The other side, or a message of it, is another store's: nothing of it is taken, nor what follows."""
        self.node.statistics.realms_refused += 1
        here = self.node.replica.settings.realm
        self.close(PermissionDenied.code, other_realm(here, named if isinstance(named, str) else "?"))

    def _put_off(self, message: dict[str, Any], unreadable: Unreadable, now: Instant) -> None:
        """Let an operation wait in the quarantine. A state is dropped: a comparison finds its operations."""
        if is_state(message):
            logger.warning(
                "a state of %(peer)s is left: %(reason)s", {"peer": self.peer_id, "reason": unreadable.reason}
            )
        else:
            parked.put_off(self.node.replica, message, self.via, unreadable.reason, now)
            self._leave_out()

    def _leave_out(self) -> None:
        """Something came that is not here: the positions that follow say that it is."""
        self.host.left_out.setdefault(self.peer_id, tuple(self.peer_log.positions))

    @property
    def whole_upto(self) -> tuple[int, ...]:
        """As in Peer."""
        return self.host.left_out.get(self.peer_id) or tuple(self.peer_log.positions)

    def level(self) -> None:
        """A comparison has found that this node holds all that the other one holds."""
        if self.host.left_out.pop(self.peer_id, None) is not None:
            self.held_at.note(self.node.replica.log.head, self.whole_upto)

    def _data_sync(self, message: dict[str, Any], now: Instant) -> None:
        replica = self.node.replica
        if is_state(message):
            if is_part(message):
                if message["link"].get("at") == 0 and self._unasked(remote_state(message)):
                    return
                whole = self.parts.take(message)
                if whole is None:
                    self._part_came(now)
                    return
                message = whole
            state = remote_state(message)
            taken = self.asked.takes(state, self.peer_log.positions, replica.registry)
            if taken is None:
                self._refuse(state)
                return
            outcome = states.receive(replica, state, self.via, now, taken)
            parked.retry_waiting(replica, [state.key], now)
            if outcome.quiet:
                self.host.owe_comparisons(but=self)
            sync = self._first_sync
            if sync is not None:
                sync.state_came(now.mono_ms)
        else:
            self._came(parked.receive(replica, message, self.via, now))
            return
        if outcome.claimed is not None:
            self.host.set_back(self, outcome.claimed)

    def _came(self, outcome: Outcome) -> None:
        """An operation came."""
        self.compare_owed |= outcome.waits
        self.operations_in += 1
        if outcome.left:
            self._leave_out()
        if outcome.claimed is not None:
            self.host.set_back(self, outcome.claimed)

    def _unasked(self, state: RemoteState) -> bool:
        """Whether nobody asked for an entity of which the first part is here: no part of it is kept then."""
        if self.asked.takes(state, self.peer_log.positions, self.node.replica.registry) is not None:
            return False
        self._refuse(state)
        return True

    def _refuse(self, state: RemoteState) -> None:
        self.refused += 1
        logger.warning(
            "%(peer)s sends %(entity_type)s %(entity_id)s whole, which nobody asked for",
            {"peer": self.peer_id, "entity_type": state.key[0], "entity_id": state.key[1]},
        )

    def _part_came(self, now: Instant) -> None:
        sync = self._first_sync
        if sync is not None:
            sync.moved_ms = now.mono_ms

    def _other(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if self.hello is None or (self.state == "handshake" and kind == "connection_established"):
            self._handshake.established(message)
        elif not self._handshake.identified:
            if kind != "sync_confirmation":
                raise InvalidMessage("expected who is there", "$.type")
            self._handshake.answered(message)
        elif kind == "ping":  # this and its answer come most often
            self._kept_out(read_kept_out(message))
            self.reply(clock_pong(self.node.clock().wall_ms))
        elif kind == "pong":
            if self.clock.answered(read_clock(message), self.node.clock()):
                self.host.follow_clock(self)
        elif kind == "log_position":
            self._position(message)
        elif kind == "sync_confirmation":
            claim = positions.read_claim(message)
            if self.state == "handshake":
                self._handshake.begin(claim)
            else:
                self.delivery.window.confirm_upto(claim.positions)
                self.delivery.pump()
        elif kind in digests.TYPES:
            anti_entropy.receive(self, message)
        elif kind in contents_wire.TYPES:
            contents.receive(self, message)
        elif kind in history_wire.TYPES:
            history.receive(self, message)
        elif kind in locks.TYPES:
            self.node.lock_requests.receive(self, message)
        elif kind == "terminal_status_update":
            self._spend(("lists of terminals", 1))
            self.host.heard_of_terminals(self, message)
        elif kind == "terminals_knew":
            visits = message.get("visits")
            self._spend(("visits of terminals", len(visits) if type(visits) is list else 1))
            self.host.heard_what_terminals_knew(self, message)
        elif kind == "terminal_came":
            self._spend(("questions about terminals", 1))
            self.host.asked_of_terminal(self, message)
        elif kind == "chain_heads":
            self._spend(("lists of signed heads", 1))
            self.host.heard_heads(self, message)
        elif kind == "speaks_for":
            self._speaks_for(read_speaks_for(message), read_keys(message))
        elif kind == "sync_error" and message.get("code") == AlreadyConnected.code:
            self.host.report_twin(word(message.get("error"), 500))
        elif kind != "sync_error":
            raise InvalidMessage(f"unknown message type {word(kind, 64)!r}", "$.type")

    def _speaks_for(self, nodes: Sequence[str], keys: Mapping[str, Sequence[bytes]]) -> None:
        """The other side says whose operations it passes on, and their keys."""
        replica = self.node.replica
        peer, origins, meta = self.peer_id, replica.origins, replica.log.group.commit.meta
        new = origins.heard(peer, nodes, meta)
        for node in replica.keyring.told(peer, keys, meta, partial(origins.may_speak, peer)):
            self.node.key_is_known(node)
        here = [name for name in new if name in self.host.connected and name != self.peer_id]
        if here:
            logger.warning(
                "%(peer)s says that it speaks for %(nodes)s, which is linked here itself",
                {"peer": self.peer_id, "nodes": ", ".join(here)},
            )

    def _kept_out(self, kept_out: KeptOut | None) -> None:
        """The other side says what it cannot apply. It is logged once a connection; reports always say it."""
        self.kept_out = kept_out
        if kept_out is not None and not self._kept_out_said:
            self._kept_out_said = True
            logger.error(
                "%(peer)s cannot apply %(count)d operations that came from here: %(reason)s",
                {"peer": self.peer_id, "count": kept_out.count, "reason": kept_out.why},
            )

    def _position(self, message: Mapping[str, Any]) -> None:
        """Note that this node holds the peer's log up to here, once the rows before are committed."""
        assert self.hello is not None
        self.peer_log.moved(
            positions.read_positions(message), positions.read_last_row(message), positions.read_head(message)
        )
        self.held_at.note(self.node.replica.log.head, self.whole_upto)
        if min(self.peer_log.positions) != NO_POSITION:
            self.asked.everything = False
        self._progress(read_progress(message))
        group = self.node.replica.log.group
        row = self.peer_log.row(self.hello, self.node.clock().wall_ms)
        group.commit.peers.append(row)
        group.replies.append((self, positions.position_confirmation(self._handshake.claim())))

    # ------------------------------------------------------------------ first synchronisation

    @property
    def _first_sync(self) -> FirstSync | None:
        """The node's first synchronisation, while it is with this peer."""
        sync = self.host.first_sync
        return sync if sync is not None and sync.runs_with(self.peer_id) else None

    def _progress(self, progress: StateProgress | None) -> None:
        """Note how far a first synchronisation is. progress: of the entities, while the other side sends them."""
        if progress is not None:
            self.host.came_up_to(self.via, progress.after)
        sync = self._first_sync
        if sync is None or sync.phase != "states":
            return
        if progress is not None:
            sync.states_total = progress.total
        if min(self.peer_log.positions) != NO_POSITION:
            sync.states_are_here(self.node.clock().mono_ms)
            history.begin(self)
            self.host.release()

    # ------------------------------------------------------------------ outbound

    def follower(self) -> FollowerRow | None:
        """How far the other side has confirmed this log; None if the link was never up."""
        if self.hello is None or not self.was_up:
            return None
        upto = self.delivery.window.positions
        return FollowerRow(self.hello.node_id, self.host.epoch, upto, self.node.clock().wall_ms)

    def reply(self, *messages: bytes) -> None:
        if self.state == "closed":
            return
        for message in messages:
            self.connection.send(Outgoing(message))

    def close(self, code: int, reason: str) -> None:
        """Close the connection. The side that dialled dials again."""
        if self.state != "closed":
            level = logging.INFO if code == NORMAL else logging.WARNING
            logger.log(
                level, "link to %(peer)s: %(reason)s", {"peer": self.peer_id or self.url or "", "reason": reason}
            )
            self.end()
            self.connection.close(code, reason)

    def end(self) -> None:
        """The connection is gone."""
        self.state = "closed"
        self.delivery.closed = self._inbox.closed = True

    # ------------------------------------------------------------------ time

    @property
    def _rest_ms(self) -> float:
        """Between two questions for the other clock; at each tick of a near node."""
        pace = self.host.pace
        return pace.far if pace.is_far(self.clock) else 0

    def _ping(self) -> None:
        if self.clock.ask(self.node.clock()):
            self.reply(ping(self.node.replica.quarantine.kept_out(self.peer_id)))

    @property
    def caught_up(self) -> bool:
        """Whether both sides have each other's log but for a few rows, as far as this one knows.

        Under steady traffic some rows are always under way. A comparison sends those twice, which does no harm.
        """
        lag = self.delivery.feed.lag(self.delivery)
        return self.state == "up" and lag <= NEARLY and self.peer_log.behind <= NEARLY

    def tick(self, now_ms: int) -> None:
        """Once a second: ask for the other side's clock, and compare with it, when caught up and due."""
        if self.paused and self.host.budget(self.peer_id).renew(now_ms):
            self.paused = False
            self._go_on()
        if self.state == "up" and (self._pinged_ms is None or now_ms - self._pinged_ms >= self._rest_ms):
            self._pinged_ms = now_ms
            self._ping()
        if self.held and not self.host.holds_back(self):
            self.release()
        sync = self._first_sync
        if sync is not None:
            if sync.phase == "history" and self._inbox.unfinished:
                sync.moved_ms = now_ms  # what came waits here: nobody else is to blame
            elif sync.phase == "history" and sync.stands_still(now_ms):
                history.stands_still(self, sync)
            return
        if self.host.filling() not in (None, self):
            return  # that link sends what is missing
        due = self.compared_ms is None or now_ms - self.compared_ms >= anti_entropy.COMPARE_INTERVAL_MS
        begins = self.dialled or self.peer_id in self.host.left_out
        if ((begins and due) or self.compare_owed) and self.caught_up:
            anti_entropy.begin(self, self._settled_until())
            self.compared_ms, self.compare_owed = now_ms, False
            self._compared_head = self.node.replica.log.head
        if now_ms - self._asked_ms >= ASK_INTERVAL_MS and self.caught_up:
            self._asked_ms = now_ms
            self._ask_for_bad()

    def _settled_until(self) -> int | None:
        """Before when what is compared now was accepted, in Unix milliseconds; None where all is compared."""
        replica = self.node.replica
        quiet = replica.log.head == self._compared_head
        if quiet or self.compared_ms is None or self.compare_owed or self.peer_id in self.host.left_out:
            return None
        return max(replica.clock.latest_ms(self.node.clock()) - anti_entropy.SETTLED_MS, 0)

    def _ask_for_bad(self) -> None:
        rows = self.node.replica.quarantine.bad(self._asked_upto, BAD_ASKED)
        if rows:
            self._asked_upto = rows[-1].id
            anti_entropy.ask_again(self, [row.link_key for row in rows])


def _first_turn(messages: Sequence[dict[str, Any]]) -> int:
    """How many messages of a frame are taken at once."""
    left = TURN_MESSAGES
    for number, message in enumerate(messages):
        if left <= 0:
            return number
        if is_large_message(message):
            return max(number, 1)
        link = message.get("link")
        if isinstance(link, dict):
            updates = link.get("updates")
            whole = STATE_MESSAGES if "state" in link else 1
            left -= len(updates) if isinstance(updates, list) and updates else whole
        else:
            left -= 1
    return len(messages)
