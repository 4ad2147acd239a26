"""One node's state, each part with its owner. The files beside this one decide what becomes of an operation.

needs      what has to be in memory before an operation can be decided
accept     an operation of a terminal of this node        resolve    a terminal's decision of a conflict
remote     an operation of another node                   states     an entity of another node, whole
record     the row, the answer and the notices of what was decided here
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define, frozen
from node.core.clock import NodeClock
from node.core.digests import KeySet
from node.core.entities.residents import Residents
from node.core.faults import Faults
from node.core.keyring import Keyring
from node.core.latest import remember
from node.core.locks.table import LockTable
from node.core.log.log import Log
from node.core.operations.conflicts import Conflicts
from node.core.operations.held import Held
from node.core.operations.in_turns import InTurns, Work
from node.core.operations.knowledge import Knowledge
from node.core.operations.origins import Origins
from node.core.operations.quarantine import Quarantine
from node.core.operations.transfers import Transfer
from node.core.statistics import Counts
from node.core.terminal_clocks import TerminalClocks
from strategies.policy import Registry

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from node.core.log.group import Group
    from storage.records import Boot, ConflictRow

logger = logging.getLogger("comanda.link")

MOST_CONTRADICTIONS = 10
"""Most contradictions that are remembered, the latest."""


@frozen
class Settings:
    """node_id: this node. version_jump: by how much an operation's version may be ahead of the entity's.
    entity_bytes: what an entity may have before a write that makes it larger is refused.
    bulk_bytes: what the entities of one BULK_UPDATE may have together.
    realm: the store whose log this is, "" for one that is not named.
    """

    node_id: str
    version_jump: int
    entity_bytes: int
    bulk_bytes: int
    realm: str = ""


@define(eq=False, kw_only=True)
class Replica:
    """The owners of one node's state, for those who decide operations (node/core/README.md)."""

    settings: Settings
    registry: Registry
    log: Log
    clock: NodeClock
    terminal_clocks: TerminalClocks
    residents: Residents
    held: Held
    locks: LockTable
    origins: Origins
    keyring: Keyring
    is_online: Callable[[str], bool] = field(default=lambda terminal: False, init=False)
    """Whether a terminal is connected to this node. Set by the core."""
    rights_of: Callable[[str], tuple[str, Callable[[str], bool]] | None] = field(
        default=lambda terminal: None, init=False
    )
    """The type under which this node knows a terminal, and which entity types that may write. Set by the core."""
    knowledge: Knowledge = field(factory=Knowledge, init=False)
    conflicts: Conflicts = field(factory=Conflicts, init=False)
    quarantine: Quarantine = field(factory=Quarantine, init=False)
    counts: Counts = field(init=False)
    faults: Faults = field(factory=Faults, init=False)
    in_turns: InTurns = field(init=False)
    transfers: dict[str, list[Transfer]] = field(factory=dict, init=False)
    """By terminal, lines that it took off, that are elsewhere too, and that it may put into another entity yet."""
    contradictions: list[str] = field(factory=list, init=False)
    """What linked nodes hold otherwise than this one, since the start."""

    def __attrs_post_init__(self) -> None:
        self.counts = self.residents.counts
        self.in_turns = InTurns(self.faults)

    def begin_in_turns(
        self, steps: Generator[int, None, bool], names: Iterable[str], done: Callable[[Exception | None], None]
    ) -> None:
        """Begin a large operation (`Work`). A commit that fails meanwhile undoes it, as documents are dropped."""
        residents, dropped = self.residents, self.residents.dropped
        self.in_turns.begin(Work(steps, names, lambda: residents.dropped > dropped, done))

    def contradicted(self, about: str, what: str) -> None:
        """A linked node holds something otherwise, and somebody has to look at it. about: what has two versions."""
        if remember(self.contradictions, MOST_CONTRADICTIONS, what):
            logger.error("two versions of one %(kind)s: %(found)s", {"kind": about, "found": what})
            self.counts.contradictions += 1

    def open_conflicts(self, entity_types: Sequence[str]) -> list[ConflictRow]:
        """The open conflicts of these types that are durable."""
        committed = self.log.committed
        rows = [row for row in self.conflicts.known.values() if row.state == "open" and row.seq <= committed]
        return [row for row in rows if row.entity_type in entity_types]

    def durable(self, group: Group) -> None:
        """A group is stored. Memory above the bounds may be let go."""
        self.log.durable(group)
        committed, guard = self.log.committed, self.faults.guard
        guard("letting rows go", lambda: self.held.let_go(committed))
        guard("counting entities", lambda: self.residents.stored(group.touched.values()))
        guard("letting entities go", lambda: self.residents.let_go(committed, self.log.group.touched))
        guard("letting conflicts go", lambda: self.conflicts.let_go(committed))

    def undo(self, groups: Sequence[Group], writer: int) -> None:
        """A commit failed: undo in memory everything since the last durable row.

        groups: those that were not stored. writer: what documents are written under from now on.
        """
        committed = self.log.committed
        self.residents.drop_all(writer)
        for group in groups:
            for row in group.rows:
                key = (row.terminal_id, row.operation_id)
                if row.kind == "operation":
                    self.knowledge.not_stored(row, group.first_attempts.get(key), committed)
                elif row.kind == "refused":
                    self.knowledge.not_stored(row, self.knowledge.first_attempts.get(key), committed)
                self.held.forget(row)
            self.held.forget_archived(group.commit.archived)
        self.log.undo()
        self.in_turns.taken()
        self.faults.undone()

    def start_again(self, boot: Boot) -> None:
        """Forget which operations and entities there are, and take what the disk holds."""
        self.log.committed = boot.head
        self.residents.known = KeySet(boot.entity_keys)
        self.held.start_again(boot)

    def go_on(self, boot: Boot, locks: LockTable, writer: int) -> None:
        """Writing works again: go on from what the disk holds, under a fresh writer."""
        self.undo([], writer)
        self.locks = locks
        self.conflicts.start_again(boot.open_conflicts)
        self.quarantine = Quarantine.of(boot.parked, self.quarantine.most_bytes)
        self.held.partial = dict(boot.partial)
        self.log.group.commit.meta["writer"] = str(writer)
        self.origins.store(self.log.group.commit.meta)
        self.keyring.store(self.log.group.commit.meta)
