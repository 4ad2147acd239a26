"""A resident entity: its document, its view, and what this node knows of who has seen which record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.classes import define
from crdt.document import Document
from crdt.engine import EngineError
from crdt.json_values import canonical
from crdt.records import CANONICAL, DocumentError, FieldRecord, Path, counter_path
from crdt.update_format import UpdateError
from node.core.entities.again import Again, sent_again
from node.core.entities.last_known import Movements, begun
from node.core.entities.past import LATEST, Past
from node.core.entities.reach import Claim, Reach
from storage.records import EntityRow, Key, key64
from strategies.kinds.keyed_list import KeyedList
from strategies.kinds.kind import NOTHING_COUNTED, After, Count
from strategies.paths import GROUP, WHOLE
from strategies.policy import EntityPolicy
from strategies.view import View, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


MOST_HELD = 1_000
"""Most values of one entity's shared registers that are remembered. Of an entity with more, nothing is known."""

MOST_SHAPES = 100
"""Most of its shapes."""

NOTHING_WRITTEN: Mapping[str, object] = {}
NO_MINDS: Mapping[str, Count] = {}
Seen = AbstractSet[tuple[int, int]]
"""(writer, clock) of the live records that an author had seen."""


@define(eq=False)
class Entity:
    """One entity in memory.

    seqs: live record -> the row of this node's log that brought it. Whether an author had seen the record is decided
        by comparing that row with what the author confirmed.
    versions: live record -> the entity's version after that row, as it was shown here.
    past: what its registers held before.
    claims: terminal -> the version that it wrote last.
    movements: the latest movements of its counters and lists.
    seq: the last row of this entity.
    last_author: the terminal that wrote row `seq`.
    last_echo: whether `last_author` is sent row `seq`.
    other_seq: the last row before those that `last_author` wrote and is not sent.
    lowest: where the first-written value is shown, register -> the lowest rank that a record of it ever had here.
    held: hashes of the values that fields of a shared register ever had here: it tells a write that repeats one of
        them from one that changes it.
    shapes: the sets of fields that the whole entity ever had here, as one value.
    whole: another node sent the entity whole, so records may have come and gone that this node never had.
    """

    key: Key
    policy: EntityPolicy
    document: Document
    view: View
    seqs: dict[tuple[int, int], int] = field(factory=dict)
    versions: dict[tuple[int, int], int] = field(factory=dict)
    past: Past = field(factory=Past)
    claims: dict[str, Claim] = field(factory=dict)
    movements: Movements = field(factory=Movements)
    seq: int = 0
    last_author: str | None = None
    last_echo: bool = True
    other_seq: int = 0
    lowest: dict[Path, int] = field(factory=dict)
    held: set[int] = field(factory=set)
    shapes: set[frozenset[str]] = field(factory=set)
    whole: bool = False
    _let_go_at: int = 0
    """With so many replaced values it is looked again for what nobody needs."""
    exists: bool = False
    """Somebody has written it, so the node counts it among its entities."""
    view_bytes: int = 0
    document_bytes: int = 0
    """As they were stored last; of the document also what was written here since, and not what that replaced."""
    counted: int = 0
    """What of that is counted among the bytes in memory."""
    sealed: EntityRow | None = None
    """What is stored after the commit, where it is encoded already."""

    @classmethod
    def load(cls, key: Key, policy: EntityPolicy, row: EntityRow | None, *, writer: int, engine: str) -> Entity:
        """Load an entity from its stored row. row: None for an entity nobody has written yet. Raises NOT_LOADED."""
        document = Document.load(row.snapshot if row else None, writer=writer, engine=engine)
        view = view_of(*key, policy, document) if row else View(*key, policy)
        entity = cls(key, policy, document, view)
        if row is not None:
            entity.exists = True
            entity.seq = row.seq
            entity.view_bytes, entity.document_bytes = len(row.view), len(row.snapshot)
            stored = orjson.loads(row.seen)
            records = stored if isinstance(stored, list) else stored["records"]
            entity.seqs = {(writer, clock): seq for writer, clock, seq, _ in records}
            entity.versions = {(writer, clock): version for writer, clock, _, version in records}
            if isinstance(stored, dict):
                entity.movements = Movements.load(stored)
                entity.past = Past.load(stored.get("past", ()))
                entity.lowest = {tuple(path): rank for path, rank in stored.get("lowest", ())}
                entity.held = set(stored.get("held", ()))
                entity.shapes = set(map(frozenset, stored.get("shapes", ())))
                entity.whole = stored.get("whole", False)
                entity.claims = {terminal: Claim(*claim) for terminal, claim in stored.get("claims", {}).items()}
        return entity

    def grown(self) -> int:
        """By how many bytes it has grown since this was asked last."""
        before, self.counted = self.counted, self.view_bytes + self.document_bytes
        return self.counted - before

    def row(self) -> EntityRow:
        """What is stored after a commit."""
        sealed, self.sealed = self.sealed, None
        return sealed if sealed is not None else self._row()

    def seal(self) -> None:
        """Encode what is stored after the commit now. It is encoded again where something is written before that."""
        self.sealed = self._row()

    def _row(self) -> EntityRow:
        view = orjson.dumps(self.shown(), option=CANONICAL)  # the same bytes on every node
        snapshot = self.document.encode()
        self.view_bytes, self.document_bytes = len(view), len(snapshot)
        return EntityRow(
            entity_type=self.key[0],
            entity_id=self.key[1],
            version=self.document.version,
            deleted=not self.view.alive,
            view=view,
            snapshot=snapshot,
            seen=self._stored_seen(),
            seq=self.seq,
        )

    def _stored_seen(self) -> bytes:
        versions = self.versions
        records = [(*identity, seq, versions[identity]) for identity, seq in self.seqs.items()]
        if not (self.movements or self.past.of or self.lowest or self.held or self.whole or self.claims):
            return orjson.dumps(records)
        stored: dict[str, object] = {"records": records, **self.movements.store()}
        if self.past.of:
            stored["past"] = self.past.store()
        if self.claims:
            stored["claims"] = {terminal: claim.stored() for terminal, claim in self.claims.items()}
        if self.lowest:
            stored["lowest"] = list(self.lowest.items())
        if self.held:
            stored["held"] = sorted(self.held)
            stored["shapes"] = sorted(sorted(shape) for shape in self.shapes)
        if self.whole:
            stored["whole"] = True
        return orjson.dumps(stored)

    def shown(self) -> dict[str, object]:
        """The entity as a reader sees it: its fields and its version (and `deleted_at` once dead)."""
        shown = {**self.view.fields, "version": self.document.version}
        if not self.view.alive and self.view.deleted_at is not None:
            shown["deleted_at"] = self.view.deleted_at
        return shown

    def seen_by(self, terminal: str, reach: Reach, first_attempt: int | None = None) -> Seen:
        """Which live records an operation's author had seen (strategies/README.md, "Seen, and not seen").

        first_attempt: if the operation was refused before, the last row then; nothing after it was seen.
        """
        seqs, versions, seen = self.seqs, self.versions, set()
        row, newest = reach.row, reach.newest
        for identity, record in self.document.by_id.items():
            if record.terminal != terminal and (
                seqs[identity] > row or (newest is not None and versions[identity] > newest)
            ):
                continue
            if first_attempt is None or seqs[identity] <= first_attempt:
                seen.add(identity)
        return seen if len(seen) == len(seqs) else self._with_copies(seen)

    def _with_copies(self, seen: set[tuple[int, int]]) -> Seen:
        """An operation that a terminal sent to several nodes has a copy under each one's writer.

        Who has seen one of them has seen the operation.
        """
        by_id = self.document.by_id
        names = {by_id[identity].name for identity in seen}
        return seen.union(identity for identity, record in by_id.items() if record.name in names)

    def _note_held(self, record: FieldRecord) -> None:
        value, path = record.value, record.path
        if (path == WHOLE or path[0] == GROUP) and isinstance(value, dict):
            self.held.update(_value_key(name, said) for name, said in value.items())
            if path == WHOLE:
                self.shapes.add(frozenset(value))
        elif len(path) == 1 and path[0] in self.policy.kinds.grouped:
            self.held.add(_value_key(path[0], value))
        if len(self.held) > MOST_HELD or len(self.shapes) > MOST_SHAPES:
            self.held.clear()
            self.shapes.clear()
            self.whole = True

    def has_held(self, name: str, value: object) -> bool:
        """Whether a field of a shared register ever had this value here, as far as is known."""
        return self.whole or _value_key(name, value) in self.held

    def may_have_had(self, fields: AbstractSet[str], named: AbstractSet[str]) -> bool:
        """Whether the whole entity could come to have these fields by a write of some of them."""
        return self.whole or fields == named or any(shape | named == fields for shape in self.shapes)

    def ranked_from(self, path: Path, accepted: int) -> int:
        """The lowest rank that a record accepted at this HLC may take over from one that is gone."""
        if self.whole or not self.policy.strategy.first_written:
            return 0
        return self.lowest.get(path, accepted)

    @property
    def version(self) -> int:
        return self.document.version

    def begun(self, name: str, newest: int, elsewhere: int | None) -> Count | None:
        """What a counter of a line was when the entity had version `newest`, as long as nothing had moved it.

        elsewhere: as in `Movements.at`. None where the version may name another state than the one here.
        """
        path = counter_path(name)
        kind, heads = self.policy.kinds.at(path), self.document.siblings(path[:2])
        if not isinstance(kind, KeyedList) or len(heads) != 1:
            return None
        counts = [self.versions[record.id] for record in self.document.siblings(path)]
        if min([*counts, *(one.version for one in self.past.of.get(path, ()))], default=newest + 1) <= newest:
            return None  # by then somebody had counted it
        brought, version = self.seqs[heads[0].id], self.versions[heads[0].id]
        # Who changes another field writes the line again, as it began.
        for one in reversed(self.past.of.get(path[:2], ())):
            if version <= newest or one.taken != brought:
                break
            brought, version = one.brought, one.version
        if version > newest or (elsewhere is not None and brought > elsewhere):
            return None
        return begun(kind.began(heads[0], path[2]))

    def uncounted(self, name: str, row: int) -> Count | None:
        """Nothing, where an author had seen the entity before anybody counted or moved a field of it; or had not seen
        the entity at all, which began with that. None where that cannot be told.

        row: the last one that the author had seen.
        """
        moves = self.movements.of.get(name)
        if not moves or self.whole or counter_path(name) or name in self.movements.cut or moves[0].seq <= row:
            return None
        if moves[0].version == 1 or any(seq <= row for seq, _ in self.rows_known()):
            return NOTHING_COUNTED
        return None

    def rows_known(self) -> Iterator[tuple[int, int]]:
        """Rows of which something is left here, and the entity's version after each."""
        for identity, seq in self.seqs.items():
            yield seq, self.versions[identity]
        yield from self.movements.rows_known()
        yield from self.past.rows_known()

    def rows_shown_to(self, terminal: str, again: Again) -> Iterator[int]:
        """The rows of which something is left here, that a terminal was or will be sent. again: as in Evidence."""
        yield self.seq if sent_again(again, self.seq) else self.delivered_to(terminal)
        for identity, seq in self.seqs.items():
            if self.document.by_id[identity].terminal != terminal or sent_again(again, seq):
                yield seq
        yield from self.movements.rows_sent_back(terminal)

    def delivered_to(self, terminal: str) -> int:
        """The last row of this entity that `terminal` was or will be sent."""
        if self.last_author == terminal and not self.last_echo:
            return self.other_seq
        return self.seq

    def records_replaced(
        self, removed: Iterable[FieldRecord], added: Iterable[FieldRecord], seq: int, by: str
    ) -> None:
        """Row `seq` of this entity, by this terminal, removed and added these records."""
        seqs, versions, movements = self.seqs, self.versions, self.movements
        version, changed = self.version, {record.path for record in added}
        movements.fields_written.clear()
        for record in removed:
            brought = seqs.pop((record.writer, record.clock), 0)
            since = versions.pop((record.writer, record.clock), 0)
            kind = self.policy.kinds.of(record.path[0]) if len(record.path) == 2 else None
            counted = kind.counted if isinstance(kind, KeyedList) else ()
            self.past.replaced(record, (brought, since), (seq, version), by, changed, counted)
            if len(record.path) > 1 and record.path not in changed:  # an element written anew is not gone
                before = self.view.fields.get(record.path[0])  # the view follows later
                movements.record_removed(self.policy, self.document, record, brought, seq, before)
        ranked, shares = self.policy.strategy.first_written, self.policy.shares
        for record in added:
            seqs[record.writer, record.clock] = seq
            versions[record.writer, record.clock] = version
            if shares:
                self._note_held(record)
            if ranked:
                self.lowest[record.path] = min(record.rank, self.lowest.get(record.path, record.rank))
            if len(record.path) > 1:
                movements.record_added(record)

    def let_go(self, everybody: Callable[[], int]) -> None:
        """Forget of the past what nobody needs. everybody: the row up to which all terminals have confirmed."""
        past = self.past
        if past.size > LATEST and past.size >= self._let_go_at:
            row = everybody()
            past.let_go(row)
            self.movements.let_go(row)
            self._let_go_at = past.size + LATEST

    def row_written(self, seq: int, terminal: str, name: str, echo: bool, touch: Touch) -> None:
        """The entity has a new row, written by `terminal`.

        name: of its operation. echo: whether its author is sent it.
        """
        self.sealed = None
        if self.last_author != terminal or self.last_echo:
            self.other_seq = self.seq
        self.seq, self.last_author, self.last_echo = seq, terminal, echo
        kinds = self.policy.kinds
        if self.movements.gone:
            self.movements.removed_by(seq, name)
        if kinds.remembering:
            after = After(self.document, self.policy, touch.written, touch.minds, self.view.fields)
            self.movements.row_written(kinds, after, seq, touch.author, touch.acknowledged, echo=echo)


@define
class Touch:
    """What the author of a row knows, without being sent it, of what the row did to one entity.

    author: the terminal that wrote it here; None for the node itself, and for what another node accepted.
    written: the fields it names, and their values.
    acknowledged: the last row that its author had seen by then.
    minds: what its author takes the counters that it wrote to be.
    """

    entity: Entity
    author: str | None = None
    written: Mapping[str, object] = NOTHING_WRITTEN
    acknowledged: int = 0
    minds: Mapping[str, Count] = NO_MINDS


NOT_LOADED = (UpdateError, DocumentError, EngineError, ValueError, KeyError, TypeError)
"""The exceptions that loading a stored entity may raise when its bytes are damaged."""


def _value_key(name: str, value: object) -> int:
    return key64(name, canonical(value).decode())
