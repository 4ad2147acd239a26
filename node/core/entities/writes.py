"""One operation on one entity while it is planned: which records it supersedes, which it adds, what it counts.

Nothing is changed here. Each field is planned by its kind (strategies/kinds). The `Plan` of all fields is then
carried out in one document transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve

from crdt import hlc
from crdt.classes import define
from crdt.decimals import total_of
from crdt.json_values import equal
from crdt.records import FieldRecord, NewField, Path
from node.core.entities.entity import Entity
from node.core.entities.last_known import KnownList
from node.core.entities.past import ALL
from node.errors import EntityNotFound, InvalidMessage, PermissionDenied
from strategies import guard
from strategies.kinds.kind import ABSENT, Count, UnfitValue
from strategies.paths import COUNTED, DELETED_AT, SETTLEMENT, WHOLE, is_movement
from strategies.strategy import unseen_by

if TYPE_CHECKING:
    from node.core.entities.entity import Seen
    from strategies.conflict import Conflict
    from strategies.kinds.kind import Kind

RESERVED = frozenset({"version", "deleted_at"})
"""Names in an operation's `data` that are not fields: the version, and what DELETE writes."""

SEEN = "seen"

LAST = 2**64
"""Later than every HLC."""


@define
class Stamp:
    """Who writes, and when.

    stamp: HLC of when it was written, as it counts. latest: the latest that it may be.
    accepted: this node's HLC.
    said: the same as its author's clock tells, whatever the author had seen by then.
    by: what the stamp rests on: `timestamp`, `measured` or `accepted` (node/core/terminal_clocks.py), or `seen`.
    """

    terminal: str
    operation: str
    stamp: int
    latest: int
    accepted: int
    said: int
    by: str

    @classmethod
    def later(cls, terminal: str, operation: str) -> Stamp:
        """For a plan that is given its stamp when it is carried out (`Plan.stamped`)."""
        return cls(terminal, operation, 0, 0, LAST, 0, "")

    def after(self, seen: int) -> Stamp:
        """The same, later than what its author had seen: it was written after that, whatever its clock says."""
        if seen < self.stamp or self.stamp >= self.latest:
            return self
        return evolve(self, stamp=min(seen + 1, self.latest), by=SEEN)


@define
class Authorship:
    """The author of an operation, as far as the plan depends on who it is.

    known: what it last knew of a counter; None where nothing is known.
    known_list: a list as it last knew it.
    repeats: whether a value, or one field of it, is what it last knew of a register that it has not seen as it is.
    stranger: it comes from a node that is away, and nothing tells what it had seen there.
    """

    stamp: Stamp
    terminal_type: str
    known: Callable[[Entity, str], Count | None]
    known_list: Callable[[Entity, str], KnownList]
    repeats: Callable[[Entity, Path, str, object], bool]
    stranger: bool = False


NOTHING_KEPT: Mapping[str, Decimal] = {}


@define(eq=False)
class Plan:
    """One document transaction. increment: by how much the entity's version grows.

    named: top-level fields the operation names. counts: by how much each counter moves.
    minds: what the author takes the counters that it writes to be afterwards.
    kept: numbers of counters that were not counted, as nothing tells by how much their author moved them.
    forgotten: counters of lines that are gone, of which the node keeps no total any more.
    """

    supersede: tuple[FieldRecord, ...]
    fields: tuple[NewField, ...]
    increment: int
    named: tuple[str, ...]
    counts: Mapping[str, Decimal]
    minds: Mapping[str, Count]
    kept: Mapping[str, Decimal] = NOTHING_KEPT
    forgotten: Collection[str] = ()

    def stamped(self, stamp: Stamp) -> None:
        """Give it its stamp, where it was planned with `Stamp.later`."""
        self.fields = tuple(
            NewField(
                new.path,
                new.value,
                stamp.stamp,
                new.terminal,
                new.operation,
                new.version,
                stamp.accepted,
                min(new.rank, stamp.accepted),
            )
            for new in self.fields
        )


