"""One terminal's connection: who it is, what it may do, and what becomes of each message it sends.

Messages are handled in order. A message that needs something from disk, or comes when the terminal has asked for too
much, makes the rest of its connection wait, and the socket is not read meanwhile. No other connection waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import orjson
from attrs import evolve, field

from crdt import hlc
from crdt.classes import define, frozen
from crdt.hlc import read_iso
from node.core.delivery.delivery import Delivery
from node.core.delivery.sendings import APART_MS, UNREAD_MS
from node.core.delivery.terminal_feed import TerminalFeed
from node.core.faults import Exhibit
from node.core.inbox import Inbox
from node.core.locks.requests import LockRequests
from node.core.log.entries import NOTHING
from node.core.log.view import LogView
from node.core.operations import in_turns
from node.core.operations.accept import accept, accept_in_turns, look
from node.core.operations.author import Author
from node.core.operations.in_turns import Undone
from node.core.operations.needs import fetch, resolution_needs
from node.core.operations.refusals import not_decided
from node.core.operations.replica import Replica
from node.core.operations.resolve import resolve
from node.core.ports import Connection, Health, Instant, Needs, Surroundings, TooMuch, Unreadable
from node.core.sessions.identity import Activity, Identity
from node.core.sessions.own_words import OwnWords
from node.core.sessions.token_bucket import Bucket
from node.core.terminal_clocks import ACCEPTED, TOLERANCE_MS
from node.errors import (
    EntityNotFound,
    Faulty,
    InvalidMessage,
    NotRead,
    NotStored,
    PermissionDenied,
    RateLimited,
    WireError,
)
from node.rights import MESSAGES
from node.wire import outgoing
from node.wire.close_codes import INTERNAL_ERROR
from node.wire.codec import CodecLimits, decode
from node.wire.fitting import fitting
from node.wire.frames import Batch, Outgoing
from node.wire.heads import Head
from node.wire.messages import (
    AcquireLock,
    ConflictResolution,
    DataSync,
    Message,
    Operation,
    Ping,
    ReleaseLock,
    SyncConfirmation,
)
from node.wire.subject import ABOUT, is_name

if TYPE_CHECKING:
    from node.core.operations.accept import Subject
    from strategies.policy import EntityPolicy

DOUBT_MS = 2 * TOLERANCE_MS
"""An operation's time tells nothing of what was sent within this of it: a clock may be wrong by TOLERANCE_MS without
being corrected, and be measured wrong by as much."""

RATE_STRIKES = 200
"""Refusals by the rate limit, with no full second of calm between, after which the connection is closed (4005)."""

FORMAT_STRIKES = 100
"""Unreadable messages on one connection, after which it is closed (4006).

