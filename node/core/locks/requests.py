"""Who grants a lock: the authority at the root of the upstream chain, or this node while that is out of reach.

A request goes up, link by link, and the answer comes back. Grants and releases then go down every link, so a write
checks the table of its own node and never waits. A lease granted here while the upstream is away is `local`. It is
offered to the upstream when that is back: confirmed if the entity is free, else marked `overlapping` until one ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from attrs import evolve, field

from crdt import hlc
from crdt.classes import define, frozen
from node.core.faults import Faults
from node.core.locks.lease import Held, Lease
from node.core.locks.table import LockTable
from node.core.log.group import Recipient, Refusal
from node.core.log.log import Log
from node.core.ports import Surroundings
from node.errors import InvalidMessage, LockTimeout, NotStored, PermissionDenied
from node.wire import outgoing
from node.wire.links import locks as wire
from node.wire.links.locks import WireLease, WireRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.wire.messages import AcquireLock, ReleaseLock
    from storage.records import Key


logger = logging.getLogger("comanda.lock")

WAIT_MS = 500
"""How long a terminal's request may wait for the authority. After that it is granted here."""

HOP_MS = 100
"""How much of that each node on the way keeps for itself."""


@frozen
class Asked:
    """A lock that a terminal of this node asks for, or a linked node for one of its terminals."""

    asker: Recipient
    key: tuple[str, str]
    terminal: str
    lock_id: str | None
    timeout: int | None
    wait_ms: int
    granted: Callable[[Lease], None]
    held: Callable[[Lease], None]


class Neighbour(Recipient, Protocol):
    """A link to another node."""

    @property
    def role(self) -> str:
        """What the other node is to this one: upstream | peer | downstream."""
        ...