def increment(current: int, version: int | None, jump: int) -> int:
    """By how much the writer's share of the version grows: by one, or by as much as the operation's version is ahead.

    jump: the most that it may run ahead.
    """
    if version is None or version <= current:
        return 1
    return min(version - current, jump)


def _all(record: FieldRecord) -> bool:
    return True


class FieldWriter:
    """Collects what one operation does to the registers of one entity: the `Write` of strategies/kinds/kind.py."""

    def __init__(
        self, entity: Entity, author: Authorship, seen: Seen, version: int | None, jump: int, place: str
    ) -> None:
        self.entity = entity
        self.place = place
        self.document = entity.document
        self.policy = entity.policy
        self.author = author
        self.terminal_type = author.terminal_type
        self.seen_ids = seen
        self.create = False
        self.afresh = False
        self.increment = increment(entity.document.version, version, jump)
        self.version = entity.document.version + self.increment
        self.counts: dict[str, Decimal] = {}
        self.minds: dict[str, Count] = {}
        self.kept: dict[str, Decimal] = {}
        self.forgotten: set[str] = set()
        self._supersede: dict[tuple[int, int], FieldRecord] = {}
        self._fields: list[NewField] = []
        self._joined: dict[Path, dict[str, object]] = {}

    # ------------------------------------------------------------------ what a kind asks

    @property
    def stranger(self) -> bool:
        return self.author.stranger

    def seen(self, record: FieldRecord) -> bool:
        return (record.writer, record.clock) in self.seen_ids

    def seq_of(self, record: FieldRecord) -> int:
        return self.entity.seqs[record.writer, record.clock]

    def known_count(self, field: str) -> Count | None:
        return self.author.known(self.entity, field)

    def known_list(self, field: str) -> KnownList:
        return self.author.known_list(self.entity, field)

    # ------------------------------------------------------------------ what is written

    def write(self, fields: Mapping[str, object]) -> None:
        """Write each field by its kind; registers that several fields share come last. Raises InvalidMessage."""
        kinds = self.policy.kinds
        try:
            for name, value in fields.items():
                kind = kinds.by_name.get(name)
                if kind is None:
                    self.register((name,), value)
                else:
                    kind.plan(self, name, value)
        except UnfitValue as error:
            raise InvalidMessage(str(error), f"{self.place}.{error.where}") from None
        for path, values in self._joined.items():
            shown = self.entity.view.fields
            base = {} if self.afresh else {name: shown[name] for name in kinds.names(path) if name in shown}
            self.joined(path, base, values)
        self._joined.clear()

    def leave_out(self, fields: Mapping[str, object]) -> None:
        """What becomes of the counters that a CREATE does not name."""
        for name in self.policy.kinds.counting:
            if name not in fields:
                self.policy.kinds.of(name).unnamed(self, name)

    def decided(self, kind: Kind, path: Path, chosen: FieldRecord, given: Mapping[str, object]) -> object:
        """What a resolution writes to a register. given: its fields in the resolution. Raises InvalidMessage."""
        try:
            return kind.decided(self, path, chosen, given)
        except UnfitValue as error:
            raise InvalidMessage(str(error), f"{self.place}.{error.where}") from None

    def join(self, path: Path, field: str, value: object) -> None:
        self._joined.setdefault(path, {})[field] = value

    def joined(self, path: Path, base: Mapping[str, object], values: Mapping[str, object]) -> None:
        """Write a register that several fields share. base: what it is to hold of the fields that are not written."""
        if not (self.create or self.afresh or self._sees(path)):
            repeats = self.author.repeats
            values = {n: value for n, value in values.items() if not repeats(self.entity, path, n, value)}
            if not values:
                return
        self.register(path, {**base, **values})

    def _sees(self, path: Path) -> bool:
        """Whether the author had seen a value that a register holds."""
        return any(map(self.seen, self.document.fields.get(path, ())))

    def register(self, path: Path, value: object, *, replaces: Callable[[FieldRecord], bool] = _all) -> None:
        """One write to one register.

        Writing again what its author saw there is no write, also where somebody has changed it since. So a client
        that sends the whole entity each time contests only what it changed.
        """
        ids = self.seen_ids
        seen = [r for r in self.document.fields.get(path, ()) if (r.writer, r.clock) in ids]
        if seen and not self.afresh:
            known = seen[0] if len(seen) == 1 else self.policy.ordered(path, seen)[0]
            if equal(known.value, value):
                return
        elif not (seen or self.create or self.afresh) and self.author.repeats(self.entity, path, ALL, value):
            return
        self.add(path, value, self.supersede(path, replaces))

    def supersede(self, path: Path, replaces: Callable[[FieldRecord], bool] = _all) -> list[FieldRecord]:
        """Remove what an ordinary write to a register replaces, and return it."""
        siblings, ids = self.document.fields.get(path, ()), self.seen_ids
        seen = [r for r in siblings if (r.writer, r.clock) in ids and replaces(r)]
        if not seen:
            return []
        # Where nothing is contested, every strategy replaces what was there.
        alone = len(siblings) == 1
        doomed = seen if alone else self.policy.strategy.superseded(siblings, seen, self.author.stamp.terminal)
        self.remove(doomed)
        return doomed

    def remove(self, records: Iterable[FieldRecord]) -> None:
        for record in records:
            self._supersede[record.writer, record.clock] = record

    def add(self, path: Path, value: object, superseded: Sequence[FieldRecord]) -> None:
        """Append a record. It takes the place of those it supersedes, so the first value stays the first."""
        stamp = self.author.stamp
        rank = self._place(path, superseded) if superseded else stamp.accepted
        self._fields.append(
            NewField(
                path,
                value,
                stamp.stamp,
                stamp.terminal,
                stamp.operation,
                self.version,
                stamp.accepted,
                min(rank, stamp.accepted),
            )
        )

    def _place(self, path: Path, superseded: Sequence[FieldRecord]) -> int:
        """The rank of what supersedes these: the lowest of theirs, or one less where that is also another's.

        Two sides that replaced one record on two nodes have one rank, and of those the first is accepted first. What
        replaces the shown one is accepted last, so only a lower rank keeps its place.
        """
        rank = min(record.rank for record in superseded)
        strategy, siblings = self.policy.strategy, self.document.fields.get(path, ())
        if strategy.first_written and len(siblings) > len(superseded):
            gone = {record.id for record in superseded}
            shown, *others = strategy.ordered(siblings)
            if shown.id in gone and any(record.rank == rank and record.id not in gone for record in others):
                return max(rank - 1, 0)
        return rank

    def plan(self, named: Iterable[str]) -> Plan:
        """All that was collected. named: top-level fields the operation names."""
        names = tuple(dict.fromkeys(named))
        counts = {name: amount for name, amount in self.counts.items() if amount}
        if counts:
            moved = {name: total_of(amount) for name, amount in counts.items()}
            self.add(COUNTED, moved, self.supersede(COUNTED))
        removed, added = tuple(self._supersede.values()), tuple(self._fields)
        return Plan(removed, added, self.increment, names, counts, self.minds, self.kept, self.forgotten)


