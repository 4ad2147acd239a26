"""Operations of linked nodes that are not applied: `waiting` for what they build on, or `bad`. Kept whole, durably.

Parked operations count as held when two nodes compare, or the peer would resend them each minute. Some of the bad
ones are asked for again each minute, since they may have been damaged on the way.

What a linked node may leave here is bounded, in rows and in bytes. Where there is no more room, whoever left most of
it pays: within what came by that node, the node that accepted it. Of its oldest bad operations only the names are
kept, then nothing. So bad ones, however many, cost neither the link that brings them nor what others accepted.

A new operation that waits may also take the place of one that waits already. First goes one that has waited for
STALE_MS: by then comparisons have brought what it waits for, if anybody has it. Else the latest one of whoever left
most goes, unless that is the newcomer's own account. An operation that went is not held, so a comparison brings it
again from a node that has it. Age alone drops nothing: it may be the last copy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.classes import define
from node.wire.links.handshake import LONGEST_REASON, KeptOut
from storage.records import Key, ParkedRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


BAD = "bad"
WAITING = "waiting"
DROPPED = "dropped"
"""Somebody has looked at it, and does not want it. Only its name is kept, so that nobody sends it again."""
FAULT = "fault"
"""What a terminal of this node sent and the node's own code failed on. It is only kept to be looked at."""

FAULTS_KEPT = 100
"""Rows of that kind, the latest."""

NO_BODY = b"{}"
"""The body of an operation of which only the name is kept. The node that sent it has it."""

STALE_MS = 86_400_000
"""What has waited for so long is dropped first where there is no more room."""

MOST = 100_000
"""Most operations kept."""

MOST_OF_PEER = 50_000
"""Most operations of one linked node. One that finds no room is left to a later comparison."""

PEERS = 4
"""The operations of one linked node have at most one in so many of the quarantine's bytes."""

ORIGINS = 1_000
"""Most accounts of one linked node. What other nodes accepted shares one more, so that no account costs much time."""

_ORIGIN = re.compile(rb'"origin":"([^"\\]{1,128})"')
"""What a node says of an operation comes after the operation, which may have a field of this name too."""


@define(eq=False)
class Account:
    """What one node accepted and one linked node brought: numbers of rows, the oldest first.

    bad: of those that do not wait. whole: of the bad ones, those that are kept whole.
    """

    rows: dict[int, None] = field(factory=dict)
    bad: dict[int, None] = field(factory=dict)
    whole: dict[int, None] = field(factory=dict)
    bytes: int = 0


@define(eq=False)
class Left:
    """What one linked node brought. accounts: by the node that accepted it. rows, bytes: of all of them.

    bad: numbers of those that are neither dropped nor wait for anything, the latest last.
    """

    accounts: dict[str, Account] = field(factory=dict)
    bad: dict[int, None] = field(factory=dict)
    rows: int = 0
    bytes: int = 0


