"""Which operations this node holds: with their rows, archived, or as part of another node's state of an entity.

An operation is named by its author and the id that the author gave it (`crdt.records.name_of`): the same id of
another terminal is another operation. One that is held is never applied again, and counts as held when two nodes
compare. A terminal may have sent it to several nodes; then it has a row, a copy, under each one's writer.

The latest rows are in memory. Of older operations only a 64-bit hash is, and the rows are read from disk when the
name comes again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import compress, islice, takewhile
from operator import eq
from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.classes import define
from crdt.hlc import pack
from node.core.digests import Digests, KeySet
from storage.answers import Recalled
from storage.packed import unpack_operations
from storage.records import LogRow, op_key
from storage.understood import content_of, understood

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage.packed import ArchivedOperation
    from storage.records import ArchivedRow, Boot


@define(eq=False, kw_only=True)
class Held:
    """The operations of this node.

    known: hashes of the names of operations that have a row here.
    archived: hashes of the names of operations that are held without a row.
    told: those of them that another node named with a state. This node never had a row of them.
    doubled: hashes of the names of operations that have a row under each of two writers.
    digests: the link keys of all of them.
    partial: link key of an archived operation of several entities -> the entities that are here, while some are not.
    most, most_bytes: how many of the latest operations are kept in memory, and how many bytes of their rows.
    """

    most: int
    most_bytes: int = 2**25
    known: KeySet
    archived: KeySet = field(factory=KeySet)
    told: KeySet = field(factory=KeySet)
    doubled: KeySet = field(factory=KeySet)
    partial: dict[int, set[str]] = field(factory=dict)
    digests: Digests = field(factory=Digests)
    recent: dict[str, tuple[LogRow, ...]] = field(factory=dict, init=False)
    """Name -> its rows, in log order. The name whose last row is the latest comes last."""
    size: int = field(default=0, init=False)
    """Bytes of the rows in `recent`."""
    read: dict[str, tuple[LogRow, ...]] = field(factory=dict, init=False)
    """Name -> its rows, for those that were read from disk last."""
    recalled: dict[str, Sequence[Recalled]] = field(factory=dict, init=False)
    """Name -> what is left of its archived copies, for those that were asked for last."""

    def start_again(self, boot: Boot) -> None:
        """Hold what the disk holds."""
        self.known, self.archived = KeySet(boot.operation_keys), KeySet(boot.archived_keys)
        self.told, self.doubled = KeySet(boot.told_keys), KeySet(repeated(boot.operation_keys))
        self.digests, self.partial = Digests.of(boot.link_keys), dict(boot.partial)
        self.recent.clear()
        self.read.clear()
        self.recalled.clear()
        self.size = 0

    # ------------------------------------------------------------------ looking

    def on_disk(self, name: str) -> bool:
        """True when the operation is held but its rows must be read from disk. The hash may raise a false alarm."""
        if self.in_memory(name):
            return False
        key = op_key(name)
        return key in self.known or key in self.archived

    def in_memory(self, name: str) -> bool:
        """Whether the operation is held, and all of its copies are in memory."""
        return name in self.recent or name in self.read or name in self.recalled

    def rows(self, name: str) -> Sequence[LogRow]:
        """The rows of an operation, as far as they are in memory."""
        return self.recent.get(name) or self.read.get(name, ())

    def copies(self, name: str, said: bytes) -> list[LogRow]:
        """The rows of an operation that is held, one a writer, or what is left of them.

        What `on_disk` says of it must be fetched first.
        said: what it says (storage/understood.py). An author may give one id to two contents on two nodes; those are
            no copies of each other.
        """
        kept = [row for row in self.rows(name) if understood(orjson.loads(row.operation)) == said]
        found = {row.link_key for row in kept}
        for one in self.recalled.get(name, ()):
            if one.operation.content == content_of(said) and one.operation.link_key not in found:
                kept.append(one.row)
        return kept

    def holds(self, name: str) -> bool:
        """Whether an operation of this name is held, as far as its hash tells."""
        key = op_key(name)
        return key in self.known or key in self.archived

    def uncommitted(self, committed: int) -> set[int]:
        """Link keys of operations whose rows are not durable yet."""
        latest = takewhile(lambda rows: rows[-1].seq > committed, reversed(self.recent.values()))
        return {row.link_key for rows in latest for row in rows if row.seq > committed and row.link_key is not None}

    def accepted_since(self, since_ms: int) -> dict[str, list[int]]:
        """Entity type -> link keys of the operations that a node accepted then or later, as far as their rows are in
        memory. since_ms: Unix milliseconds."""
        since, found = pack(since_ms), defaultdict[str, list[int]](list)
        for rows in self.recent.values():
            for row in rows:
                if row.accepted >= since and row.link_key is not None:
                    found[row.entity_type].append(row.link_key)
        return found

    # ------------------------------------------------------------------ rows

    def remember(self, row: LogRow) -> None:
        """An operation has a row, perhaps one more under another writer."""
        name = row.name
        key = op_key(name)
        if not self.known.add(key):
            self.doubled.add(key)
        earlier = self.recent.pop(name, None)
        if earlier is None:
            earlier = self.read.pop(name, ())
            self.size += sum(one.size for one in earlier)
        self.recent[name] = (*earlier, row)
        self.size += len(row.message) + len(row.operation) + len(row.updates) + len(row.changes)  # `LogRow.size`
        if row.link_key is not None:
            self.digests.add(row.entity_type, row.link_key)

    def provide(self, name: str, rows: Sequence[LogRow], archived: Sequence[Recalled]) -> None:
        """Take what was read of an operation. Where nothing was found, its hash was a false alarm and is dropped."""
        if rows and name not in self.recent:
            self.read[name] = tuple(rows)
        if archived:
            self.recalled[name] = archived
        if not rows and not archived and name not in self.recent:
            self.known.discard(op_key(name))

    def let_go(self, committed: int) -> None:
        """Keep the latest rows only; older ones are read from disk when their name comes again."""
        if len(self.recent) > self.most or self.size > self.most_bytes:
            gone: list[str] = []
            for name, rows in self.recent.items():
                if len(self.recent) - len(gone) <= self.most and self.size <= self.most_bytes:
                    break
                if rows[-1].seq <= committed:
                    gone.append(name)
                    self.size -= sum(row.size for row in rows)
            for name in gone:
                del self.recent[name]
        for fetched in (self.read, self.recalled):
            if len(fetched) > self.most:
                for name in list(islice(fetched, len(fetched) - self.most)):
                    del fetched[name]

    def forget(self, row: LogRow) -> None:
        """The commit of a row failed."""
        if row.kind == "operation":
            rows = self.recent.pop(row.name, ())
            left = tuple(one for one in rows if one is not row)
            self.size -= sum(one.size for one in rows) - sum(one.size for one in left)
            if left:
                self.recent[row.name] = left
        if row.link_key is not None:
            self.digests.discard(row.entity_type, row.link_key)

    # ------------------------------------------------------------------ without a row

    def moved(self, op_keys: Iterable[int]) -> None:
        """The rows of these operations are archived."""
        for key in op_keys:
            self.archived.add(key)
            self.known.discard(key)

    def part_came(self, entity_id: str, one: ArchivedOperation) -> bool:
        """An entity came that holds its part of an archived operation of several entities.

        Returns whether that is new.
        """
        holders = self.partial.setdefault(one.link_key, set())
        if entity_id in holders:
            return False
        holders.add(entity_id)
        if len(holders) == one.parts:
            del self.partial[one.link_key]
        return True

    def hold(self, entity_type: str, one: ArchivedOperation) -> None:
        """An operation is held now, as part of another node's state of an entity."""
        self.digests.add(entity_type, one.link_key)
        if self.archived.add(one.op_key):
            self.told.add(one.op_key)

    def forget_archived(self, rows: Iterable[ArchivedRow]) -> None:
        """The commit of operations that came with states failed."""
        for row in rows:
            for one in unpack_operations(row.records):
                self.digests.discard(row.entity_type, one.link_key)
                self.archived.discard(one.op_key)
                self.told.discard(one.op_key)


def repeated(keys: Sequence[int]) -> Iterable[int]:
    """Those that come more than once. keys: sorted."""
    return compress(keys, map(eq, keys, islice(keys, 1, None)))
