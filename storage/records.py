"""What is stored, as values. JSON texts are opaque bytes here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from attrs import define, field, frozen

POLICIES = "policies"
"""Where `meta` has the configurations the node ran with, as far as they decide what an entity shows."""


def key64(*parts: str) -> int:
    """A stable 64-bit hash (signed, as SQLite stores integers) of a key, for the in-memory indexes."""
    return int.from_bytes(blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big", signed=True)


def link_key(operation_id: str, updates: Sequence[Sequence[Any]]) -> int:
    """Names one operation under one writer. updates: as in `LogRow.updates`, at least one entry."""
    writer, first, _ = updates[0][4]
    return key64(operation_id, f"{writer}:{first}")


@define(eq=False)
class LogRow:
    """One row of the log, numbered by a gapless `seq`.

    kind: operation | notice | refused | state. priority: 0 critical .. 3 low. entity_id: None for BULK_UPDATE.
    targets: terminals a notice is for (of a BULK_UPDATE: the entities it touched). stamp, accepted: HLCs.
    operation: the authored operation. message: what JSON clients are sent, one or more messages, a line each.
    changes: the audit's before and after. updates: what links send.
    origin: the node that accepted an operation. via: "node:epoch" of the peer it came from, "" for one accepted here.
    link_key: names one operation under one writer (None: nothing to send on a link). hash: of the chain, known once
    committed.
    """

    seq: int
    kind: str
    priority: int
    entity_type: str
    entity_id: str | None
    operation_id: str
    terminal_id: str
    user_id: str | None
    targets: tuple[str, ...]
    monitors: bool
    stamp: int
    accepted: int
    version: int
    status: str
    lock_status: str
    echo: bool
    operation: bytes
    message: bytes
    changes: bytes
    updates: bytes
    origin: str = ""
    via: str = ""
    link_key: int | None = None
    hash: bytes = b""


@frozen
class EntityRow:
    """An entity's state: its shown view (JSON), its document's snapshot, and who brought which record (`seen`)."""

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
    """A conflict by its deterministic id. state: open | settled | closed."""

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
    """A lease. Times in Unix milliseconds; the token is (authority, epoch, counter)."""

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
    """How far a terminal has confirmed the log, one position a priority class (-1: nothing yet)."""

    terminal_id: str
    terminal_type: str
    user_id: str | None
    positions: tuple[int, ...]
    last_seen_ms: int


@frozen
class TokenRow:
    """A bearer token, by the SHA-256 of it."""

    token_hash: str
    terminal_id: str
    terminal_type: str
    label: str
    created_at: str
    revoked_at: str | None


@frozen
class PeerRow:
    """What this node holds of another node's log: positions (one a priority class) of that log's epoch.

    mark, mark_hash: the last row of it that was received, and its chain hash there: another hash is a fork.
    """

    node_id: str
    epoch: str
    positions: tuple[int, ...]
    mark: int
    mark_hash: bytes
    last_seen_ms: int


@frozen
class ParkedRow:
    """A linked node's operation that is not applied. state: `waiting` for what it builds on, or `bad`.

    body: the whole message as it came. link_key: what it stands for, so that nobody sends it again.
    """

    id: int
    via: str
    operation_id: str
    link_key: int
    entity_type: str
    entity_id: str
    state: str
    reason: str
    body: bytes
    at_ms: int


@frozen
class FollowerRow:
    """How far another node has confirmed this node's log (of that epoch), one position a priority class."""

    node_id: str
    epoch: str
    positions: tuple[int, ...]
    last_seen_ms: int


@frozen
class Anchor:
    """Where the log begins: the last row that is archived and gone (0: none), and its chain hash."""

    seq: int
    hash: bytes


@frozen
class ArchiveRow:
    """An archive file: rows `first` to `last`. before, hash: the chain before the first and at the last."""

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
    """What is kept of archived rows of one entity. span: the last row of the archive they are in, 0 where they came
    with another node's state. seq: the last of them. author, other: who wrote the last of them and is not sent them,
    and the last row before those. bulk: whether one of them touched other entities too. records: of the operations
    (storage.packed)."""

    entity_type: str
    entity_id: str
    span: int
    seq: int
    author: str
    other: int
    bulk: bool
    records: bytes


@define(eq=False)
class Commit:
    """One transaction. Rows in `seq` order, continuing the log's head. unparked: ids of parked rows that ended."""

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
    meta: dict[str, str] = field(factory=dict)

    def empty(self) -> bool:
        """Whether nothing but the clock would be written."""
        state = self.rows or self.entities or self.conflicts or self.locks or self.cursors
        links = self.peers or self.parked or self.unparked or self.archived or self.followers
        return not state and not links and not (self.meta.keys() - {"hlc"})


@frozen
class Try:
    """What an author knew when an operation of its first came, and was refused: a refused row keeps it.

    head: the last row there was; what came later, also of its own, it cannot have seen. The others as of
    `node.core.operations.author.Author`, in the priority class of what it writes.
    """

    head: int
    acknowledged: int
    received: int
    began: int
    resumed: int


@define(eq=False)
class Boot:
    """What a node reads when it starts. The keys of all operations ever: as packed arrays, 8 bytes each."""

    node_id: str
    epoch: str
    head: int
    chain: bytes
    class_heads: list[int]
    locks: list[LockRow]
    cursors: list[CursorRow]
    open_conflicts: list[ConflictRow]
    entity_keys: set[int]
    operation_keys: Sequence[int]
    """Of those in the log, sorted."""
    archived_keys: Sequence[int]
    """Of those that are held without a row, in any order."""
    link_keys: Mapping[str, Sequence[int]]
    """Of each entity type's operations, in any order; also of those held without a row."""
    partial: Mapping[int, set[str]]
    """Link key -> entities whose part of an operation is here, while another part is missing."""
    peers: list[PeerRow]
    followers: list[FollowerRow]
    parked: list[ParkedRow]
    meta: dict[str, str]
    refused: dict[tuple[str, str], Try] = field(factory=dict)
    """The latest refused writes by terminal and operation id, the oldest first."""
