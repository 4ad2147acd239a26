"""One link: another node on the other end of a WebSocket, each following the other's log (design section 8).

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

from crdt import hlc
from node.core.delivery.delivery import Delivery
from node.core.delivery.window import Window
from node.core.inbox import Inbox
from node.core.links import anti_entropy
from node.core.links.feed import LINK_OUTBOX, LINK_PAGE, LINK_WINDOW, LinkFeed
from node.core.links.first_sync import PATIENCE_MS, FirstSync
from node.core.log.entries import NO_POSITION
from node.core.operations import parked, states
from node.core.operations.quarantine import WAITING
from node.core.operations.subject import fetch
from node.core.ports import Connection, Needs, Unreadable
from node.errors import AlreadyConnected, InvalidMessage
from node.wire.close_codes import INTERNAL_ERROR, NORMAL
from node.wire.frames import Outgoing
from node.wire.json_text import word
from node.wire.links import digests, handshake, positions
from node.wire.links.handshake import CLOCK_PING, Hello, clock_pong, read_clock
from node.wire.links.positions import Claim
from node.wire.links.states import is_state, read_progress
from storage.answers import ARCHIVED
from storage.records import CLASSES, FollowerRow, PeerRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from node.core.core import Core  # noqa: TC004 (it imports this file)
    from node.core.entities.entity import Key
    from node.core.ports import Instant
    from node.wire.links.states import StateProgress

logger = logging.getLogger("comanda.link")

BACKLOG_PAUSE = 8
"""Frames waiting for the disk above which the socket is not read."""

COMPARE_INTERVAL_MS = 60_000
"""How often two nodes that are level compare what they hold, and ask for what came damaged."""

BAD_ASKED = 100
"""So many operations that came damaged are asked for once more at a time."""

FORGET_PINGS = 600
"""After so many samples of the other side's clock the best one so far is let go: clocks drift."""

CLOCK_MOVED_MS = 1_000
"""One of two clocks was set where they are further apart than before by this much, and a round trip."""

LINKED_ALREADY = "linked already"

NEARLY = 1_000
"""Rows under way with which two nodes still count as level."""


