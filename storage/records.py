"""What is stored, as values. JSON texts are opaque bytes here.

A field of a `...Row` class is a column of its table, by the same name; `storage/sqlite/rows.py` takes every statement
and every row that is read from these classes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from sys import byteorder
from typing import Any

from attrs import field, fields

from crdt.classes import define, frozen
from crdt.records import name_of

CLASSES = 4
"""Priority classes of log rows: 0 critical, 1 high, 2 medium, 3 low."""

Key = tuple[str, str]
"""An entity: its type and its id."""

UPDATE_KINDS = ("operation", "state")
"""Kinds of log rows that changed a document."""


def key64(*parts: str) -> int:
    """A stable 64-bit hash of a key, for the indexes in memory. Signed, as SQLite stores integers."""
    return int.from_bytes(blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big", signed=True)


def keys64(names: Iterable[Sequence[str]]) -> array[int]:
    """The `key64` of each of many keys, in the same order. Raises TypeError where a part is no text."""
    hashed = [blake2b("\x1f".join(parts).encode(), digest_size=8).digest() for parts in names]
    keys = array("q", b"".join(hashed))
    if byteorder == "little":
        keys.byteswap()
    return keys


@lru_cache(maxsize=2_048)
def op_key(name: str) -> int:
    """The key of an operation's name (`crdt.records.name_of`), by which a log finds all its rows.

    It is asked for three times on the way of an operation, so the latest are remembered.
    """
    return key64(name)


@lru_cache(maxsize=2_048)
def entity_key(key: Key) -> int:
    """The hash by which it is known whether an entity exists. It is asked for several times on the way of an
    operation, or of an entity that comes whole."""
    return key64(*key)


def link_key(name: str, updates: Sequence[Sequence[Any]]) -> int:
    """The key of one operation under one writer, and of what it did: a node that holds it otherwise has another key.

    updates: as in `LogRow.updates`, at least one entry.
    """
    writer, first, _ = updates[0][4]
    return key64(name, f"{writer}:{first}", *[entry[2] for entry in updates])


@define(eq=False)
class LogRow:
    """One row of the log.

    seq: the row's number, without gaps.
    kind: operation | notice | refused | state.
    priority: the class, 0 critical .. 3 low.
    entity_id: None for a BULK_UPDATE.
    targets: the terminals a notice is for; of a BULK_UPDATE the ids of the entities it touched.
    monitors: whether monitors are sent it too.
    stamp, accepted: HLCs of when it was written and of when a node accepted it.
    echo: whether the author is sent its own operation.
    operation: the operation as its author sent it, JSON.
    message: what terminals are sent, one or more JSON messages, a line each.
    changes: the audit's before and after, JSON.
    updates: what links send, JSON as `node/wire/links/operations.py` reads it; of a `state` row a Yjs
        update in base64.
    origin: the node that accepted the operation; "" for this one.
    via: "node:epoch" of the peer it came from; "" for an operation that was accepted here.
    link_key: the key of one operation under one writer; None when there is nothing to send on a link.
    proof: of the node that accepted the operation (`storage/proofs.py`); b"" where it did not sign, or not yet.
    seal: of an operation that was accepted here, by which this node knows it again (`storage/signer.py`).
    signed: what was found of the proof of an operation that came over a link: verified | unsigned | unknown (nobody
        knows the key of its origin); "" for what was decided here.
    hash: the row's place in the audit chain, known once it is committed.
    """

    seq: int
    kind: str
    priority: int
    entity_type: str
    entity_id: str | None
    operation_id: str
    terminal_id: str = ""
    user_id: str | None = None
    targets: tuple[str, ...] = ()
    monitors: bool = False
    stamp: int = 0
    accepted: int = 0
    version: int = 0
    status: str = ""
    lock_status: str = "none"
    echo: bool = False
    operation: bytes = b""
    message: bytes = b""
    changes: bytes = b""
    updates: bytes = b""
    origin: str = ""
    via: str = ""
    link_key: int | None = None
    proof: bytes = b""
    signed: str = ""
    seal: bytes = b""
    hash: bytes = b""

    @property
    def name(self) -> str:
        """Of the operation: its author and the id that the author gave it (`crdt.records.name_of`)."""
        return f"{self.terminal_id}/{self.operation_id}"

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        return len(self.message) + len(self.operation) + len(self.updates) + len(self.changes)

    @property
    def op_key(self) -> int | None:
        """The key of the operation's name; None for a row that is no operation."""
        return op_key(self.name) if self.kind == "operation" else None


@frozen
class EntityRow:
    """An entity's state.

    view: what is shown of it, JSON.
    snapshot: its document, a Yjs update.
    seen: who brought which record, JSON.
    seq: its last row in the log.
    """

    entity_type: str
    entity_id: str
    version: int
    deleted: bool
    view: bytes
    snapshot: bytes
    seen: bytes
    seq: int


