"""Which operations this node holds: with their rows, archived, or as part of another node's state of an entity.

An operation that is held is never applied again, and counts as held when two nodes compare. The latest rows are in
memory. Of older operations only a 64-bit hash is, and the row is read from disk when the id comes again.
"""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING

from attrs import define, field

from node.core.digests import Digests, KeySet
from storage.answers import Recalled
from storage.packed import unpack_operations
from storage.records import LogRow, key64

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage.packed import ArchivedOperation
    from storage.records import ArchivedRow, Boot


@define(eq=False, kw_only=True)
class Held:
    """The operations of this node.

    known: hashes of the ids of operations that have a row here.
    archived: hashes of the ids of operations that are held without a row.
    told: those of them that another node named with a state. This node never had a row of them.
    doubled: hashes of the ids of operations that have a row under each of two writers.
    digests: the link keys of all of them.
    partial: link key of an archived operation of several entities -> the entities that are here, while some are not.
    most: how many of the latest rows are kept in memory.
    """

    most: int
    known: KeySet
    archived: KeySet = field(factory=KeySet)
    told: KeySet = field(factory=KeySet)
    doubled: KeySet = field(factory=KeySet)
    partial: dict[int, set[str]] = field(factory=dict)
    digests: Digests = field(factory=Digests)
    recent: dict[str, LogRow] = field(factory=dict, init=False)
    """Operation id -> its row, the latest."""
    recalled: dict[str, Recalled] = field(factory=dict, init=False)
    """Operation id -> what is left of an archived operation, for those that were asked for last."""

    def start_again(self, boot: Boot) -> None:
        """Hold what the disk holds."""
        self.known, self.archived = KeySet(boot.operation_keys), KeySet(boot.archived_keys)
        self.digests, self.partial = Digests.of(boot.link_keys), dict(boot.partial)
        self.recent.clear()
        self.recalled.clear()

    # ------------------------------------------------------------------ looking

    def on_disk(self, operation_id: str, key: int | None = None) -> bool:
        """True when the operation is held but its row must be read from disk. The hash may raise a false alarm.

        key: the hash of the id, where it is known already.
        """
        if operation_id in self.recent or operation_id in self.recalled:
            return False
        if key is None:
            key = key64(operation_id)
        return key in self.known or key in self.archived

    def row(self, operation_id: str) -> LogRow | None:
        """The row of an operation that is held, or what is left of it.

        What `on_disk` says of it must be fetched first.
        """
        recalled = self.recalled.get(operation_id)
        return self.recent.get(operation_id) or (recalled.row if recalled is not None else None)

    def holds(self, operation_id: str) -> bool:
        """Whether an operation of this id is held, as far as its hash tells."""
        key = key64(operation_id)
        return key in self.known or key in self.archived

    def uncommitted(self, committed: int) -> set[int]:
        """Link keys of operations whose rows are not durable yet."""
        latest = takewhile(lambda row: row.seq > committed, reversed(self.recent.values()))
        return {row.link_key for row in latest if row.link_key is not None}

    # ------------------------------------------------------------------ rows

    def remember(self, row: LogRow, key: int | None = None) -> None:
        """An operation has a row. If its id came under two writers, the first row counts. key: the hash of its id."""
        if key is None:
            key = key64(row.operation_id)
        if not self.known.add(key) and row.kind == "operation":
            self.doubled.add(key)
        self.recent.setdefault(row.operation_id, row)
        if row.link_key is not None:
            self.digests.add(row.entity_type, row.link_key)

    def provide(self, operation_id: str, row: LogRow | None, archived: Recalled | None) -> None:
        """Take what was read of an operation. Where nothing was found, its hash was a false alarm and is dropped."""
        if row is not None:
            self.recent.setdefault(operation_id, row)
        elif archived is not None:
            self.recalled[operation_id] = archived
        else:
            self.known.discard(key64(operation_id))

    def let_go(self, committed: int) -> None:
        """Keep the latest rows only; older ones are read from disk when their id comes again."""
        if len(self.recent) > self.most:
            for operation_id in list(islice(self.recent, len(self.recent) - self.most)):
                if self.recent[operation_id].seq <= committed:
                    del self.recent[operation_id]
        if len(self.recalled) > self.most:
            for operation_id in list(islice(self.recalled, len(self.recalled) - self.most)):
                del self.recalled[operation_id]

    def forget(self, row: LogRow) -> None:
        """The commit of a row failed."""
        if row.kind == "operation":
            self.recent.pop(row.operation_id, None)
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