Each message that is taken forgives one, and so does each second. One that names its operation, conflict or lock does
not count: whoever sent it is told which one is refused, and what is queued behind it is not lost with the connection.
"""

RESTS_ON_READING = frozenset({"restores", "imports"})
"""Members of an operation that rests on what its author has read over HTTP: it says up to which row itself."""

BACKLOG_PAUSE = 64
"""Messages waiting behind one that waits for the disk, above which the socket is not read."""


@frozen(kw_only=True)
class Shared:
    """What the sessions of one node share. backlog_bytes: what may wait on one connection to be handled."""

    replica: Replica
    log: LogView
    around: Surroundings
    locks: LockRequests
    codec: CodecLimits
    health: Health
    backlog_bytes: int


@frozen
class TooBig:
    """A message that is too big, while it is passed over. refuse: told at its end what the message was about."""

    head: Head
    refuse: Callable[[WireError], None]

    def feed(self, piece: bytes) -> None:
        self.head.feed(piece)

    def end(self, length: int, limit: int) -> None:
        self.refuse(self.head.refusal(f"a message has at most {limit} bytes, this one has {length}"))


@define(eq=False, kw_only=True)
class Session:
    """A connected terminal, and the `Recipient` of its answers. delivery: its place in the log."""

    identity: Identity
    allowed: Mapping[str, frozenset[str]]
    """By type of message, the entity types that it may be about."""
    watches: bool
    """Whether it is told figures, as monitors are."""
    breaks_locks: bool
    anew: bool
    """The terminal has begun here with an empty screen, on this connection or before."""
    delivery: Delivery[TerminalFeed]
    connection: Connection
    shared: Shared
    bucket: Bucket
    activity: Activity
    _inbox: Inbox[str | bytes | int | WireError | Message] = field(init=False)
    """Messages, the serials of pongs between them, why one was not read, and what is decided once more."""
    _own_words: OwnWords = field(factory=OwnWords, init=False)
    _rate_strikes: int = field(default=0, init=False)
    _format_strikes: int = field(default=0, init=False)
    _struck_ms: int = field(default=0, init=False)
    """When the latest of them came, by the monotonic clock."""
    closed: bool = field(default=False, init=False)
    """The node has closed the connection: nothing more that came on it is handled."""
    gone: bool = field(default=False, init=False)
    """The connection ended: nothing more arrives, and nothing can be answered.

    What had arrived is still decided: not every client sends it again.
    """
    unknown: bool = field(default=False, init=False)
    """The linked nodes were asked what the terminal had seen there. Its first write waits for that."""
    stranger: bool = field(default=False, init=False)
    """When it connected, the terminal was new here or had been elsewhere since, as is known by now."""
    _asking: bool = field(default=False, init=False)
    """A write waits for that."""
    successor: Session | None = field(default=None, init=False)
    """The same terminal's next session. Its messages are handled after all of this one's."""

    def __attrs_post_init__(self) -> None:
        self._inbox = Inbox(
            handle=self._step,
            failed=self._broke,
            later=partial(self.shared.around.timer.call_later, 0),
            resume=self._next_turn,
            connection=self.connection,
            most=BACKLOG_PAUSE,
            most_bytes=self.shared.backlog_bytes,
            may_read=self._may_read,
        )

    @property
    def author(self) -> Author:
        return self._author(self.shared.around.clock(), 0)

    def _author(self, now: Instant, said_ms: int | None) -> Author:
        """said_ms: how long ago it wrote, by its own clock; None where nothing tells."""
        identity = self.identity
        latest = self
        while latest.successor is not None:
            latest = latest.successor
        window, late_ms = latest.delivery.window, APART_MS
        received = window.read(now.mono_ms)
        if not window.confirms:  # its pongs do not tell what it had read by then
            late_ms += UNREAD_MS
            received = NOTHING if said_ms is None else received
        return Author(
            identity.terminal_id,
            identity.terminal_type,
            identity.user_id,
            self,
            self.delivery.window.acked,
            self.delivery.window.may_have_read,
            received,
            latest.delivery.feed.again,
            sendings=self.delivery.window.sendings,
            age_ms=said_ms and said_ms + late_ms,
            stranger=self.stranger,
        )

    def _author_of(self, operation: Operation) -> Author:
        """The author of an operation; of one that was not written just now, also when.

        A clock of which nothing is known is believed where it says that the terminal had no connection then.
        """
        now, clocks = self.shared.around.clock(), self.shared.replica.terminal_clocks
        author = self._author(now, clocks.age_ms(self.identity.terminal_id, operation.timestamp_us, now))
        if "read_upto" in operation.raw and not RESTS_ON_READING.isdisjoint(operation.raw):
            author = self._reader(author, operation)
        written = clocks.written(author.terminal_id, operation.timestamp_us, now)
        age_ms = now.wall_ms - written.at_us // 1000
        if age_ms <= DOUBT_MS or written.by == ACCEPTED or author.sendings is None:
            return author
        wrote_ms, away = now.mono_ms - age_ms, author.sendings.away
        if not written.sure and not away[0] - TOLERANCE_MS <= wrote_ms <= away[1] - TOLERANCE_MS:
            return author
        return evolve(author, wrote_ms=wrote_ms + DOUBT_MS)

    def _reader(self, author: Author, operation: Operation) -> Author:
        """The author of an operation that rests on what was read over HTTP: a value restored, a list imported."""
        said = operation.raw["read_upto"]
        upto = min(said, self.shared.replica.log.committed) if type(said) is int else -1
        return evolve(author, read_upto=upto)

    # ------------------------------------------------------------------ outbound

    def reply(self, *messages: bytes) -> None:
        if self.closed or self.gone:
            return
        most = self.shared.log.message_bytes
        if max(map(len, messages)) > most:
            messages = tuple(part for message in messages for part in fitting(message, most))
        if len(messages) == 1:
            self.connection.send(Outgoing(messages[0]))
        else:
            self.connection.send(Batch([Outgoing(message) for message in messages]))

    def _close(self, code: int, reason: str) -> None:
        self.closed = self.delivery.closed = self._inbox.closed = True
        self.connection.close(code, reason)
        if self.successor is not None:
            self.shared.around.timer.call_later(0, partial(self._inbox.guarded, self._hand_over))

    def lose(self, told: str) -> None:
        self._close(INTERNAL_ERROR, told)

    @property
    def backlog(self) -> int:
        """Bytes that arrived and wait."""
        return self._inbox.size

    @property
    def unfinished(self) -> bool:
        """Whether something that arrived is still to be decided."""
        return not self.closed and self._inbox.unfinished

    def follow(self, earlier: Session) -> None:
        """Handle nothing until the same terminal's earlier session is finished."""
        self._inbox.waiting = True
        earlier.successor = self

    # ------------------------------------------------------------------ inbound

    def known(self) -> None:
        """The linked nodes have told what the terminal had seen there, or do not answer."""
        self.unknown = False
        if self._asking:
            self._asking = self._inbox.waiting = False
            self._inbox.guarded(self._drain)

    def _wait_for_links(self, message: DataSync | ConflictResolution) -> None:
        self._inbox.hold_first(message)
        self._asking = self._inbox.waiting = True

    def receive(self, text: str | bytes) -> None:
        """One message from the socket.

        Nearly every confirmation is of the oldest row under way, in the client's own words. Of that, what `_message`
        and `_confirmation` do is done at once.
        """
        if self.closed or self.gone:
            return
        try:
            if self._own_words.confirms(text, self.delivery.window.first) and not self._inbox.unfinished:
                activity, now = self.activity, self.shared.around.lately()
                activity.messages += 1
                self.delivery.confirm_first(now.mono_ms)
                activity.last_sync_ms = now.wall_ms
                if self._format_strikes:
                    self._format_strikes -= 1
            else:
                self._inbox.put(text)
        except Exception as error:
            self._broke(error)

    def skim(self) -> TooBig:
        """For one message that is too big to be read: its place among the others is where it ends."""
        return TooBig(Head(self.shared.codec.depth), self._not_read)

    def _not_read(self, error: WireError) -> None:
        if not (self.closed or self.gone):
            self._inbox.guarded(self._inbox.put, error)

    def pong(self, serial: int) -> None:
        """The pong to a delivery's ping. It keeps its place among the messages.

        An operation that was sent before the pong was written without having seen what the pong acknowledges.
        """
        try:
            if self._inbox.unfinished:
                self._inbox.enqueue(serial)
            else:
                self.delivery.pong(serial)
        except Exception as error:
            self._broke(error)

    def again(self, messages: Sequence[Message]) -> None:
        if not self.closed:
            self._inbox.put_first(messages)

    def _broke(self, error: Exception) -> None:
        self.lose(self.shared.replica.faults.report(f"the connection of {self.identity.terminal_id!r}", b"", error))

    def _may_read(self) -> bool:
        return not self._inbox.waiting and self.bucket.tokens >= 0

    def _drain(self) -> None:
        self._inbox.drain()
        self._hand_over()

    def _hand_over(self) -> None:
        """Where nothing is left to be decided here, the terminal's next session begins."""
        if self.successor is not None and not self.unfinished:
            later, self.successor = self.successor, None
            later._inbox.waiting = False
            later._drain()

    def _next_turn(self) -> None:
        self._inbox.waiting = False
        self._drain()

    def _step(self, item: str | bytes | int | WireError | Message) -> None:
        if isinstance(item, int):
            self.delivery.pong(item)
        elif isinstance(item, WireError | str | bytes):
            try:
                if isinstance(item, WireError):
                    self.activity.messages += 1
                    self._unreadable(item)
                else:
                    self._message(item)
            except Exception as error:
                self._failed(error, None, item if isinstance(item, str | bytes) else b"")
        else:
            self._handle(item)

    def _message(self, text: str | bytes) -> None:
        self.activity.messages += 1
        try:
            message = decode(text, self.shared.codec)
        except WireError as error:
            self._unreadable(error)
            return
        self._handle(message)
        if type(message) is SyncConfirmation and message.terminal_id in (None, self.identity.terminal_id):
            self._own_words.learn(text, message)

    def _unreadable(self, error: WireError) -> None:
        self._error(error)
        if _about(error):
            self._throttle()
        else:
            self._strike(error.code, "unreadable messages")

    def _strike(self, code: int, what: str) -> None:
        """Close a connection on which nothing but such messages comes."""
        now_ms = self.shared.around.clock().mono_ms
        forgiven = (now_ms - self._struck_ms) // 1000
        self._format_strikes = max(self._format_strikes - forgiven, 0) + 1
        self._struck_ms = now_ms
        if self._format_strikes >= FORMAT_STRIKES:
            self._close(code, f"{self._format_strikes} {what}")

    def _handle(self, message: Message) -> None:
        try:
            self._check_sender(message)
            match message:
                case SyncConfirmation():
                    self._confirmation(message)
                case DataSync():
                    self._operation(message)
                case Ping():
                    self._ping(message)
                case ConflictResolution():
                    self._resolution(message)
                case AcquireLock():
                    self._acquire(message)
                case ReleaseLock():
                    self._release(message)
        except Exception as error:
            self._raised(error, message)
            return
        if self._format_strikes:
            self._format_strikes -= 1

    def _raised(self, error: Exception, message: Message) -> None:
        """A refusal is answered. Anything else, and whatever comes in the middle of a change, is a fault of ours."""
        if isinstance(error, WireError) and not self.shared.replica.faults.changing:
            self._error(error, message)
        else:
            self._failed(error, message)

    def _failed(self, error: Exception, message: Message | None, said: str | bytes = b"") -> None:
        """Our own code failed on a message: it is refused, and this connection closed if it happens often.

        If it was decided already, it is stored and answered as ever. A confirmation is not answered, and what it left
        half done would be waited for: the connection is closed, and goes on from its cursor.
        """
        faults, terminal_id = self.shared.replica.faults, self.identity.terminal_id
        where, cause, named = f"a message of {terminal_id!r}", None, ("", "", "")
        if isinstance(message, DataSync):
            operation = message.operation
            named = (operation.id, operation.entity_type, operation.entity_id or "")
            said = orjson.dumps(operation.raw)
        elif isinstance(message, ConflictResolution):
            named, said = (
                (message.operation_id(terminal_id), "", ""),
                orjson.dumps([message.conflict_id, message.resolution]),
            )
        if named[0]:
            cause = (terminal_id, named[0])
            if not faults.changing and self._decided_already(named[0]):
                faults.report(where, said, error)
                self.shared.around.disk.wake_writer()
                return
        told = faults.report(where, said, error, cause)
        faults.exhibits.append(Exhibit(terminal_id, *named, said.encode() if isinstance(said, str) else said, told))
        self.shared.around.disk.wake_writer()
        if isinstance(message, SyncConfirmation):
            self.lose(told)
            return
        self._error(Faulty(told), message)
        self._strike(Faulty.code, "messages that the node cannot handle")

    def _decided_already(self, operation_id: str) -> bool:
        """Whether the group that is stored next has a row of this operation."""
        named = (self.identity.terminal_id, operation_id)
        return any((row.terminal_id, row.operation_id) == named for row in self.shared.replica.log.group.rows)

    def _check_sender(self, message: Message) -> None:
        named = (
            message.operation.terminal_id if isinstance(message, DataSync) else getattr(message, "terminal_id", None)
        )
        if named is not None and named != self.identity.terminal_id:
            where = "$.operation.terminal_id" if isinstance(message, DataSync) else "$.terminal_id"
            raise PermissionDenied(f"this connection is {self.identity.terminal_id}, not {named}", where)

    def _error(self, error: WireError, message: Message | None = None) -> None:
        """Answer with a `sync_error`. The connection stays."""
        self.activity.errors += 1
        about = _about(error) if message is None else {**_names(message, self.identity.terminal_id), **_about(error)}
        operation_id = about.pop("operation_id", None)
        entity_type, entity_id = about.pop("entity_type", None), about.pop("entity_id", None)
        extra: dict[str, object] = {**about}
        if error.where is not None:
            extra["where"] = error.where
        if isinstance(error, NotStored | NotRead):
            extra["retry"] = True
            if isinstance(message, DataSync):
                not_decided(self.shared.replica, message.operation, self._author_of(message.operation))
        self.reply(
            outgoing.sync_error(
                operation_id, error.reason, entity_type, entity_id, self.identity.terminal_id, error.code, **extra
            )
        )

    # ------------------------------------------------------------------ rates

    def _limit(self) -> None:
        """Refuse pings, locks and resolutions over the rate (4005). After RATE_STRIKES the connection is closed."""
        now_ms = self.shared.around.clock().mono_ms
        if self.bucket.take(now_ms) >= 0:
            if self.bucket.tokens > self.bucket.rate:
                self._rate_strikes = 0
            return
        self.bucket.give_back()
        self._rate_strikes += 1
        if self._rate_strikes >= RATE_STRIKES:
            self._close(RateLimited.code, "Rate limit exceeded")
        raise RateLimited(f"Rate limit exceeded: {self.bucket.rate:g} a second", None)

    def _throttle(self) -> None:
        """Stop reading the socket while operations are over the rate. None is refused.

        So a terminal that sends a long queue after an outage loses none of it.
        """
        if self.bucket.take(self.shared.around.clock().mono_ms) < 0 and not self._inbox.paused:
            self._inbox.pause()
            self.shared.around.timer.call_later(self.bucket.wait_ms(), self._resume)

    def _resume(self) -> None:
        if not self.closed:
            self._inbox.guarded(self._go_on)

    def _go_on(self) -> None:
        self.bucket.refill(self.shared.around.clock().mono_ms)
        if self.bucket.tokens < 0:
            self.shared.around.timer.call_later(self.bucket.wait_ms(), self._resume)
            return
        self._drain()

    # ------------------------------------------------------------------ messages

    def _ping(self, message: Ping) -> None:
        self._limit()
        now = self.shared.around.clock()
        self.activity.last_ping_ms = now.wall_ms
        if isinstance(message.timestamp, str):
            self._clock_read(message.timestamp, now)
        if message.performance is not None:
            self.activity.performance = message.performance
        self.reply(outgoing.pong(hlc.iso(now.wall_ms)))

    def _clock_read(self, timestamp: str, now: Instant) -> None:
        """The terminal said what its clock shows. What is no time says nothing."""
        try:
            timestamp_us, _ = read_iso(timestamp, self.shared.codec.where.zone)
        except (ValueError, OverflowError):
            return
        self.shared.replica.terminal_clocks.heard(self.identity.terminal_id, timestamp_us, now, live=True)

    def _confirmation(self, message: SyncConfirmation) -> None:
        known, now, timestamp = False, self.shared.around.clock(), message.timestamp
        clocks = self.shared.replica.terminal_clocks
        if (
            isinstance(timestamp, str)
            and clocks.due(self.identity.terminal_id, now)
            and self.delivery.window.first_sent_here(message.operation_id)
        ):
            self._clock_read(timestamp, now)
        if message.seq is not None and self.delivery.feed.by_position:
            known = self.delivery.confirm_seq(message.seq)
        if message.operation_id is not None and self.delivery.confirm(message.operation_id):
            known = True
        if not known:
            self._limit()  # it confirms nothing that is under way; real confirmations are not limited
        self.activity.last_sync_ms = now.wall_ms

    def _operation(self, message: DataSync) -> None:
        if self.unknown:
            self._wait_for_links(message)
            return
        self._throttle()
        operation = message.operation
        if operation.timestamp_us is not None:
            shared = self.shared
            clocks, now = shared.replica.terminal_clocks, shared.around.clock()
            clocks.heard(self.identity.terminal_id, operation.timestamp_us, now, live=False)
        self._check_cause(operation.id)
        policy = self.shared.replica.registry.by_type.get(operation.entity_type)
        if policy is None:
            raise EntityNotFound(f"unknown entity type {operation.entity_type!r}", "$.operation.entity_type")
        self._may("data_sync", operation.entity_type, "$.operation.entity_type")
        if operation.registers > in_turns.LARGE:  # it was long to read
            then = self._waited(message, partial(self._when_here, message, policy))
            self.shared.around.timer.call_later(0, partial(then, None))
        else:
            self._when_here(message, policy)

    def _check_cause(self, operation_id: str) -> None:
        known = self.shared.replica.faults.causes.get((self.identity.terminal_id, operation_id))
        if known is not None:
            raise Faulty(known)

    def _resolution(self, message: ConflictResolution) -> None:
        if self.unknown:
            self._wait_for_links(message)
            return
        self._limit()
        self._check_cause(message.operation_id(self.identity.terminal_id))
        self._when_conflict_here(message)

    def _may(self, message: str, entity_type: str, where: str) -> None:
        if entity_type not in self.allowed[message]:
            verb, identity = MESSAGES[message].verb, self.identity
            raise PermissionDenied(
                f"{identity.terminal_id}, of type {identity.terminal_type}, may not {verb} {entity_type}",
                where,
                entity_type=entity_type,
            )

    def _when_here(self, message: DataSync, policy: EntityPolicy, read: Needs | None = None) -> None:
        """Decide an operation now, or once what it needs has come from disk. read: what was read for it already."""
        found = look(self.shared.replica, message.operation, policy, self._author_of(message.operation), read)
        if isinstance(found, Needs):
            self._fetch(message, found, partial(self._when_here, message, policy, found))
            return
        now = self._now_ready()
        if found.large:
            self._in_turns(message, found)
            return
        self.activity.operations += 1
        accept(self.shared.replica, found, now)
        self._wrote()
        self._decided(now)

    def _wrote(self) -> None:
        """Of the terminal's latest connection: it has sent an operation."""
        if self.successor is None and self.delivery.window.sendings is not None:
            self.delivery.window.sendings.wrote = True

    def _in_turns(self, message: DataSync, subject: Subject) -> None:
        """Decide a large operation. Later messages of this connection wait meanwhile."""
        replica = self.shared.replica

        def done(raised: Exception | None) -> None:
            self._inbox.waiting = False
            self._inbox.guarded(self._after_turns, message, subject.policy, raised)

        replica.begin_in_turns(accept_in_turns(replica, subject, self._now_ready), (subject.name,), done)
        self._inbox.waiting = True

    def _after_turns(self, message: DataSync, policy: EntityPolicy, raised: Exception | None) -> None:
        """A large operation is decided, or a commit failed meanwhile: what had a row was handed back.

        Also of a connection that the node has closed since: what it left half changed is reported.
        """
        try:
            if raised is None:
                self.activity.operations += 1
                self._wrote()
                self._decided(self.shared.around.clock())
            elif isinstance(raised, Undone):
                if not (raised.numbered or self.closed):
                    self._when_here(message, policy)
            else:
                raise raised
        except Exception as error:
            self._raised(error, message)
        if not self.closed:
            self._drain()

    def _when_conflict_here(self, message: ConflictResolution, read: Needs | None = None) -> None:
        """As `_when_here`, for a resolution. It first needs its conflict, then the conflict's entity."""
        needs = resolution_needs(self.shared.replica, message, self.identity.terminal_id)
        if needs is not None and needs != read:
            self._fetch(message, needs, partial(self._when_conflict_here, message, needs))
            return
        now = self._now_ready()
        row = self.shared.replica.conflicts.known.get(message.conflict_id)
        if row is not None:
            self._may("conflict_resolution", row.entity_type, "$.conflict_id")
        resolve(self.shared.replica, message, self.author, now)
        self._decided(now)

    def _fetch(self, message: DataSync | ConflictResolution, needs: Needs, then: Callable[[], None]) -> None:
        """Read what a message needs, then go on."""
        fetch(self.shared.replica, self.shared.around.disk, needs, self._waited(message, then))

    def _waited(
        self, message: DataSync | ConflictResolution, then: Callable[[], None]
    ) -> Callable[[Unreadable | None], None]:
        """What is called when a message has waited. Later messages of this connection wait until then."""

        def waited(unreadable: Unreadable | None) -> None:
            self._inbox.waiting = False
            if not self.closed:
                self._inbox.guarded(self._fetched, message, unreadable, then)

        self._inbox.waiting = True
        return waited

    def _fetched(
        self, message: DataSync | ConflictResolution, unreadable: Unreadable | None, then: Callable[[], None]
    ) -> None:
        try:
            if isinstance(unreadable, TooMuch):
                raise InvalidMessage(unreadable.reason, "$.operation.data.updates")
            if unreadable is not None:
                raise NotRead("the node cannot read from its disk what this needs; nothing was done, send it again")
            then()
        except Exception as error:
            self._raised(error, message)
        self._drain()

    def _now_ready(self) -> Instant:
        """The time now. Raises NotStored while the node can store nothing."""
        if not self.shared.health.ok:
            raise NotStored("the node cannot store anything at the moment; send it again")
        return self.shared.around.clock()

    def _decided(self, now: Instant) -> None:
        self.activity.last_sync_ms = now.wall_ms
        self.shared.around.disk.wake_writer()

    def _acquire(self, message: AcquireLock) -> None:
        self._limit()
        if self.shared.replica.registry.get(message.entity_type) is None:
            raise EntityNotFound(f"unknown entity type {message.entity_type!r}", "$.entity_type")
        self._may("acquire_lock", message.entity_type, "$.entity_type")
        if message.breaks is not None and not self.breaks_locks:
            raise PermissionDenied(f"a {self.identity.terminal_type} may not break a lock", "$.breaks")
        self._now_ready()
        self.shared.locks.acquire(self, self.identity.terminal_id, message)

    def _release(self, message: ReleaseLock) -> None:
        self._limit()
        self.shared.locks.release(self, self.identity.terminal_id, message)


def _about(error: WireError) -> dict[str, str]:
    """What an error says that it is about."""
    return {name: value for name in ABOUT if (value := getattr(error, name)) is not None}


def _names(message: Message, terminal_id: str) -> dict[str, str]:
    """What a message of a terminal that was understood is about."""
    found: dict[str, str | None]
    if isinstance(message, DataSync):
        operation = message.operation
        # A BULK_UPDATE is about no one entity, but some clients put an `entity_id` into every operation.
        entity_id = operation.entity_id or operation.raw.get("entity_id")
        found = {"operation_id": operation.id, "entity_type": operation.entity_type, "entity_id": entity_id}
    elif isinstance(message, ConflictResolution):
        found = {"operation_id": message.operation_id(terminal_id), "conflict_id": message.conflict_id}
    elif isinstance(message, AcquireLock):
        found = {"entity_type": message.entity_type, "entity_id": message.entity_id, "lock_id": message.lock_id}
    elif isinstance(message, ReleaseLock):
        found = {"lock_id": message.lock_id}
    else:
        found = {"operation_id": getattr(message, "operation_id", None)}
    return {name: value for name, value in found.items() if value is not None and is_name(value)}