@frozen
class ConflictRow:
    """A conflict, by its deterministic id.

    path: the place in the document, JSON.
    operations: names of the operations that collided (`crdt.records.name_of`).
    state: open | settled | closed.
    body: what terminals are told of it, JSON.
    closed_by: id of the operation that ended it.
    outcome: how it ended, JSON.
    seq: the row that raised or closed it.
    """

    conflict_id: str
    entity_type: str
    entity_id: str
    path: bytes
    operations: tuple[str, ...]
    type: str
    state: str
    body: bytes
    created_at: str
    closed_by: str | None
    outcome: bytes
    seq: int


@frozen
class LockRow:
    """A lease.

    authority, epoch, counter: the fencing token.
    granted_ms, expires_ms: Unix milliseconds.
    """

    entity_type: str
    entity_id: str
    lock_id: str
    terminal_id: str
    authority: str
    epoch: int
    counter: int
    scope: str
    granted_ms: int
    expires_ms: int
    timeout_ms: int
    released: bool


@frozen
class CursorRow:
    """How far a terminal has confirmed the log.

    positions: the last row confirmed of each priority class, -1 for nothing yet.
    last_seen_ms: Unix milliseconds.
    sent: the last row written to its connection of each priority class. Its confirmation may have been lost.
    confirms: whether it has ever sent a `sync_confirmation`.
    clock: what is known of its clock, as `node/core/terminal_clocks.py` stores it; "" for nothing.
    online: it was connected then.
    anew: it has begun here with an empty screen, so it shows of this log what it has confirmed.
    """

    terminal_id: str
    terminal_type: str
    user_id: str | None
    positions: tuple[int, ...]
    last_seen_ms: int
    sent: tuple[int, ...] = (-1,) * CLASSES
    confirms: bool = False
    clock: str = ""
    online: bool = False
    anew: bool = False


@frozen
class TokenRow:
    """A bearer token. It is never removed: a node that had one stays closed to who has none.

    token_hash: its SHA-256; the token itself is stored nowhere.
    rights: what it may do otherwise than its terminal type, by verb, JSON (node/rights.py).
    expires_at: from then on it is worth nothing.
    used_at, used_from: when it was last shown, and from which address.
    """

    token_hash: str
    terminal_id: str
    terminal_type: str
    label: str
    created_at: str
    revoked_at: str | None
    rights: str = "{}"
    expires_at: str | None = None
    used_at: str | None = None
    used_from: str = ""


@frozen
class PeerRow:
    """What this node holds of another node's log.

    epoch: the log that the positions count.
    positions: the last row held of each priority class.
    mark, mark_hash: the last row received, and its chain hash there. Another hash at that row is a fork.
    last_seen_ms: Unix milliseconds.
    """

    node_id: str
    epoch: str
    positions: tuple[int, ...]
    mark: int
    mark_hash: bytes
    last_seen_ms: int


@frozen
class ParkedRow:
    """An operation of a linked node that is not applied.

    via: "node:epoch" of the peer it came from.
    terminal_id, operation_id: as the message says; empty where it cannot be read.
    link_key: the operation under its writer, so that nobody sends it again.
    state: `waiting` for an operation it builds on, or `bad`.
    body: the whole message as it came.
    at_ms: when it came, Unix milliseconds.
    """

    id: int
    via: str
    terminal_id: str
    operation_id: str
    link_key: int
    entity_type: str
    entity_id: str
    state: str
    reason: str
    body: bytes
    at_ms: int

    @property
    def name(self) -> str:
        """Of the operation."""
        return name_of(self.terminal_id, self.operation_id)


@frozen
class FollowerRow:
    """How far another node has confirmed this node's log.

    epoch: the log that the positions count.
    positions: the last row confirmed of each priority class.
    last_seen_ms: Unix milliseconds.
    """

    node_id: str
    epoch: str
    positions: tuple[int, ...]
    last_seen_ms: int


@frozen
class HeadRow:
    """What a log ended with, as its node signed it.

    seq, hash: the last row and its chain hash.
    at_ms: when it was signed, by that node's wall clock. received_ms: when it came, by this one's.
    key, signature: of `storage.proofs.head_statement`.
    """

    node_id: str
    epoch: str
    seq: int
    hash: bytes
    at_ms: int
    key: bytes
    signature: bytes
    received_ms: int

    @property
    def says(self) -> tuple[str, int, bytes]:
        """(epoch, row, chain hash)."""
        return self.epoch, self.seq, self.hash


@frozen
class Anchor:
    """Where the log begins. seq: the last row that is archived and gone, 0 for none. hash: its chain hash."""

    seq: int
    hash: bytes


@frozen
class ProofRow:
    """The proof of an operation that was signed after its row was stored."""

    seq: int
    proof: bytes


@frozen
class RefusedRow:
    """What is kept of a refused write whose row is archived.

    seq: its row. tried: `FirstAttempt.stored`, as JSON.
    """

    terminal_id: str
    operation_id: str
    seq: int
    tried: bytes


@frozen
class ArchiveRow:
    """An archive file.

    first, last: its rows.
    before, hash: the chain before the first row and at the last.
    file: its absolute path.
    bytes: the file's size.
    epoch: the log it was made of.
    """

    first: int
    last: int
    before: bytes
    hash: bytes
    file: str
    bytes: int
    epoch: str
    made_at: str


