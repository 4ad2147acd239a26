"""Everything stored, compared with the log it came from: documents, views, conflicts, and sums that must come out.

One entity after another is rebuilt and let go, so memory holds the rows of one entity only. The node may run
meanwhile: each entity is read as of one moment, and the sums are those of the log's head when the verification began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.classes import frozen
from crdt.engine import DEFAULT
from node.core.history.conservation import Account, Ledger
from node.core.history.differences import conflict_difference, entity_differences, named, shown_differences
from node.core.history.losses import Losses
from node.core.history.rebuild import (
    HistoryError,
    Rebuilt,
    at_seq,
    from_operations,
)
from strategies.policy_text import policy_of, policy_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from node.config.conservation import Conservation
    from node.core.entities.entity import Entity
    from storage.records import ConflictRow, EntityRow, Key
    from storage.sqlite.history_reader import HistoryReader
    from strategies.conflict import Conflict
    from strategies.policy import EntityPolicy, Registry

BROKEN_GROUPS = 100
"""Most groups of one rule whose movements are gathered, to name the operation that broke it."""


@frozen
class Mismatch:
    """Something stored that differs from what the log gives.

    where: an entity, or a rule of conservation.
    what: the difference, in words.
    seq: the row that shows it.
    other: the difference is what an earlier configuration of this node made of the log, so nothing is broken.
    """

    where: str
    what: str
    seq: int | None = None
    other: bool = False


OTHER = "was written under another configuration of this node: "


def _quietly(phase: str, done: int) -> None:
    return None


class Verification:
    """One walk over a database.

    progress: called with the part of the work (`entities`, or a rule's name) and how many entities of it are done.
    entities: how many entities exist, after the walk.
    """

    def __init__(
        self,
        history: HistoryReader,
        registry: Registry,
        rules: Sequence[Conservation] = (),
        engine: str = DEFAULT,
        progress: Callable[[str, int], None] = _quietly,
    ) -> None:
        self.entities = 0
        self._history, self._registry, self._rules = history, registry, rules
        self._engine, self._progress = engine, progress
        self._head, _ = history.reader.head()
        self._confirmed: set[str] = set()  # open conflicts that are stored as they should be
        self._unknown: set[str] = set()
        self._policies = history.policies()

    def run(self) -> Iterator[Mismatch]:
        """Every mismatch. Raises StorageError where the database cannot be read."""
        ledgers = [Ledger(rule) for rule in self._rules]
        for number, key in enumerate(self._history.entity_keys()):
            yield from self._entity(key, [ledger for ledger in ledgers if key[0] in ledger.rule.entity_types()])
            self._progress("entities", number + 1)
        yield from self._stored_conflicts()
        for ledger in ledgers:
            yield from self._broken(ledger)

    def _entity(self, key: Key, ledgers: Iterable[Ledger]) -> Iterator[Mismatch]:
        policy = self._registry.get(key[0])
        if policy is None:
            if key[0] not in self._unknown:
                self._unknown.add(key[0])
                yield Mismatch(key[0], "is no entity type of this configuration")
            return
        where = " ".join(key)
        try:
            with self._history.moment():
                row = self._history.reader.stored_entity(*key)
                losses = Losses(key, partly=self._history.entity_base(key) is not None)
                rebuilt = self._rebuilt(key, policy, losses)
                archived = bool(self._history.reader.archived.records_of([key]))
                entity = rebuilt.entity()
                opened = {c.id: c for c in entity.view.conflicts.values() if c.state == "open"}
                rows = self._history.reader.fetch((), (), list(opened)).conflicts
            for what in entity_differences(rebuilt, row, archived=archived):
                yield Mismatch(where, what)
            for record, removal in losses.lost(rebuilt.document):
                what = f"{named(record)} is gone: {removal.name} removed it, and nobody who had seen it replaced it"
                yield Mismatch(where, what, removal.seq)
            if row is not None and rebuilt.exists:
                yield from self._shown(rebuilt, entity, row)
            for conflict in opened.values():
                yield from self._conflict(rebuilt, conflict, rows.get(conflict.id))
                self._confirmed.add(conflict.id)
            if row is not None and row.seq > self._head:
                entity = self._then(key, policy)
        except HistoryError as error:
            yield Mismatch(where, str(error), error.seq)
            return
        self.entities += rebuilt.exists
        for ledger in ledgers:
            ledger.note(entity)

    # ------------------------------------------------------------------ under which configuration

    def _others(self, rebuilt: Rebuilt) -> Iterator[Entity]:
        """The entity as earlier configurations of this node show it, the latest first."""
        entity_type, now = rebuilt.key[0], policy_text(rebuilt.policy)
        for text in reversed(self._policies.get(entity_type, [])):
            policy = policy_of(entity_type, text) if text != now else None
            if policy is not None:
                yield rebuilt.entity(policy)

    def _shown(self, rebuilt: Rebuilt, entity: Entity, row: EntityRow) -> Iterator[Mismatch]:
        where, whats = " ".join(rebuilt.key), list(shown_differences(entity, row))
        if whats and any(not list(shown_differences(other, row)) for other in self._others(rebuilt)):
            yield Mismatch(where, OTHER + "; ".join(whats), other=True)
        else:
            yield from (Mismatch(where, what) for what in whats)

    def _conflict(self, rebuilt: Rebuilt, conflict: Conflict, row: ConflictRow | None) -> Iterator[Mismatch]:
        """Compare an open conflict with its stored row, also as another configuration would have it."""
        where, what = " ".join(rebuilt.key), conflict_difference(conflict, row)
        if what is None:
            return
        for other in self._others(rebuilt):
            same = next((c for c in other.view.conflicts.values() if c.id == conflict.id), None)
            gone = same is None and (row is None or row.state == "closed")
            if gone or (same is not None and same.state != "open" and conflict_difference(same, row) is None):
                yield Mismatch(where, OTHER + what, other=True)
                return
        yield Mismatch(where, what)

    def _rebuilt(self, key: Key, policy: EntityPolicy, losses: Losses | None = None) -> Rebuilt:
        """An entity from its rows. losses: takes note of them."""
        history = self._history
        rows = history.entity_rows(key)
        rows = rows if losses is None else losses.follow(rows)
        return from_operations(rows, key, policy, self._engine, history.entity_base(key))

    def _then(self, key: Key, policy: EntityPolicy) -> Entity:
        """The entity as of the head, though it was written since."""
        history = self._history
        with history.moment():
            base = history.entity_base(key)
            return at_seq(history.entity_rows(key), self._head, key, policy, self._engine, base).entity()

    def _stored_conflicts(self) -> Iterator[Mismatch]:
        """Conflicts that are stored as open and that no entity has."""
        for row in self._history.open_conflicts():
            key, policy = (row.entity_type, row.entity_id), self._registry.get(row.entity_type)
            if row.conflict_id in self._confirmed or policy is None:
                continue
            try:
                with self._history.moment():
                    now = self._history.reader.fetch((), (), [row.conflict_id]).conflicts.get(row.conflict_id)
                    rebuilt = self._rebuilt(key, policy)
            except HistoryError:
                continue  # reported already
            if now is not None and now.state == "open" and not _open(rebuilt.entity(), row.conflict_id):
                what = f"conflict {row.conflict_id} is stored as open, the log has none such"
                other = any(_open(other, row.conflict_id) for other in self._others(rebuilt))
                yield Mismatch(" ".join(key), OTHER + what if other else what, other=other)

    # ------------------------------------------------------------------ sums

    def _broken(self, ledger: Ledger) -> Iterator[Mismatch]:
        """Where a rule does not hold, with the operation after which it never held again."""
        rule, broken = ledger.rule, ledger.broken()
        if not broken and not ledger.problems:
            return
        account = Account(rule, set(list(broken)[:BROKEN_GROUPS]))
        for number, key in enumerate(self._history.entity_keys()):
            policy = self._registry.get(key[0])
            if policy is not None and key[0] in rule.entity_types():
                with self._history.moment():
                    wrong = account.walk(self._states(key, policy))
                if wrong is not None:
                    yield Mismatch(
                        f"{rule.name}: {' '.join(key)}", self._told(ledger.problems.get(key, ""), wrong), wrong
                    )
            self._progress(rule.name, number + 1)
        for group, words in broken.items():
            found = account.broke_at(group)
            if found is None:
                yield Mismatch(rule.name, words)
            else:
                seq, key = found
                yield Mismatch(f"{rule.name}: {' '.join(key)}", self._told(words, seq), seq)

    def _states(self, key: Key, policy: EntityPolicy) -> Iterator[tuple[int, Entity]]:
        """An entity after each of its rows up to the head."""
        base = self._history.entity_base(key)
        rebuilt = Rebuilt.begin(key, policy, self._engine, base)
        if base is not None:
            yield base.seq, rebuilt.entity()
        for row in self._history.entity_rows(key):
            if row.seq > self._head:
                return
            try:
                rebuilt.take(row)
            except HistoryError:
                return  # reported already
            yield row.seq, rebuilt.entity()

    def _told(self, words: str, seq: int) -> str:
        row = self._history.row(seq)
        if row is None:
            return f"{words}, since row {seq} or before, which is archived"
        return f"{words}, since operation {row.operation_id} of {row.terminal_id} (row {seq})"


def _open(entity: Entity, conflict_id: str) -> bool:
    return any(c.id == conflict_id and c.state == "open" for c in entity.view.conflicts.values())
