"""One link: another node on the other end of a WebSocket, each following the other's log.

    handshake --the other's claim fits our log--> up --connection ends--> closed
    handshake --it holds what we never wrote--> closed, under a new epoch (we are a restored copy)

Both sides are alike but for who dialled and which one is upstream. What this node holds of the peer's log is stored
with the rows themselves (`PeerRow`), so a restored node asks for exactly what it lost.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson
from attrs import define, field

from node.core.delivery.delivery import Delivery
from node.core.delivery.window import Window
from node.core.inbox import Inbox
from node.core.links import anti_entropy
from node.core.links.clock_offset import ClockOffset
from node.core.links.feed import LINK_OUTBOX, LINK_PAGE, LinkFeed
from node.core.links.handshake import Handshake
from node.core.links.host import Host, Node
from node.core.links.peer_log import PeerLog
from node.core.log.entries import NO_POSITION
from node.core.operations import parked, states
from node.core.operations.needs import fetch
from node.core.operations.quarantine import WAITING
from node.core.ports import Connection, Needs, Unreadable
from node.errors import AlreadyConnected, InvalidMessage
from node.wire.close_codes import INTERNAL_ERROR, NORMAL
from node.wire.frames import Outgoing
from node.wire.json_text import word
from node.wire.links import digests, locks, positions
from node.wire.links.handshake import CLOCK_PING, Hello, clock_pong, read_clock
from node.wire.links.operations import entities_of
from node.wire.links.states import is_state, read_progress
from storage.records import FollowerRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from node.core.links.first_sync import FirstSync
    from node.core.ports import Instant
    from node.wire.links.states import StateProgress
    from storage.records import Key

logger = logging.getLogger("comanda.link")

BACKLOG_PAUSE = 8
"""Frames waiting for the disk above which the socket is not read."""

ASK_INTERVAL_MS = 60_000
"""How often operations that came damaged are asked for once more."""

BAD_ASKED = 100
"""Most operations that came damaged that are asked for once more at a time."""

NEARLY = 1_000
"""Rows under way with which two nodes still count as caught up."""


@define(eq=False, kw_only=True)
class Link:
    """A connected node.

    role: what the other node is to this one: upstream | peer | downstream.
    session_id: what this side calls the connection.
    url: where the other node was dialled; None where it dialled.
    hello: what a dialling node said in its request; None until the other side has said who it is.
    """

    host: Host
    role: str
    connection: Connection
    session_id: str
    url: str | None = None
    hello: Hello | None = None
    node: Node = field(init=False)
    since_ms: int = field(init=False)
    delivery: Delivery[LinkFeed] = field(init=False)
    peer_log: PeerLog = field(factory=PeerLog, init=False)
    clock: ClockOffset = field(factory=ClockOffset, init=False)
    state: str = field(default="handshake", init=False)
    was_up: bool = field(default=False, init=False)
    operations_in: int = field(default=0, init=False)
    compare_owed: bool = field(default=False, init=False)
    compared_ms: int | None = field(default=None, init=False)
    _asked_ms: int = field(default=0, init=False)
    """When we last asked again for damaged operations."""
    _asked_upto: int = field(default=0, init=False)
    """Quarantine number up to which we have asked."""
    _handshake: Handshake = field(init=False)
    _inbox: Inbox[str | bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        node = self.node = self.host.node
        self.since_ms = node.clock().wall_ms
        self._handshake = Handshake(link=self, session_id=self.session_id)
        self._inbox = Inbox(handle=self._frame, connection=self.connection, most=BACKLOG_PAUSE)
        self.delivery = Delivery(
            window=Window(self.host.window_rows),
            feed=LinkFeed(total=lambda: len(node.replica.residents.known)),
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
        """Whether it is kept in the handshake while another link fills this node."""
        return self._handshake.held

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
        self.delivery.feed.start(self.delivery, upto, after)
        self._ping()
        self.host.link_up(self)

    # ------------------------------------------------------------------ inbound

    def receive(self, text: str | bytes) -> None:
        """One frame: a message or an array of them."""
        if self.state != "closed":
            self._inbox.put(text)

    def _frame(self, text: str | bytes) -> None:
        try:
            loaded = orjson.loads(text)
        except ValueError as error:
            self.close(InvalidMessage.code, f"not JSON: {error}")
            return
        messages = loaded if isinstance(loaded, list) else [loaded]
        if not all(isinstance(message, dict) for message in messages):
            self.close(InvalidMessage.code, "a frame is an object or an array of objects")
            return
        needs = self._needs(messages)
        if needs is None:
            self._messages(messages)
            return
        self._inbox.waiting = True

        def fetched(unreadable: Unreadable | None) -> None:
            if self.state == "closed":
                return
            if unreadable is not None:
                self._one_by_one(deque(messages))
                return
            self._inbox.waiting = False
            self._messages(messages)
            self._inbox.drain()

        fetch(self.node.replica, self.node.disk, needs, fetched)

    def _needs(self, messages: Sequence[dict[str, Any]]) -> Needs | None:
        """What must be read before these can be decided."""
        replica = self.node.replica
        entities = tuple(dict.fromkeys(entities_of(messages)))
        missing, doubled = replica.residents.missing(entities), parked.doubled(replica, messages)
        return Needs(missing, doubled, held=entities) if missing or doubled else None

    def _one_by_one(self, messages: deque[dict[str, Any]]) -> None:
        """Something that a frame needs cannot be read: what needs it is parked, and tried again; the rest flows."""
        while messages and self.state != "closed":
            message = messages.popleft()
            needs = self._needs([message])
            if needs is None:
                self._messages([message])
                continue

            def fetched(unreadable: Unreadable | None, message: dict[str, Any] = message) -> None:
                if self.state != "closed":
                    self._messages([message], unreadable)
                    self._one_by_one(messages)

            fetch(self.node.replica, self.node.disk, needs, fetched)
            return
        self._inbox.waiting = False
        self._inbox.drain()

    def _messages(self, messages: Sequence[dict[str, Any]], unreadable: Unreadable | None = None) -> None:
        """unreadable: what these need is not there, and cannot be read."""
        node = self.node
        if not node.health.ok:
            self.close(INTERNAL_ERROR, "the node cannot store anything at the moment")
            return
        now = node.clock()
        try:
            for message in messages:
                if unreadable is not None:
                    self._put_off(message, unreadable, now)
                elif message.get("type") == "data_sync" and self.hello is not None:
                    self._data_sync(message, now)
                else:
                    self._other(message)
                if self.state == "closed":
                    break
        except InvalidMessage as error:
            self.close(InvalidMessage.code, str(error))
        if node.replica.log.group.pending():
            node.disk.wake_writer()

    def _put_off(self, message: dict[str, Any], unreadable: Unreadable, now: Instant) -> None:
        """An operation waits in the quarantine. A state is left to the operations it is made of, as one that cannot
        be taken: a comparison finds them."""
        if is_state(message):
            logger.warning("a state of %s is left: %s", self.peer_id, unreadable.reason)
        else:
            parked.park(self.node.replica, message, self.via, WAITING, unreadable.reason, now)

    def _data_sync(self, message: dict[str, Any], now: Instant) -> None:
        replica = self.node.replica
        if is_state(message):
            outcome = states.receive(replica, message, self.via, now)
            if outcome.quiet:
                self.host.owe_comparisons(but=self)
            sync = self._first_sync
            if sync is not None:
                sync.state_came(now.mono_ms)
        else:
            outcome = parked.receive(replica, message, self.via, now)
            self.compare_owed |= outcome.waits
            self.operations_in += 1
        if outcome.claimed is not None:
            self.host.set_back(f"{self.peer_id}: {outcome.claimed}")

    def _other(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if self.hello is None or (self.state == "handshake" and kind == "connection_established"):
            self._handshake.established(message)
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
        elif kind in locks.TYPES:
            self.node.lock_requests.receive(self, message)
        elif kind == "terminal_status_update":
            self.host.heard_of_terminals(self, message)
        elif kind == "sync_error" and message.get("code") == AlreadyConnected.code:
            self.host.report_twin(word(message.get("error"), 500))
        elif kind == "ping":
            self.reply(clock_pong(self.node.clock().wall_ms))
        elif kind == "pong":
            if self.clock.answered(read_clock(message), self.node.clock()):
                self.host.follow_clock(self)
        elif kind != "sync_error":
            raise InvalidMessage(f"unknown message type {word(kind, 64)!r}", "$.type")

    def _position(self, message: Mapping[str, Any]) -> None:
        """With what came before, this node holds the peer's log up to here, once it is committed."""
        assert self.hello is not None
        self.peer_log.moved(
            positions.read_positions(message), positions.read_last_row(message), positions.read_head(message)
        )
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
        """progress: of the entities, where the other side is sending them."""
        if progress is not None:
            self.host.states_after[self.via] = dict(progress.after)
        sync = self._first_sync
        if sync is None or sync.phase != "states":
            return
        if progress is not None:
            sync.states_total = progress.total
        if min(self.peer_log.positions) != NO_POSITION:
            sync.states_are_here(self.node.clock().mono_ms)
            anti_entropy.begin(self)  # its history
            self.host.release()

    # ------------------------------------------------------------------ outbound

    def follower(self) -> FollowerRow | None:
        """How far the other side has confirmed this log; None where it was never up."""
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
        """Drop this connection; whoever dialled dials again."""
        if self.state != "closed":
            level = logging.INFO if code == NORMAL else logging.WARNING
            logger.log(level, "link to %s: %s", self.peer_id or self.url or "", reason)
            self.end()
            self.connection.close(code, reason)

    def end(self) -> None:
        """The connection is gone."""
        self.state = "closed"
        self.delivery.closed = self._inbox.closed = True

    # ------------------------------------------------------------------ time

    def _ping(self) -> None:
        if self.clock.ask(self.node.clock()):
            self.reply(CLOCK_PING)

    @property
    def caught_up(self) -> bool:
        """Whether both sides have each other's log but for a few rows, as far as this one knows.

        Under steady traffic some rows are always on their way. A comparison has them sent twice, which harms nobody.
        """
        lag = self.delivery.feed.lag(self.delivery)
        return self.state == "up" and lag <= NEARLY and self.peer_log.behind <= NEARLY

    def tick(self, now_ms: int) -> None:
        """Once a second: ask for the other side's clock, and compare with it, when caught up and due."""
        if self.state == "up":
            self._ping()
        sync = self.host.first_sync
        if self.held and sync is not None and self.hello is not None and sync.stands_still(now_ms):
            sync.take_over(self.peer_id, self.hello.head, now_ms)
            self.release()
        sync = self._first_sync
        if sync is not None:
            replica = self.node.replica
            if sync.phase == "history" and sync.broke_off(
                replica.held.digests.count + len(replica.quarantine), now_ms
            ):
                anti_entropy.begin(self)
            return
        if self.host.filling() not in (None, self):
            return  # what is missing comes from there
        due = self.compared_ms is None or now_ms - self.compared_ms >= anti_entropy.COMPARE_INTERVAL_MS
        if self.caught_up and ((self.dialled and due) or self.compare_owed):
            self.compared_ms, self.compare_owed = now_ms, False
            anti_entropy.begin(self)
        if self.caught_up and now_ms - self._asked_ms >= ASK_INTERVAL_MS:
            self._asked_ms = now_ms
            self._ask_for_bad()

    def _ask_for_bad(self) -> None:
        rows = self.node.replica.quarantine.bad(self._asked_upto, BAD_ASKED)
        if rows:
            self._asked_upto = rows[-1].id
            anti_entropy.ask(self, [row.link_key for row in rows])