def seen_dead(entity: Entity, seen: Seen) -> Sequence[FieldRecord]:
    """The deletions that an author had seen, where the entity was dead as far as it had seen; else none.

    What others wrote or deleted that it had not seen is another thing.
    """
    document, policy = entity.document, entity.policy
    deletions = [record for record in document.fields.get(DELETED_AT, ()) if record.id in seen]
    if not deletions:
        return ()
    contesting = [record for record in document.records() if record.id in seen]
    for deletion in deletions:
        contesting = unseen_by(deletion, contesting)
    held = any(record.id in seen for record in guard.overruling(policy.kinds, document, deletions))
    return () if held or policy.strategy.survives(deletions, contesting) else deletions


class Planner:
    """Plans one operation of one author on one entity.

    seen: which of the entity's records the author had seen.
    version: the operation's version, or None.
    jump: by how much that version may be ahead of the entity's.
    place: where in the message the fields are, for what is wrong with them.
    """

    def __init__(
        self,
        entity: Entity,
        author: Authorship,
        seen: Seen,
        version: int | None,
        jump: int,
        place: str = "$.operation.data",
    ) -> None:
        self.entity = entity
        self._fields = FieldWriter(entity, author, seen, version, jump, place)

    # ------------------------------------------------------------------ the documented operations

    def write(self, data: Mapping[str, object], *, create: bool) -> Plan:
        """CREATE or UPDATE. Raises EntityNotFound for an UPDATE whose author had seen the entity deleted."""
        entity = self.entity
        fields = {name: value for name, value in data.items() if name not in RESERVED}
        deletions = seen_dead(entity, self._fields.seen_ids)
        self._fields.create = create
        if deletions and create:
            self._fields.afresh = True
            self._fields.remove(self._over(deletions, fields))
        elif deletions and not entity.view.alive:
            raise EntityNotFound(
                f"{entity.key[0]} {entity.key[1]} was deleted at {entity.view.deleted_at}",
                self._fields.place.removesuffix(".data") + ".entity_id",
            )
        if entity.policy.strategy.whole_entity:
            self._fields.joined(WHOLE, {} if create else entity.view.fields, fields)
        else:
            self._fields.write(fields)
            if create:
                self._fields.leave_out(fields)
        return self._fields.plan(fields)

    def _over(self, deletions: Sequence[FieldRecord], fields: Mapping[str, object]) -> Iterator[FieldRecord]:
        """What an entity held that was deleted and is created again with `fields`: all but what nobody took back.

        What a deleter had seen is over, also where the author of the CREATE had not seen it itself.
        deletions: those that it had seen. Another one is of what was there before, and stays beside the CREATE.
        """
        kinds, terminal_type = self.entity.policy.kinds, self._fields.terminal_type
        for record in self.entity.document.records():
            if record.path == DELETED_AT and record not in deletions:
                continue
            if not self._fields.seen(record) and all(unseen_by(deletion, (record,)) for deletion in deletions):
                continue
            value = fields.get(record.path[0], ABSENT) if record.path else ABSENT
            if record.path[:1] != (SETTLEMENT,) and not guard.outlives(
                kinds, record, deletions, terminal_type, value
            ):
                yield record

    def delete(self, data: Mapping[str, object], at: str) -> Plan:
        """DELETE: one record that names the live operations which its author had seen. Other fields are written too.

        at: ISO 8601 time of the deletion, where `data` names none. Raises PermissionDenied where a status that the
        author had seen is final, and not for it to take back.
        """
        self._may_delete(record for record in self.entity.document.records() if self._fields.seen(record))
        document = self.entity.document
        given = data.get("deleted_at")
        fields = {name: value for name, value in data.items() if name not in RESERVED}
        whole = self.entity.policy.strategy.whole_entity
        saw = {r.name for r in document.records() if r.path != DELETED_AT and self._fields.seen(r)}
        if whole and fields:
            self._fields.register(WHOLE, {**self.entity.view.fields, **fields})
        elif not whole:
            self._fields.write(fields)
        self._fields.remove(record for record in document.siblings(DELETED_AT) if self._fields.seen(record))
        self._fields.add(DELETED_AT, self._deletion(_time(given, at), saw), ())
        return self._fields.plan([*fields, "deleted_at"])

    def _deletion(self, at: str, saw: Iterable[str]) -> dict[str, object]:
        return {"at": at, "saw": sorted(saw), "by": self._fields.terminal_type}

    def _may_delete(self, seen: Iterable[FieldRecord]) -> None:
        final = guard.final(self.entity.policy.kinds, seen, self._fields.terminal_type)
        if final:
            entity_type, entity_id = self.entity.key
            raise PermissionDenied(
                f"{entity_type} {entity_id} is {final[0].value}: a terminal of type {self._fields.terminal_type} "
                "may not delete it",
                None,
            )

    # ------------------------------------------------------------------ resolution

    def resolve(self, conflict: Conflict, side: str, resolved: Mapping[str, object] | None, at: str) -> Plan:
        """conflict_resolution: supersedes exactly the operations the conflict names; `resolved` wins over `side`.

        Raises PermissionDenied where the author may not decide so.
        """
        operations = set(conflict.operations)
        chosen = conflict.challenger if side == "accept_remote" else conflict.shown
        extra = {k: v for k, v in (resolved or {}).items() if k not in RESERVED}
        if conflict.path == DELETED_AT:
            return self._resolve_deletion(conflict, operations, side, resolved, extra, at)
        doomed = [r for r in self.entity.document.siblings(conflict.path) if r.name in operations]
        self._fields.remove(doomed)
        # What is shown may have come since, and be none of the conflict's own: it stays as its author wrote it.
        stays = chosen.name not in operations
        if conflict.path == WHOLE:
            base = _as_object(chosen)
            if extra or not stays:
                self._fields.add(WHOLE, {**base, **extra}, doomed)
            return self._fields.plan([*base, *extra])
        policy = self.entity.policy
        names = policy.kinds.names(conflict.path)
        given = {name: extra.pop(name) for name in names if name in extra}
        kind = policy.kinds.at(conflict.path)
        decided = self._fields.decided(kind, conflict.path, chosen, given)
        kept = guard.kept(policy.kinds, doomed, self._fields.terminal_type, decided)
        if kept:
            raise PermissionDenied(
                f"a terminal of type {self._fields.terminal_type} may not take {names[0]} back from {kept[0].value}",
                None,
            )
        if given or not stays:
            self._fields.add(conflict.path, decided, doomed)
        self._fields.write(extra)
        return self._fields.plan([*names, *extra])

    def _resolve_deletion(
        self,
        conflict: Conflict,
        operations: set[str],
        side: str,
        resolved: Mapping[str, object] | None,
        extra: dict[str, object],
        at: str,
    ) -> Plan:
        document = self.entity.document
        doomed = [r for r in document.siblings(DELETED_AT) if r.name in operations]
        self._fields.remove(doomed)
        deletion = next((r for r in conflict.candidates if r.path == DELETED_AT), None)
        chosen = conflict.challenger if side == "accept_remote" else conflict.shown
        said = resolved or {}
        if "deleted_at" in said or (chosen.path == DELETED_AT and not extra):
            known = [r for r in document.records() if r.name in operations or self._fields.seen(r)]
            self._may_delete(known)
            saw = {r.name for r in known if r.path != DELETED_AT}
            earlier = _as_object(deletion) if deletion is not None else {}
            self._fields.add(
                DELETED_AT, self._deletion(_time(said.get("deleted_at", earlier.get("at")), at), saw), doomed
            )
            return self._fields.plan(["deleted_at"])
        if extra and self.entity.policy.strategy.whole_entity:
            self._fields.register(WHOLE, {**self.entity.view.fields, **extra})
        elif extra:
            self._fields.write(extra)
        else:
            self._keep(next((r for r in conflict.candidates if r.path != DELETED_AT and r.name in operations), None))
        return self._fields.plan(list(extra))

    def _keep(self, record: FieldRecord | None) -> None:
        """Write what a deletion had not seen once more, as the decision that the entity stays.

        Somebody who decides at the same time that it is deleted has not seen this, and the two are asked again.
        record: of the conflict's operations; None where all of them were replaced. What replaced them is not decided.
        """
        if record is None or is_movement(record.path):
            self._fields.add(COUNTED, {}, ())
        else:
            self._fields.remove([record])
            self._fields.add(record.path, record.value, [record])


def _time(given: object, at: str) -> str:
    """When something was deleted, as the protocol writes times; `at` where that is not said as a time."""
    try:
        return hlc.iso(hlc.parse_iso(given) // 1000) if isinstance(given, str) else at
    except (ValueError, OverflowError):
        return at


def _as_object(record: FieldRecord) -> dict[str, object]:
    """The value of a whole entity or of a deletion, which is an object."""
    return record.value if isinstance(record.value, dict) else {}
