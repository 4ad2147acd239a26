"""The leases a node knows: its own grants and those it was told of.

A lease is granted to a terminal for a time. Whether it still runs is measured on the monotonic clock; `expires_ms`
is for people. A write checks this table and never waits; lock requests wait in requests.py. State of one entity:

    free --acquire--> held --release by its holder--> free
    held --acquire by its holder--> held (extended, same token)
    held --time--> expired --acquire by anybody--> held (the earlier holder is told 4009 when it writes or releases)
    expired --write by anybody--> the write goes through as unlocked
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import evolve, field

from crdt.classes import define
from node.core.locks.lease import ALONE, Held, Lease
from node.errors import InvalidMessage, LockTimeout, PermissionDenied
from storage.records import Key

if TYPE_CHECKING:
    from node.core.ports import Instant
    from storage.records import LockRow


@define
class LockTable:
    """All leases of one node.

    max_lease_ms bounds a lease, max_leases the table, max_of_terminal the running leases of one terminal.
    """

    authority: str
    epoch: int
    counter: int
    new_id: Callable[[], str]
    default_lease_ms: int
    max_lease_ms: int
    max_leases: int = 100_000
    max_of_terminal: int = 256
    named: Mapping[str, str] = ALONE

    leases: dict[Key, Lease] = field(factory=dict)
    """The latest lease of each entity, also one that ran out."""
    shadows: dict[Key, Lease] = field(factory=dict)
    """The authority's lease where a local one of another terminal overlaps it, until that one ends."""
    _ids: dict[tuple[str, str], Key] = field(factory=dict)
    """(terminal, lock id) -> entity, while the lease is in the table."""
    _of: dict[str, set[Key]] = field(factory=dict)
    """Terminal -> the entities of its leases in the table."""
    _lost: dict[tuple[str, str], tuple[Key, str]] = field(factory=dict)
    """A lease that was taken over: (terminal, lock id) -> (entity, by whom)."""
    _losers: dict[tuple[str, Key], str] = field(factory=dict)
    """The same by (terminal, entity): -> lock id."""
    _earlier: dict[Key, dict[tuple[str, int], int]] = field(factory=dict)
    """Earlier ends of leases whose extension may not be stored yet, oldest first.

    (lock id, end by the wall clock) -> end by the monotonic clock.
    """

    @classmethod
    def restore(
        cls, table: LockTable, rows: Iterable[LockRow], now: Instant, running: LockTable | None = None
    ) -> LockTable:
        """Fill a table with the leases from disk.

        running: the table of this process, if the process goes on. A restart begins another monotonic clock: then the
            rest of each lease is measured by the wall clock, and is at most the lease's whole length.
        """
        for row in rows:
            left = min(max(row.expires_ms - now.wall_ms, 0), row.timeout_ms)
            deadline_mono_ms = running.deadline(row) if running is not None else None
            if deadline_mono_ms is not None:
                left = deadline_mono_ms - now.mono_ms
            lease = Lease(
                (row.entity_type, row.entity_id),
                row.lock_id,
                row.terminal_id,
                row.authority,
                row.epoch,
                row.counter,
                row.scope,
                row.granted_ms,
                row.expires_ms,
                row.timeout_ms,
                now.mono_ms + left,
            )
            table._put(lease)
        return table

    def deadline(self, row: LockRow) -> int | None:
        """The end, by the monotonic clock, of a stored lease that this process granted or extended."""
        key, stored = (row.entity_type, row.entity_id), (row.lock_id, row.expires_ms)
        lease = self.leases.get(key)
        if lease is not None and (lease.lock_id, lease.expires_ms) == stored:
            return lease.deadline_mono_ms
        return self._earlier.get(key, {}).get(stored)

    def stored(self, row: LockRow) -> None:
        """A lease is durable as in this row, so its earlier ends are not needed any more."""
        key = (row.entity_type, row.entity_id)
        earlier = self._earlier.get(key, {})
        while earlier and (first := next(iter(earlier))) != (row.lock_id, row.expires_ms):
            del earlier[first]
        if not earlier:
            self._earlier.pop(key, None)

    def _put(self, lease: Lease) -> None:
        old = self.leases.get(lease.key)
        if old is not None:
            self._drop(old)
        self.leases[lease.key] = lease
        self._of.setdefault(lease.terminal, set()).add(lease.key)
        self._ids[lease.terminal, lease.lock_id] = lease.key
        self._forget_lost(lease.terminal, lease.lock_id)
        mine = self._losers.get((lease.terminal, lease.key))
        if mine is not None:
            self._forget_lost(lease.terminal, mine)

    def _drop(self, lease: Lease) -> None:
        self.leases.pop(lease.key, None)
        self._ids.pop((lease.terminal, lease.lock_id), None)
        mine = self._of.get(lease.terminal)
        if mine is not None:
            mine.discard(lease.key)
            if not mine:
                del self._of[lease.terminal]

    def _current(self, key: Key, now: Instant) -> Lease | None:
        """The latest lease on an entity, expired or not; a shadow takes its place once the one before it ended."""
        lease = self.leases.get(key)
        shadow = self.shadows.get(key)
        if shadow is not None and (lease is None or not lease.live(now)):
            del self.shadows[key]
            self._put(shadow)
            return shadow
        return lease

    def holder(self, key: Key, now: Instant) -> Lease | None:
        """The running lease on an entity, if there is one."""
        lease = self._current(key, now)
        return lease if lease is not None and lease.live(now) else None

    def all(self, now: Instant) -> list[Lease]:
        return [lease for lease in self.leases.values() if lease.live(now)]

    # ------------------------------------------------------------------ transitions

    def acquire(
        self,
        key: Key,
        terminal: str,
        lock_id: str | None,
        timeout_ms: int | None,
        now: Instant,
        scope: str = "local",
    ) -> Lease | Held:
        """Grant, extend or refuse. Raises InvalidMessage for a timeout or a lock id that cannot be.

        scope: `store` where the grant counts on every node below, `local` where it excludes this node's terminals.
        """
        wanted = self.checked(key, terminal, lock_id, timeout_ms, now)
        held = self._current(key, now)
        if held is not None and held.live(now):
            if held.terminal != terminal:
                return Held(held)
            self._earlier.setdefault(key, {})[held.lock_id, held.expires_ms] = held.deadline_mono_ms
            lease = evolve(
                held,
                lock_id=lock_id or held.lock_id,
                scope="overlapping" if held.scope == "overlapping" else scope,
                expires_ms=now.wall_ms + wanted,
                timeout_ms=wanted,
                deadline_mono_ms=now.mono_ms + wanted,
            )
            self._put(lease)
            return lease
        if held is None and len(self.leases) >= self.max_leases:
            self._sweep(now)
        if held is not None and held.terminal != terminal:
            self._remember_lost(held, terminal)
        self.counter += 1
        lease = Lease(
            key,
            lock_id or self.new_id(),
            terminal,
            self.authority,
            self.epoch,
            self.counter,
            scope,
            now.wall_ms,
            now.wall_ms + wanted,
            wanted,
            now.mono_ms + wanted,
        )
        self._put(lease)
        return lease

    def id_for(self, key: Key, terminal: str, now: Instant) -> str:
        """The id of a lock whose terminal names none: of the lease it extends, or a new one."""
        held = self.holder(key, now)
        return held.lock_id if held is not None and held.terminal == terminal else self.new_id()

    def checked(self, key: Key, terminal: str, lock_id: str | None, timeout_ms: int | None, now: Instant) -> int:
        """How long a lease that is asked for would run, in milliseconds.

        Raises InvalidMessage for a timeout or a lock id that cannot be, PermissionDenied where the terminal has as
        many leases as one may have.
        """
        wanted = self.default_lease_ms if timeout_ms is None else timeout_ms
        if wanted <= 0:
            raise InvalidMessage(f"timeout must be positive, got {wanted} ms", "$.timeout")
        wanted = min(wanted, self.max_lease_ms)
        if lock_id is not None and self._ids.get((terminal, lock_id), key) != key:
            other = self._ids[terminal, lock_id]
            if self.holder(other, now) is not None:
                raise InvalidMessage(f"{lock_id} already names the lock on {other[0]} {other[1]}", "$.lock_id")
        mine = self._of.get(terminal, ())
        if len(mine) >= self.max_of_terminal and key not in mine:
            running = sum(self.leases[held].live(now) for held in mine)
            if running >= self.max_of_terminal:
                raise PermissionDenied(f"{terminal} holds {running} locks, the most that one terminal may", None)
        return wanted

    def take(self, lease: Lease, terminal: str) -> None:
        """Take a running lease from its terminal, which is told 4009 when it writes under it or releases it.

        Raises PermissionDenied where another node granted it for the whole store.
        """
        if lease.authority != self.authority and lease.scope == "store":
            raise PermissionDenied(
                f"{lease.authority} granted this lock, and only there it can be broken", "$.breaks"
            )
        self._drop(lease)
        self._remember_lost(lease, terminal)

    # ------------------------------------------------------------------ what the authority says

    def adopt(self, lease: Lease, now: Instant) -> Lease:
        """Take a lease that the authority granted. Returns the lease that this table now holds for the entity.

        A running local lease of another terminal is not taken away: both hold it, marked so, until one ends.
        """
        held = self._current(lease.key, now)
        if held is not None and held.live(now) and held.terminal != lease.terminal:
            if held.scope != "store":
                self.shadows[lease.key] = lease
                return self.overlap(held)
            self._remember_lost(held, lease.terminal)
        elif held is not None and held.terminal != lease.terminal:
            self._remember_lost(held, lease.terminal)
        self._put(lease)
        return lease

    def overlap(self, held: Lease) -> Lease:
        """Mark a local lease that the authority granted to somebody else."""
        marked = evolve(held, scope="overlapping")
        self._put(marked)
        return marked

    def drop(self, key: Key, lock_id: str) -> Lease | None:
        """Remove a lease that the authority released or no longer knows."""
        shadow = self.shadows.get(key)
        if shadow is not None and shadow.lock_id == lock_id:
            return self.shadows.pop(key)
        lease = self.leases.get(key)
        if lease is None or lease.lock_id != lock_id:
            return None
        self._drop(lease)
        return lease

    def _remember_lost(self, lease: Lease, taker: str) -> None:
        self._lost[lease.terminal, lease.lock_id] = (lease.key, taker)
        self._losers[lease.terminal, lease.key] = lease.lock_id
        while len(self._lost) > self.max_leases:
            self._forget_lost(*next(iter(self._lost)))

    def _forget_lost(self, terminal: str, lock_id: str) -> tuple[Key, str] | None:
        lost = self._lost.pop((terminal, lock_id), None)
        if lost is not None:
            self._losers.pop((terminal, lost[0]), None)
        return lost

    def _sweep(self, now: Instant) -> None:
        for lease in [lease for lease in self.leases.values() if not lease.live(now)]:
            self._drop(lease)
        if len(self.leases) >= self.max_leases:
            raise PermissionDenied(f"all {self.max_leases} leases of this node are taken", None)

    def release(self, terminal: str, lock_id: str, now: Instant) -> Lease:
        """Give a lease back. Raises LockTimeout (expired or taken over) or PermissionDenied (not the holder)."""
        key = self._ids.get((terminal, lock_id))
        if key is None:
            lost = self._forget_lost(terminal, lock_id)
            if lost is not None:
                (entity_type, entity_id), taker = lost
                raise LockTimeout(
                    f"lock {lock_id} expired and {entity_type} {entity_id} was locked by {taker} since",
                    "$.lock_id",
                    entity_type=entity_type,
                    entity_id=entity_id,
                )
            raise PermissionDenied(f"{terminal} holds no lock {lock_id}", "$.lock_id")
        lease = self.leases[key]
        self._drop(lease)
        if not lease.live(now):
            raise LockTimeout(
                f"lock {lock_id} had expired before it was released",
                "$.lock_id",
                entity_type=key[0],
                entity_id=key[1],
            )
        return lease

    # ------------------------------------------------------------------ the check of a write

    def check(self, key: Key, terminal: str, lock_id: str | None, now: Instant) -> str | Held:
        """May `terminal` write? The lock status for the audit ("held", "unlocked", "expired"), or who holds it.

        lock_id: the lock a write names itself, if it does (an addition to node/wire/protocol.md).
        """
        lease = self._current(key, now)
        mine = lease is not None and lease.terminal == terminal
        running = lease is not None and lease.live(now)
        if lease is not None and running and not mine:
            if key in self.shadows and self.shadows[key].terminal == terminal:
                return "overlapping"
            return Held(lease, taken_over=(terminal, key) in self._losers)
        if lock_id is not None and (terminal, lock_id) in self._lost:  # `_put` forgets what is held again
            raise LockTimeout(f"lock {lock_id} expired and was taken over since", "$.operation.lock_id")
        if lease is None or not mine:
            return "unlocked"
        return self.named.get(lease.scope, "held") if running else "expired"