@define(eq=False, kw_only=True)
class LockRequests:
    """Requests under way, and what linked nodes are told of leases."""

    log: Log
    faults: Faults
    table_now: Callable[[], LockTable]
    """The node's leases. After a failed commit it is another table."""
    around: Surroundings
    has_upstream: bool
    upstream: Callable[[], Recipient | None]
    """The link that locks are asked for on, while it is up."""
    downstream: Callable[[], Sequence[Recipient]]
    """The links to the nodes below, while they are up."""
    sits_below: Callable[[Any, str], bool]
    """Whether a linked node may speak for a terminal: it is not connected here, nor known to sit elsewhere."""
    online: Callable[[str], Recipient | None]
    """The session of a terminal that is connected here."""
    _waiting: dict[int, Asked] = field(factory=dict, init=False)
    _offers: dict[int, Lease] = field(factory=dict, init=False)
    _last: int = field(default=0, init=False)
    _to_release: list[tuple[str, str]] = field(factory=list, init=False)
    """Released while the upstream was away: (lock id, terminal)."""

    @property
    def table(self) -> LockTable:
        return self.table_now()

    # ------------------------------------------------------------------ terminals

    def acquire(self, asker: Recipient, terminal: str, message: AcquireLock) -> None:
        """A terminal's `acquire_lock`. Raises WireError."""
        key = (message.entity_type, message.entity_id)
        now = self.around.clock()
        self.table.checked(key, terminal, message.lock_id, message.timeout, now)
        if message.breaks is not None:
            self._break(key, terminal, message.breaks)
        lock_id = message.lock_id or self.table.id_for(key, terminal, now)  # the same whoever grants it

        def granted(lease: Lease) -> None:
            told = outgoing.lock_acquired(lease.lock_id, *key, hlc.iso(lease.expires_ms), lease.token(), lease.scope)
            group = self.log.group
            group.replies.append((asker, told))
            group.refusals.append(Refusal(asker, partial(_not_stored, lease, "the lock; ask"), lambda: message))

        def held(lease: Lease) -> None:
            until = hlc.iso(lease.expires_ms)
            why = f"Already locked by {lease.terminal}"
            asker.reply(outgoing.lock_failed(*key, why, lease.terminal, until, message.lock_id))

        self._decide(Asked(asker, key, terminal, lock_id, message.timeout, WAIT_MS, granted, held))

    def _break(self, key: Key, terminal: str, holder: str) -> None:
        """Take a lock from the terminal that is named, if that is who has it. Raises PermissionDenied."""
        lease = self.table.holder(key, self.around.clock())
        if lease is None or lease.terminal != holder or holder == terminal:
            return
        self.table.take(lease, terminal)
        logger.warning(
            "%(terminal_id)s broke the lock of %(holder)s on %(entity_type)s %(entity_id)s",
            {"terminal_id": terminal, "holder": holder, "entity_type": key[0], "entity_id": key[1]},
        )
        self.log.group.commit.locks.append(lease.row(released=True))
        self._tell_lost(lease, terminal)

    def _tell_lost(self, lease: Lease, taker: str) -> None:
        """Tell a terminal of this node that its lock is another's."""
        session = self.online(lease.terminal)
        if session is not None:
            told = outgoing.lock_failed(
                *lease.key, f"{taker} broke this lock", taker, hlc.iso(lease.expires_ms), lease.lock_id
            )
            self.log.group.replies.append((session, told))

    def release(self, asker: Recipient, terminal: str, message: ReleaseLock) -> None:
        """A terminal's `release_lock`. Raises LockTimeout or PermissionDenied."""
        lease = self.table.release(terminal, message.lock_id, self.around.clock())
        for number, asked in list(self._waiting.items()):
            if (asked.key, asked.terminal) == (lease.key, terminal):
                del self._waiting[number]  # a request to extend it; the authority hears of the release after it
        group = self.log.group
        group.replies.append((asker, outgoing.lock_released(lease.lock_id, *lease.key)))
        group.refusals.append(Refusal(asker, partial(_not_stored, lease, "the release; release it"), lambda: message))
        self._released(lease)

    def _released(self, lease: Lease) -> None:
        group = self.log.group
        group.commit.locks.append(lease.row(released=True))
        upstream = self.upstream()
        if upstream is not None:
            group.replies.append((upstream, wire.release(lease.lock_id, lease.terminal)))
        elif self.has_upstream and lease.scope == "store":
            self._to_release.append((lease.lock_id, lease.terminal))
        self._tell_down(wire.released(self._on_wire(lease)))
        self.around.disk.wake_writer()

    # ------------------------------------------------------------------ deciding

    def _decide(self, asked: Asked) -> None:
        now = self.around.clock()
        known = self.table.holder(asked.key, now)
        if known is not None and known.terminal != asked.terminal:
            asked.held(known)
            return
        upstream = self.upstream()
        if upstream is None or asked.wait_ms <= 0:
            self._grant(asked)
            return
        self._last += 1
        number = self._last
        self._waiting[number] = asked
        wait_ms = asked.wait_ms - HOP_MS
        upstream.reply(
            wire.request(WireRequest(number, *asked.key, asked.terminal, asked.timeout, asked.lock_id, wait_ms))
        )
        self.around.timer.call_later(asked.wait_ms, lambda: self._give_up(number))

    def _give_up(self, number: int) -> None:
        """The authority did not answer in time: grant it here."""
        asked = self._waiting.pop(number, None)
        if asked is None:
            return
        try:
            self._grant(asked)
        except (InvalidMessage, PermissionDenied):  # the table is full, or the id names another lock by now
            return
        except Exception as error:
            asked.asker.lose(self.faults.report(f"a lock for {asked.terminal!r}", b"", error))

    def _grant(self, asked: Asked) -> None:
        answer = self.table.acquire(
            asked.key, asked.terminal, asked.lock_id, asked.timeout, self.around.clock(), self._scope()
        )
        if isinstance(answer, Held):
            asked.held(answer.lease)
            return
        self._store(answer)
        asked.granted(answer)
        self._tell_down(wire.granted(self._on_wire(answer)))

    def _scope(self) -> str:
        """The authority's grants count on every node below.

        Without nodes below, or cut off from the root, they are local.
        """
        return "store" if not self.has_upstream and self.downstream() else "local"

    def _store(self, lease: Lease) -> None:
        commit = self.log.group.commit
        commit.locks.append(lease.row())
        commit.meta["lock_counter"] = str(self.table.counter)
        self.around.disk.wake_writer()

    def _tell_down(self, message: bytes) -> None:
        group = self.log.group
        group.replies.extend((link, message) for link in self.downstream())

    # ------------------------------------------------------------------ linked nodes

    def receive(self, link: Neighbour, message: Mapping[str, Any]) -> None:
        """A lock message of a link. Raises InvalidMessage."""
        kind = message["type"]
        if link.role == "upstream":
            match kind:
                case "lock_acquired":
                    self._granted_above(message)
                case "lock_failed":
                    self._held_above(message)
                case "lock_released":
                    self._released_above(wire.read_lease(message))
                case "locks":
                    self._take_leases(link, wire.read_leases(message))
        elif link.role == "downstream":
            match kind:
                case "acquire_lock":
                    self._asked_below(link, wire.read_request(message))
                case "release_lock":
                    self._released_below(link, *wire.read_release(message))

    def _asked_below(self, link: Neighbour, request: WireRequest) -> None:
        def granted(lease: Lease) -> None:
            self.log.group.replies.append((link, wire.granted(self._on_wire(lease), request.request)))

        def held(lease: Lease) -> None:
            link.reply(wire.failed(self._on_wire(lease), request.request))

        key = (request.entity_type, request.entity_id)
        running = self.table.holder(key, self.around.clock())
        mine = running is not None and running.terminal == request.terminal_id
        if running is not None and mine and not self._may_act(link, running.terminal, running.lock_id):
            return
        asked = Asked(
            link, key, request.terminal_id, request.lock_id, request.timeout, request.wait_ms, granted, held
        )
        with suppress(InvalidMessage, PermissionDenied):  # the asking node then grants it alone
            self._decide(asked)

    def _may_act(self, link: Neighbour, terminal: str, lock_id: str) -> bool:
        """Whether a linked node may extend or release a lease, because its terminal sits there."""
        if self.sits_below(link, terminal):
            return True
        logger.warning(
            "a linked node may not extend or release %(lock_id)s: %(terminal_id)s does not sit there",
            {"lock_id": lock_id, "terminal_id": terminal},
        )
        return False

    def _released_below(self, link: Neighbour, lock_id: str, terminal: str) -> None:
        if not self._may_act(link, terminal, lock_id):
            return
        try:
            lease = self.table.release(terminal, lock_id, self.around.clock())
        except (LockTimeout, PermissionDenied):  # it ran out meanwhile, or this node never knew it
            return
        self._released(lease)

    def _granted_above(self, message: Mapping[str, Any]) -> None:
        lease = self._adopt(wire.read_lease(message))
        number = message.get("request")
        asked = self._waiting.pop(number, None) if type(number) is int else None
        if type(number) is int:
            self._offers.pop(number, None)
        if asked is not None:
            asked.granted(lease)

    def _held_above(self, message: Mapping[str, Any]) -> None:
        lease = self._adopt(wire.read_lease(message))
        number = message.get("request")
        asked = self._waiting.pop(number, None) if type(number) is int else None
        if asked is not None:
            asked.held(lease)

    def _adopt(self, told: WireLease) -> Lease:
        """Take a lease of the upstream. It runs no longer here than one that this node grants."""
        now, most = self.around.clock(), self.table.max_lease_ms
        told = evolve(told, left_ms=min(told.left_ms, most), timeout_ms=min(told.timeout_ms, most))
        lease = Lease(
            (told.entity_type, told.entity_id),
            told.lock_id,
            told.terminal_id,
            told.authority,
            told.epoch,
            told.counter,
            told.scope,
            now.wall_ms + told.left_ms - told.timeout_ms,
            now.wall_ms + told.left_ms,
            told.timeout_ms,
            now.mono_ms + told.left_ms,
        )
        held = self.table.holder(lease.key, now)
        adopted = self.table.adopt(lease, now)
        if held is not None and adopted is lease and held.terminal != lease.terminal:
            self._tell_lost(held, lease.terminal)
        self._store(adopted)
        self._tell_down(wire.granted(self._on_wire(lease)))
        return lease

    def _released_above(self, told: WireLease) -> None:
        lease = self.table.drop((told.entity_type, told.entity_id), told.lock_id)
        if lease is not None:
            self.log.group.commit.locks.append(lease.row(released=True))
            self.around.disk.wake_writer()
        self._tell_down(wire.released(told))

    # ------------------------------------------------------------------ links that come and go

    def link_up(self, link: Neighbour) -> None:
        """A linked node below is told every running lease."""
        if link.role == "downstream":
            leases = self.table.all(self.around.clock())
            link.reply(wire.snapshot(self._on_wire(lease) for lease in leases))

    def _take_leases(self, link: Neighbour, told: list[WireLease]) -> None:
        """The upstream is back and told its leases: take them, drop those it no longer has, offer the local ones."""
        now = self.around.clock()
        for lock_id, terminal in self._to_release:
            link.reply(wire.release(lock_id, terminal))
        done = {lock_id for lock_id, _ in self._to_release}
        self._to_release.clear()
        known = {lease.lock_id for lease in told}
        for lease in self.table.all(now):
            if lease.scope == "store" and lease.lock_id not in known:
                self._released_above(self._on_wire(lease))
        local = [lease for lease in self.table.all(now) if lease.scope == "local"]
        for wired in told:
            if wired.lock_id not in done:
                self._adopt(wired)
        for lease in local:
            if self.table.holder(lease.key, now) is lease:
                self._offer(link, lease)

    def _offer(self, link: Neighbour, lease: Lease) -> None:
        self._last += 1
        self._offers[self._last] = lease
        left = max(lease.deadline_mono_ms - self.around.clock().mono_ms, 1)
        link.reply(
            wire.request(WireRequest(self._last, *lease.key, lease.terminal, left, lease.lock_id, WAIT_MS, True))
        )

    def link_down(self, link: Neighbour) -> None:
        """What waited for the upstream is granted here."""
        if link.role == "upstream":
            self._offers.clear()
            for number in list(self._waiting):
                self._give_up(number)

    def _on_wire(self, lease: Lease) -> WireLease:
        left = max(lease.deadline_mono_ms - self.around.clock().mono_ms, 0)
        return WireLease(
            *lease.key,
            lease.lock_id,
            lease.terminal,
            lease.authority,
            lease.epoch,
            lease.counter,
            lease.scope,
            lease.timeout_ms,
            left,
        )


def _not_stored(lease: Lease, what: str) -> bytes:
    return outgoing.sync_error(
        None,
        f"the node could not store {what} again",
        *lease.key,
        lease.terminal,
        NotStored.code,
        lock_id=lease.lock_id,
        retry=True,
    )