@define(eq=False)
class Link:
    """A connected node. role: what the other one is to us: upstream | peer | downstream."""

    core: Core
    role: str
    connection: Connection
    url: str
    dialled: bool
    hello: Hello | None
    session_id: str
    since_ms: int
    delivery: Delivery[LinkFeed] = field(init=False)
    state: str = "handshake"
    was_up: bool = False
    received: list[int] = field(factory=lambda: [NO_POSITION] * CLASSES)
    mark: tuple[int, bytes] = (0, b"")
    peer_head: int = 0
    offset_ms: int = 0
    """How far the other side's clock is ahead, by the sample with the shortest way there and back."""
    rtt_ms: int | None = None
    clock_far: bool = False
    """It is too far from this node's to be followed."""
    operations_in: int = 0
    compare_owed: bool = False
    held: bool = False
    """Kept in the handshake while another link fills this node (first_sync.py)."""
    compared_ms: int | None = None
    _asked_ms: int = 0
    """When operations that came damaged were last asked for once more; the number of the last of them."""
    _asked_upto: int = 0
    _inbox: Inbox[str | bytes] = field(init=False)
    _pings: int = 0
    _pinged_ms: int | None = None

    def __attrs_post_init__(self) -> None:
        core = self.core
        self._inbox = Inbox(handle=self._frame, connection=self.connection, most=BACKLOG_PAUSE)
        self.delivery = Delivery(
            window=Window(LINK_WINDOW),
            feed=LinkFeed(total=lambda: len(core.replica.residents.known)),
            log=core.log,
            disk=core.disk,
            connection=self.connection,
            page=LINK_PAGE,
            outbox_high=LINK_OUTBOX,
        )
        self.delivery.held = True

    # ------------------------------------------------------------------ who is there

    @property
    def peer_id(self) -> str:
        return self.hello.node_id if self.hello is not None else ""

    @property
    def via(self) -> str:
        return f"{self.hello.node_id}:{self.hello.epoch}" if self.hello is not None else ""

    def greet(self) -> None:
        """The accepting side's first message; the peer answers with its claim."""
        hello = self.hello
        assert hello is not None
        self._known(hello)
        self.held = self._waits()
        if not self.held:
            self._introduce(hello)

    def refuse(self) -> None:
        """The accepting side's only message where another link with that node stays: it learns with whom."""
        assert self.hello is not None
        self._introduce(self.hello)
        self.close(NORMAL, LINKED_ALREADY)

    def _introduce(self, hello: Hello) -> None:
        core, now = self.core, self.core.clock()
        mine = Hello(
            core.node_id, core.epoch, core.replica.log.committed, now.wall_ms, core.authority(), self._claim()
        )
        self.reply(handshake.established(mine, hello.node_id, hlc.iso(now.wall_ms), self.session_id))

    def _known(self, hello: Hello) -> None:
        """What is stored of this peer counts as long as its log is still the same one."""
        self.hello, self.peer_head = hello, hello.head
        self.delivery.feed.peer = self.via
        row = self.core.peers.get(hello.node_id)
        if row is not None and row.epoch == hello.epoch:
            self.received, self.mark = list(row.positions), (row.mark, row.mark_hash)
        core, now_ms = self.core, self.core.clock().mono_ms
        if core.first_sync is None:
            if self._claim().empty and hello.head:
                core.first_sync = FirstSync(hello.node_id, hello.head, now_ms, now_ms)
        elif core.first_sync.phase == "states" and core.filling() is None:
            core.first_sync.take_over(hello.node_id, hello.head, now_ms)

    def _claim(self) -> Claim:
        hello, core = self.hello, self.core
        assert hello is not None
        known = max(self.received) != NO_POSITION
        replica = core.replica
        no_rows = replica.held.digests.count <= len(replica.held.archived)
        empty = not known and no_rows and not replica.quarantine
        sync = core.first_sync
        if sync is not None and sync.peer == hello.node_id:
            empty |= not known and sync.phase == "states"  # also where something was written here meanwhile
        elif sync is not None:
            empty &= not sync.covers(hello.head)
        after = core.states_after.get(self.via, {})
        return Claim(hello.epoch if known else None, tuple(self.received), *self.mark, empty, after)

    def _established(self, message: Mapping[str, Any]) -> None:
        """The dialling side's first message."""
        hello = handshake.read_established(message)
        core = self.core
        if hello.node_id == core.node_id:
            core.report_twin(f"{self.url} is a node with this node's own id {core.node_id}")
            self.close(AlreadyConnected.code, "a node with this id is already there")
            return
        self._known(hello)
        if hello.claim is None:
            raise InvalidMessage("the other side does not say what it holds", "$.node.holds")
        if not core.linked(self):
            self.close(NORMAL, LINKED_ALREADY)
            return
        self.held = self._waits()
        if not self.held:
            self._answer(hello.claim)

    def _answer(self, claim: Claim) -> None:
        self.reply(positions.position_confirmation(self._claim()))
        self._begin(claim)

    def _waits(self) -> bool:
        """Whether another link is filling this node, so that this one need not."""
        hello, filling = self.hello, self.core.filling()
        filled = self.core.first_sync is not None and self.core.first_sync.phase == "states"
        return filled and filling not in (None, self) and hello is not None and hello.head > 0

    def release(self) -> None:
        """Go on with the handshake."""
        if self.held and self.state == "handshake" and self.hello is not None:
            self.held = False
            if self.hello.claim is not None:
                self._answer(self.hello.claim)
            else:
                self._introduce(self.hello)

    # ------------------------------------------------------------------ the claim

    def _begin(self, claim: Claim) -> None:
        """Go on where the other side says it is, if that is a place in this log."""
        core = self.core
        head = core.replica.log.committed
        if claim.epoch != core.epoch:
            # It holds nothing of this log: every entity, and the operations that a comparison finds missing.
            self._go([NO_POSITION if claim.empty else head] * CLASSES, claim.after)
            return
        if max(*claim.positions, claim.mark) > head:
            core.forked(
                f"{self.peer_id} holds row {max(*claim.positions, claim.mark)} of this log, which ends at {head}"
            )
            return
        if claim.mark == 0:
            self._go(claim.positions, claim.after)
            return

        def checked(found: bytes | Unreadable | None) -> None:
            if self.state != "handshake":
                return
            if isinstance(found, Unreadable):
                self.close(INTERNAL_ERROR, f"this node cannot read its log: {found.reason}")
                return
            if found in (claim.mark_hash, ARCHIVED):  # of an archived row nobody can tell any more
                self._go(claim.positions, claim.after)
            else:
                core.forked(f"{self.peer_id} holds another row {claim.mark} of this log")

        core.disk.row_hash(claim.mark, checked)

    def _go(self, upto: Sequence[int], after: Mapping[int, Key]) -> None:
        self.state, self.was_up = "up", True
        self.delivery.feed.start(self.delivery, upto, after)
        self._ping()
        self.core.link_up(self)

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

        fetch(self.core.replica, self.core.disk, needs, fetched)

    def _needs(self, messages: Sequence[dict[str, Any]]) -> Needs | None:
        """What must be read before these can be decided."""
        replica = self.core.replica
        touched = tuple(dict.fromkeys(_entities(messages)))
        missing, doubled = replica.residents.missing(touched), parked.doubled(replica, messages)
        return Needs(missing, doubled, held=touched) if missing or doubled else None

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

            fetch(self.core.replica, self.core.disk, needs, fetched)
            return
        self._inbox.waiting = False
        self._inbox.drain()

    def _messages(self, messages: Sequence[dict[str, Any]], unreadable: Unreadable | None = None) -> None:
        """unreadable: what these need is not there, and cannot be read."""
        core, replica = self.core, self.core.replica
        if not core.health.ok:
            self.close(INTERNAL_ERROR, "the node cannot store anything at the moment")
            return
        now = core.clock()
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
        if replica.log.group.pending():
            core.disk.wake_writer()

    def _put_off(self, message: dict[str, Any], unreadable: Unreadable, now: Instant) -> None:
        """An operation waits in the quarantine. A state is left to the operations it is made of, as one that cannot
        be taken: a comparison finds them."""
        if is_state(message):
            logger.warning("a state of %s is left: %s", self.peer_id, unreadable.reason)
        else:
            parked.park(self.core.replica, message, self.via, WAITING, unreadable.reason, now)

    def _data_sync(self, message: dict[str, Any], now: Instant) -> None:
        replica = self.core.replica
        if is_state(message):
            outcome = states.receive(replica, message, self.via, now)
            if outcome.quiet:
                for other in self.core.links.values():
                    other.compare_owed |= other is not self
            if self.first_sync is not None:
                self.first_sync.states += 1
                self.first_sync.moved_ms = now.mono_ms
        else:
            outcome = parked.receive(replica, message, self.via, now)
            self.compare_owed |= outcome.waits
            self.operations_in += 1
        if outcome.claimed is not None:
            self.core.set_back(f"{self.peer_id}: {outcome.claimed}")

    def _other(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if self.hello is None or (self.state == "handshake" and kind == "connection_established"):
            self._established(message)
        elif kind == "log_position":
            self._position(message)
        elif kind == "sync_confirmation":
            claim = positions.read_claim(message)
            if self.state == "handshake":
                self._begin(claim)
            else:
                self.delivery.window.confirm_upto(claim.positions)
                self.delivery.pump()
        elif kind in digests.TYPES:
            anti_entropy.receive(self, message)
        elif kind in ("acquire_lock", "release_lock", "lock_acquired", "lock_failed", "lock_released", "locks"):
            self.core.lock_service.receive(self, message)
        elif kind == "terminal_status_update":
            self.core.neighbours.receive(self, message)
        elif kind == "sync_error" and message.get("code") == AlreadyConnected.code:
            self.core.report_twin(word(message.get("error"), 500))
        elif kind == "ping":
            self.reply(clock_pong(self.core.clock().wall_ms))
        elif kind == "pong":
            self._clock(read_clock(message))
        elif kind != "sync_error":
            raise InvalidMessage(f"unknown message type {word(kind, 64)!r}", "$.type")

    def _position(self, message: Mapping[str, Any]) -> None:
        """With what came before, this node holds the peer's log up to here, once it is committed."""
        assert self.hello is not None
        held = positions.read_positions(message)
        self.received = [max(old, new) for old, new in zip(self.received, held, strict=True)]
        mark = positions.read_mark(message)
        if mark[0] > self.mark[0]:
            self.mark = mark
        self._progress(read_progress(message))
        head = message.get("head")
        if type(head) is int and head <= positions.MOST_POSITION:
            self.peer_head = max(self.peer_head, head)
        group = self.core.replica.log.group
        row = PeerRow(
            self.hello.node_id, self.hello.epoch, tuple(self.received), *self.mark, self.core.clock().wall_ms
        )
        group.commit.peers.append(row)
        group.replies.append((self, positions.position_confirmation(self._claim())))

    # ------------------------------------------------------------------ clocks

    def _ping(self) -> None:
        if self._pinged_ms is None:
            self._pinged_ms = self.core.clock().mono_ms
            self.reply(CLOCK_PING)

    def _clock(self, theirs_ms: int) -> None:
        """The answer to a ping: the other side's clock, somewhere between there and back."""
        if self._pinged_ms is None:
            return
        now = self.core.clock()
        rtt_ms, self._pinged_ms = now.mono_ms - self._pinged_ms, None
        self._pings += 1
        offset_ms = theirs_ms - (now.wall_ms - rtt_ms // 2)
        jumped = abs(offset_ms - self.offset_ms) > rtt_ms + CLOCK_MOVED_MS  # no way there and back explains it
        if self.rtt_ms is None or rtt_ms <= self.rtt_ms or jumped or self._pings % FORGET_PINGS == 0:
            self.rtt_ms, self.offset_ms = rtt_ms, offset_ms
            self.core.follow_clock(self)

    # ------------------------------------------------------------------ first synchronisation

    @property
    def first_sync(self) -> FirstSync | None:
        """The node's first synchronisation, while it is with this peer."""
        found = self.core.first_sync
        return found if found is not None and found.peer == self.peer_id and found.phase != "over" else None

    def _progress(self, progress: StateProgress | None) -> None:
        if progress is not None:
            self.core.states_after[self.via] = dict(progress.after)
        found = self.first_sync
        if found is None or found.phase != "states":
            return
        if progress is not None:
            found.states_total = progress.total
        if min(self.received) != NO_POSITION:
            found.states_ms = self.core.clock().mono_ms
            anti_entropy.begin(self)  # its history
            self.core.release_links()

    def told_operations(self, count: int) -> None:
        """How many operations the other side holds."""
        if self.first_sync is not None:
            self.first_sync.operations_total = count

    def _history(self, now_ms: int) -> None:
        found = self.first_sync
        if found is None or found.phase != "history":
            return
        replica, before = self.core.replica, found.operations
        found.operations = replica.held.digests.count + len(replica.quarantine)
        if found.operations_total is not None and found.operations >= found.operations_total:
            found.ended_ms = now_ms
        elif found.operations == before:  # nothing more is on its way: it broke off
            anti_entropy.begin(self)

    # ------------------------------------------------------------------ outbound

    def follower(self) -> FollowerRow | None:
        """How far the other side has confirmed this log; None where it was never up."""
        if self.hello is None or not self.was_up:
            return None
        upto = self.delivery.window.positions
        return FollowerRow(self.hello.node_id, self.core.epoch, upto, self.core.clock().wall_ms)

    def reply(self, *messages: bytes) -> None:
        if self.state == "closed":
            return
        for message in messages:
            self.connection.send(Outgoing(message))

    def close(self, code: int, reason: str) -> None:
        """Drop this connection; whoever dialled dials again."""
        if self.state != "closed":
            level = logging.INFO if code == NORMAL else logging.WARNING
            logger.log(level, "link to %s: %s", self.peer_id or self.url, reason)
            self.end()
            self.connection.close(code, reason)

    def end(self) -> None:
        """The connection is gone."""
        self.state, self.delivery.closed, self._inbox.closed = "closed", True, True

    # ------------------------------------------------------------------ time

    @property
    def level(self) -> bool:
        """Whether both sides have each other's log but for a few rows, as far as this one knows. Under steady traffic
        some are always on their way; a comparison has them sent twice, which harms nobody."""
        behind = self.peer_head - min(self.received)
        return self.state == "up" and self.delivery.feed.lag(self.delivery) <= NEARLY and behind <= NEARLY

    def tick(self, now_ms: int) -> None:
        """Once a second: ask for the other side's clock, and compare with it, when level and due."""
        if self.state == "up":
            self._ping()
        sync = self.core.first_sync
        if self.held and sync is not None and self.hello is not None and now_ms - sync.moved_ms >= PATIENCE_MS:
            sync.take_over(self.peer_id, self.hello.head, now_ms)
            self.release()
        if self.first_sync is not None:
            self._history(now_ms)
            return
        if self.core.filling() not in (None, self):
            return  # what is missing comes from there
        due = self.compared_ms is None or now_ms - self.compared_ms >= COMPARE_INTERVAL_MS
        if self.level and ((self.dialled and due) or self.compare_owed):
            self.compared_ms, self.compare_owed = now_ms, False
            anti_entropy.begin(self)
        if self.level and now_ms - self._asked_ms >= COMPARE_INTERVAL_MS:
            self._asked_ms = now_ms
            self._ask_for_bad()

    def _ask_for_bad(self) -> None:
        rows = self.core.replica.quarantine.bad(self._asked_upto, BAD_ASKED)
        if rows:
            self._asked_upto = rows[-1].id
            anti_entropy.ask(self, [row.link_key for row in rows])


def _entities(messages: Sequence[dict[str, Any]]) -> list[Key]:
    """The entities that the operations of a frame touch, as far as they can be read."""
    keys: list[Key] = []
    for message in messages:
        link = message.get("link")
        if is_state(message):
            operation = message.get("operation")
            match operation:
                case {"entity_type": str(entity_type), "entity_id": str(entity_id)}:
                    keys.append((entity_type, entity_id))
            continue
        updates = link.get("updates") if isinstance(link, dict) else None
        for entry in updates if isinstance(updates, list) else ():
            if isinstance(entry, list) and len(entry) > 1 and isinstance(entry[0], str) and isinstance(entry[1], str):
                keys.append((entry[0], entry[1]))
    return keys