@define(eq=False)
class Quarantine:
    """Parked operations by number and by link key; the waiting ones also by the entities that they change.

    most_bytes: of the operations, as they came.
    """

    most_bytes: int = 2**26
    _rows: dict[int, ParkedRow] = field(factory=dict)
    _by_key: dict[tuple[int, str], int] = field(factory=dict)
    _bad: dict[str, set[int]] = field(factory=dict)
    """Name of an operation -> the numbers of its bad rows. The name may be damaged itself."""
    _waiting: dict[Key, dict[int, None]] = field(factory=dict)
    _touched: dict[int, tuple[Key, ...]] = field(factory=dict)
    """Number of a row that waits -> the entities under which it does."""
    _faults: dict[int, None] = field(factory=dict)
    _left: dict[str, Left] = field(factory=dict)
    """Linked node -> what came by it."""
    bytes: int = field(default=0, init=False)
    """Bytes of the operations that are kept whole."""
    let_go: int = field(default=0, init=False)
    """How many that waited were dropped to make room, since the start."""
    _origins: dict[int, str] = field(factory=dict)
    """Number of a row -> the node that accepted the operation."""
    _due: dict[int, None] = field(factory=dict)
    """Those that are tried again by the clock: what they need could not be read, or is not in memory; or somebody
    asked for it."""
    _last: int = 0

    @classmethod
    def of(cls, rows: Iterable[ParkedRow], most_bytes: int = 2**26) -> Quarantine:
        """From the stored rows. What waits is tried once: it may have come before the stop."""
        quarantine = cls(most_bytes)
        for row in rows:
            quarantine.add(row)
            if row.state == WAITING:
                quarantine.make_due(row)
        return quarantine

    def __len__(self) -> int:
        """How many operations of linked nodes are parked."""
        return len(self._rows) - len(self._faults)

    @property
    def empty(self) -> bool:
        """Whether nothing at all is kept."""
        return not self._rows

    def __iter__(self) -> Iterator[ParkedRow]:
        return iter(list(self._rows.values()))

    def __contains__(self, row: ParkedRow) -> bool:
        return row.id in self._rows

    def holds(self, link_key: int, name: str) -> bool:
        """Whether an operation is parked. name: the operation's, which also tells those without a link key apart."""
        return (link_key, name) in self._by_key

    def link_keys(self, entity_type: str) -> set[int]:
        of_type = (row for row in self._rows.values() if row.entity_type == entity_type and row.state != FAULT)
        return {row.link_key for row in of_type}

    def faults(self) -> list[ParkedRow]:
        """What the node's own code failed on, the oldest first."""
        return [self._rows[number] for number in self._faults]

    def of_operation(self, link_key: int, name: str) -> ParkedRow | None:
        number = self._by_key.get((link_key, name))
        return self._rows[number] if number is not None else None

    def bad_of(self, name: str) -> list[ParkedRow]:
        """The damaged copies of an operation."""
        return [self._rows[number] for number in sorted(self._bad.get(name, ()))]

    def bad_from(self, node: str) -> list[ParkedRow]:
        """The bad ones that a node accepted, as far as that can be read."""
        of = [(left.accounts.get(node), left.accounts.get("")) for left in self._left.values()]
        rows = [self._rows[number] for pair in of for account in pair if account for number in account.bad]
        return [row for row in rows if row.state == BAD and origin_of(row.body) == node]

    def kept_out(self, peer: str) -> KeptOut | None:
        """What a linked node brought and nothing here will bring in; None where there is nothing of the kind."""
        bad = self._of(peer).bad
        return KeptOut(len(bad), self._rows[next(reversed(bad))].reason[:LONGEST_REASON]) if bad else None

    def by_peer(self) -> dict[str, int]:
        """Linked node -> how many bad ones it brought."""
        return {peer: len(left.bad) for peer, left in self._left.items() if left.bad}

    def of_link_key(self, link_key: int) -> list[ParkedRow]:
        return [row for row in self._rows.values() if row.link_key == link_key]

    def bad(self, after: int, most: int) -> list[ParkedRow]:
        """Up to `most` bad rows after number `after`; starts over when there are none."""
        found = [row for row in self._rows.values() if row.state == BAD]
        later = [row for row in found if row.id > after]
        return (later or found)[:most]

    # ------------------------------------------------------------------ room

    @property
    def largest(self) -> int:
        """Bytes of the largest operation that is kept whole."""
        return self.most_bytes // PEERS

    def full(self, peer: str) -> bool:
        """Whether there is no place for another row of a linked node."""
        return len(self) >= MOST or self._of(peer).rows >= MOST_OF_PEER

    def fits(self, peer: str, size: int) -> bool:
        """Whether there is room for so many bytes more of a linked node."""
        most = self.most_bytes
        return self.bytes + size <= most and self._of(peer).bytes + size <= self.largest

    def makes_place(self, peer: str, origin: str | None, wall_ms: int) -> ParkedRow | None:
        """The row that goes for another one that a linked node brings; None where none has to.

        origin: who accepted the other one if it waits; None for a bad one, for which nothing that waits goes.
        """
        if self._of(peer).rows < MOST_OF_PEER:
            peer = max(self._left, key=lambda name: self._left[name].rows)
        accounts = sorted(self._left[peer].accounts.items(), key=lambda item: -len(item[1].rows))
        bad = next((self._rows[number] for _, account in accounts for number in account.bad), None)
        return bad or self._that_waits(accounts, origin, wall_ms)

    def makes_room(self, peer: str, origin: str | None, wall_ms: int) -> ParkedRow | None:
        """The row that makes room for another: of a bad one the name stays, one that waits is dropped. As above."""
        if self._of(peer).bytes < self.largest // 2:
            peer = max(self._left, key=lambda name: self._left[name].bytes, default=peer)
        accounts = sorted(self._of(peer).accounts.items(), key=lambda item: -item[1].bytes)
        bad = next((self._rows[number] for _, account in accounts for number in account.whole), None)
        return bad or self._that_waits(accounts, origin, wall_ms)

    def _that_waits(
        self, accounts: Sequence[tuple[str, Account]], origin: str | None, wall_ms: int
    ) -> ParkedRow | None:
        """accounts: those that pay, whoever has most first."""
        if origin is None:
            return None
        for _, account in accounts:
            oldest = next((self._rows[number] for number in account.rows if number not in account.bad), None)
            if oldest is not None and wall_ms - oldest.at_ms >= STALE_MS:
                return oldest
        name, account = accounts[0] if accounts else (origin, Account())
        latest = next((self._rows[number] for number in reversed(account.rows) if number not in account.bad), None)
        return latest if name != origin else None

    def _of(self, peer: str) -> Left:
        return self._left.get(peer) or Left()

    def row(self, number: int) -> ParkedRow | None:
        return self._rows.get(number)

    def next_id(self) -> int:
        return self._last + 1

    def add(self, row: ParkedRow) -> None:
        self._rows[row.id] = row
        self._last = max(self._last, row.id)
        if row.state == FAULT:
            self._faults[row.id] = None
            return
        self._by_key[row.link_key, row.name] = row.id
        self._charge(row)
        if row.state == BAD:
            self._bad.setdefault(row.name, set()).add(row.id)
        elif row.state == WAITING:
            self._touched[row.id] = _touched(row)
            for key in self._touched[row.id]:
                self._waiting.setdefault(key, {})[row.id] = None

    def remove(self, row: ParkedRow) -> None:
        row = self._rows.pop(row.id)
        if self._faults.pop(row.id, row.id) is None:
            return
        self._by_key.pop((row.link_key, row.name), None)
        self._discharge(row)
        self._done_waiting(row)
        bad = self._bad.get(row.name, set())
        bad.discard(row.id)
        if not bad:
            self._bad.pop(row.name, None)

    def _charge(self, row: ParkedRow) -> None:
        left = self._left.setdefault(_peer(row), Left())
        accounts, origin = left.accounts, self._origins.get(row.id, origin_of(row.body))
        if origin not in accounts and len(accounts) >= ORIGINS:
            origin = ""
        self._origins[row.id] = origin
        account = accounts.setdefault(origin, Account())
        account.rows[row.id] = None
        left.rows += 1
        for total in (account, left, self):
            total.bytes += len(row.body)
        if row.state == BAD:
            left.bad[row.id] = None
        if row.state != WAITING:
            account.bad[row.id] = None
            if row.body != NO_BODY:
                account.whole[row.id] = None

    def _discharge(self, row: ParkedRow) -> None:
        left, origin = self._left[_peer(row)], self._origins.pop(row.id)
        account = left.accounts[origin]
        for numbers in (account.rows, account.bad, account.whole):
            numbers.pop(row.id, None)
        left.rows -= 1
        left.bad.pop(row.id, None)
        for total in (account, left, self):
            total.bytes -= len(row.body)
        if not account.rows:
            del left.accounts[origin]
        if not left.accounts:
            del self._left[_peer(row)]

    def only_name(self, row: ParkedRow, other: ParkedRow) -> None:
        """`other` takes the place of a bad row, without its body."""
        self._replace(row, other)

    def _replace(self, row: ParkedRow, other: ParkedRow) -> None:
        """Another row of the same operation, on the same account: its body may be gone."""
        origin = self._origins[row.id]
        self._discharge(row)
        self._rows[row.id] = other
        self._origins[row.id] = origin
        self._charge(other)

    def _done_waiting(self, row: ParkedRow) -> None:
        self._due.pop(row.id, None)
        for key in self._touched.pop(row.id, ()):
            waiting = self._waiting[key]
            del waiting[row.id]
            if not waiting:
                del self._waiting[key]

    def found_bad(self, row: ParkedRow, other: ParkedRow) -> None:
        """A waiting operation turned out to be bad. `other` takes its place."""
        self._replace(row, other)
        self._done_waiting(row)
        self._bad.setdefault(row.name, set()).add(row.id)

    def waiting_for(self, entity_type: str, entity_id: str) -> list[ParkedRow]:
        """What may go on now that something came to this entity."""
        return [self._rows[number] for number in self._waiting.get((entity_type, entity_id), ())]

    def make_due(self, row: ParkedRow) -> None:
        """Try an operation again by the clock."""
        if row.id in self._rows and row.state in (BAD, WAITING):
            self._due[row.id] = None

    def due(self, most: int) -> list[ParkedRow]:
        """Up to `most` rows that are due, each once."""
        numbers = list(self._due)[:most]
        for number in numbers:
            del self._due[number]
        return [self._rows[number] for number in numbers]


def _peer(row: ParkedRow) -> str:
    return row.via.partition(":")[0]


def _touched(row: ParkedRow) -> tuple[Key, ...]:
    """The entities whose documents an operation changes: a BULK_UPDATE changes others than the one it may name."""
    keys = {(row.entity_type, row.entity_id): None}
    try:
        updates = orjson.loads(row.body)["link"]["updates"]
        keys |= {(str(entity_type), str(entity_id)): None for entity_type, entity_id, *_ in updates}
    except (ValueError, KeyError, TypeError):
        pass  # nobody could try it
    return tuple(keys)


def origin_of(body: bytes) -> str:
    """The node that accepted an operation, as far as it can be read."""
    found = _ORIGIN.match(body, max(body.rfind(b'"origin":"'), 0))
    return found[1].decode(errors="replace") if found is not None else ""