@frozen
class ArchivedRow:
    """What is kept of one entity's archived rows.

    span: the last row of their archive; 0 when they came with another node's state.
    seq: the last of them.
    author: the terminal that wrote the last of them, if it is not sent its own; "" otherwise.
    other: the last row before those of that author.
    bulk: whether one of them touched other entities too.
    records: the operations (`storage/packed.py`).
    """

    entity_type: str
    entity_id: str
    span: int
    seq: int
    author: str
    other: int
    bulk: bool
    records: bytes


def objection(record: LogRow | EntityRow) -> str | None:
    """Which value of a record no disk takes: a number past 64 bits, a text that is no UTF-8. None where all can."""
    for attribute in fields(type(record)):
        value = getattr(record, attribute.name)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return f"{attribute.name} is no number of 64 bits"
        for text in (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ():
            try:
                text.encode()
            except UnicodeEncodeError:
                return f"{attribute.name} is no UTF-8"
    return None


@define(eq=False)
class Commit:
    """One transaction.

    rows: in `seq` order; the first follows the log's head.
    unparked: ids of parked rows that ended.
    gone: terminals that are let go.
    sign: whether every operation accepted here up to its end is signed with it.
    """

    rows: list[LogRow] = field(factory=list)
    entities: list[EntityRow] = field(factory=list)
    conflicts: list[ConflictRow] = field(factory=list)
    locks: list[LockRow] = field(factory=list)
    cursors: list[CursorRow] = field(factory=list)
    peers: list[PeerRow] = field(factory=list)
    parked: list[ParkedRow] = field(factory=list)
    unparked: list[int] = field(factory=list)
    archived: list[ArchivedRow] = field(factory=list)
    followers: list[FollowerRow] = field(factory=list)
    gone: list[str] = field(factory=list)
    heads: list[HeadRow] = field(factory=list)
    meta: dict[str, str] = field(factory=dict)
    sign: bool = False

    def empty(self) -> bool:
        """Whether nothing but the clock would be written."""
        state = self.rows or self.entities or self.conflicts or self.locks or self.cursors
        links = self.peers or self.parked or self.unparked or self.archived or self.followers or self.heads
        return not state and not links and not self.gone and not self.sign and len(self.meta) == ("hlc" in self.meta)


@define
class FirstAttempt:
    """What an author knew when its operation first came and was refused. The refused row keeps it.

    head: the log's last row then. The author cannot have seen what came later, its own rows included.
    acknowledged, received: positions in the priority class of what it writes, as
        `node.core.operations.author.Author` has them.
    again: what it was sent once more of that class (`node.core.entities.again`).
    sent: what it may have read, likewise.
    """

    head: int
    acknowledged: int
    received: int
    again: tuple[tuple[int, int], ...]
    sent: int

    def stored(self) -> dict[str, object]:
        """The value of `tried` in the refused row's `changes`."""
        return {
            "head": self.head,
            "acknowledged": self.acknowledged,
            "received": self.received,
            "again": self.again,
            "sent": self.sent,
        }

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> FirstAttempt:
        """Raises KeyError, TypeError or ValueError where a refused row is damaged."""
        return cls(
            head=stored["head"],
            acknowledged=stored["acknowledged"],
            received=stored["received"],
            again=tuple([(after, upto) for after, upto in stored["again"]]),
            sent=stored["sent"],
        )


@define(eq=False)
class Boot:
    """What a node reads when it starts. Keys of operations are packed arrays, 8 bytes a key.

    head, chain: the last row and its chain hash.
    class_heads: the last row of each priority class.
    locks: the leases that were not released.
    operation_keys: of the operations in the log, sorted.
    archived_keys: of the operations that are held without a row, in any order.
    told_keys: those of them that came with states, and not from an archive of this node.
    link_keys: of each entity type's operations, in any order; those held without a row are among them.
    partial: link key -> entities whose part of an operation is held while another part is missing.
    refused: the first attempts of the latest refused writes, archived ones too, by terminal and operation id, the
        oldest first.
    heads: the signed heads that are kept, of this node and of others, the latest last.
    damaged: what is said of rows that are not what was written, and were left out.
    """

    node_id: str
    epoch: str
    head: int
    chain: bytes
    class_heads: list[int]
    locks: list[LockRow]
    cursors: list[CursorRow]
    open_conflicts: list[ConflictRow]
    entity_keys: Sequence[int]
    operation_keys: Sequence[int]
    archived_keys: Sequence[int]
    told_keys: Sequence[int]
    link_keys: Mapping[str, Sequence[int]]
    partial: Mapping[int, set[str]]
    peers: list[PeerRow]
    followers: list[FollowerRow]
    parked: list[ParkedRow]
    meta: dict[str, str]
    refused: dict[tuple[str, str], FirstAttempt] = field(factory=dict)
    heads: Sequence[HeadRow] = ()
    damaged: list[str] = field(factory=list)
