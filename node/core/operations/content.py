"""What an operation of another node may do to an entity: what it says, by its kind and its type's policy.

A node derives an update from an operation. Whoever receives both holds them against each other, so that nothing is
changed which no operation in the log says. Of each record that the update adds, and of each that it removes, this
asks whether the operation may do so:

    CREATE, UPDATE, an item of a BULK_UPDATE   the fields that it names, each by its kind (`Kind.may_leave`)
    DELETE                                     besides, the register of deletions
    a resolution                               the register and the operations of the conflict that it names
    a repair                                   copies of an operation that came under two writers, and their counts

A value may rest on a record that another operation has replaced here meanwhile. What such records held, and how they
ranked, is remembered of the registers where it counts (`Entity.held`, `Entity.lowest`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Protocol

from attrs import field

from crdt import hlc
from crdt.classes import define
from crdt.decimals import decimal_of, is_total, total_of
from crdt.json_values import equal
from crdt.records import DocumentError, FieldRecord, Path, counted_at
from node.core.entities.entity import Entity
from node.core.entities.writes import RESERVED
from node.core.operations.removals import Removal
from node.core.operations.replica import Replica
from node.core.operations.two_writers import Copy, copies_of, outlived
from node.wire.links.operations import RemoteOperation
from storage.records import op_key
from strategies.conflict import conflict_id
from strategies.kinds.kind import ABSENT
from strategies.paths import COUNTED, DELETED_AT, GROUP, SETTLEMENT, WHOLE, group_names, is_element

if TYPE_CHECKING:
    from decimal import Decimal

    from crdt.document import Document
    from crdt.edits import Prepared
    from node.wire.messages import Write
    from strategies.policy import EntityPolicy

MOST_AHEAD = 1_000_000
"""By how much the version of a record may be ahead of the entity's here: operations may be missing."""

LEAST_JUMP = 1_000
LEAST_SKEW_MS = 60_000
"""What every node allows its terminals, whatever this one is configured to."""


class Unsaid(DocumentError):
    """An update that does what its operation does not say."""


class Unproved(DocumentError):
    """An update that may do what it does, once operations that it names are here too.

    A document may be ahead of the log: it came whole, or a copy of an operation comes on another way.
    """


class Says(Protocol):
    """What an operation may do to one entity."""

    def may_leave(self, path: Path, value: object) -> bool:
        """Whether it may leave a record of this value."""
        ...

    def may_replace(self, record: FieldRecord) -> bool:
        """Whether it may remove a live record."""
        ...

    def may_move(self, name: str, amount: Decimal) -> bool:
        """Whether it may move a counter by so much."""
        ...

    def waits(self, records: Sequence[FieldRecord]) -> bool:
        """Whether more of it may be allowed once other operations are here. records: those that it leaves."""
        ...


def check(replica: Replica, entity: Entity, write: Write, prepared: Prepared, remote: RemoteOperation) -> None:
    """Raise Unsaid where an update does more than its operation says, and Unproved where that cannot be told yet.

    write: what the operation says of this entity.
    """
    document = entity.document
    records, doomed, header, grown = prepared.added, prepared.removed, prepared.header, prepared.grown
    deleted = sum([length for ranges in prepared.decoded.deletes.values() for _, length in ranges])
    ground = Ground(replica, entity, doomed, gone=deleted > len(prepared.doomed))
    says = _says(ground, write, remote)
    check_authorship(records, remote, replica.clock.max_skew_ms)
    most = 0 if "repairs" in remote.operation.raw else max(replica.settings.version_jump, LEAST_JUMP)
    if not min(most, 1) <= grown <= most:
        raise Unsaid(f"the version grows by {grown}")
    for record in records:
        if not max(header.n, 1) <= record.version <= document.version + grown + MOST_AHEAD:
            raise Unsaid(f"a record of version {record.version}, where the entity's is {document.version}")
        if not ground.may_rank(record):
            raise Unsaid(f"{_at(record.path)} ranks before what it replaces")
    try:
        _check_effects(says, records, doomed, prepared.counts)
        _check_places(ground, write, remote, {record.path for record in records})
    except Unsaid as error:
        if says.waits(records):
            raise Unproved(f"{error}, as far as operations came here") from None
        raise


def _check_effects(
    says: Says, records: Sequence[FieldRecord], doomed: Sequence[FieldRecord], counts: Mapping[str, Decimal]
) -> None:
    """Raise Unsaid where one of the effects of an update is none of its operation's."""
    for name, amount in counts.items():
        if not says.may_move(name, amount):
            raise Unsaid(f"{name!r} moves by {amount}, which the operation does not say")
    moved = {name: total_of(amount) for name, amount in counts.items()}
    for record in records:
        if record.path == COUNTED and moved:
            if not equal(record.value, moved):
                raise Unsaid("a movement is written otherwise than it is counted")
        elif not says.may_leave(record.path, record.value):
            raise Unsaid(f"{_at(record.path)} is written, which the operation does not say")
    if moved and not any(record.path == COUNTED for record in records):
        raise Unsaid("a movement is counted and not written")
    for record in doomed:
        if record.path == COUNTED and moved:
            continue
        if not says.may_replace(record):
            raise Unsaid(f"{_at(record.path)} of {record.operation} is removed, which the operation does not say")


def _check_places(ground: Ground, write: Write, remote: RemoteOperation, wrote: Collection[Path]) -> None:
    """Raise Unsaid where an update removes a record and leaves nothing in its place, as no operation of its kind may.

    wrote: the registers that it writes.
    """
    raw, kind = remote.operation.raw, remote.operation.kind
    emptied = [record for record in ground.doomed if record.path not in wrote]
    if not emptied or "repairs" in raw:
        return
    decides = _conflict(write, raw)[0] if "resolves" in raw else None
    removal = Removal(kind, wrote, write.data.keys(), decides, repairs=False)
    afresh = ground.gone or any(record.path == DELETED_AT for record in ground.doomed)
    for record in emptied:
        if not removal.may_remove(record.path, afresh=afresh):
            raise Unsaid(f"{_at(record.path)} of {record.operation} is removed, and nothing is in its place")


def check_authorship(records: Sequence[FieldRecord], remote: RemoteOperation, max_skew_ms: int) -> None:
    """Raise Unsaid unless these records are of this operation, its author and its times."""
    said = remote.operation.raw.get("terminal_id")
    if said is not None and said != remote.terminal_id:
        raise Unsaid(f"an operation of {said!r} comes as one of {remote.terminal_id!r}")
    check_times(remote.stamp, remote.accepted, max_skew_ms)
    if len(records) > 1 and (
        len({record.path for record in records}) < len(records) or len({record.version for record in records}) > 1
    ):
        raise Unsaid("an operation writes a register twice, or under two versions")
    operation_id, terminal_id, stamp, accepted = (
        remote.operation.id,
        remote.terminal_id,
        remote.stamp,
        remote.accepted,
    )
    for record in records:
        if not (
            record.operation == operation_id
            and record.terminal == terminal_id
            and record.stamp == stamp
            and record.accepted == accepted
        ):
            raise Unsaid(f"{_at(record.path)} is written as by another operation, or at another time")


def check_times(stamp: int, accepted: int, max_skew_ms: int) -> None:
    """Raise Unsaid where an operation is of a time that it cannot be of. stamp, accepted: HLCs."""
    if stamp > accepted + hlc.pack(max(max_skew_ms, LEAST_SKEW_MS) + 1):
        raise Unsaid("an operation is stamped long after it was accepted")


def _at(path: Path) -> str:
    return "/".join(path) if path else "the whole entity"


@define(eq=False)
class Ground:
    """What an update meets here. doomed: live records that it removes. gone: it removes others that are gone."""

    replica: Replica
    entity: Entity
    doomed: Sequence[FieldRecord]
    gone: bool
    ranks: Set[tuple[Path, int]] = field(init=False)
    """The register and rank of each of `doomed`."""

    @ranks.default
    def _ranks(self) -> Set[tuple[Path, int]]:
        return {(record.path, record.rank) for record in self.doomed}

    @property
    def document(self) -> Document:
        return self.entity.document

    @property
    def policy(self) -> EntityPolicy:
        return self.entity.policy

    def candidates(self, path: Path) -> Sequence[FieldRecord]:
        return self.document.siblings(path)

    def may_rank(self, record: FieldRecord) -> bool:
        """Whether a record has its own rank, that of one which it replaces, or one less (`FieldWriter._place`)."""
        rank, path = record.rank, record.path
        if rank == record.accepted or (path, rank) in self.ranks or (path, rank + 1) in self.ranks:
            return rank <= record.accepted
        return rank < record.accepted and self.gone and self.entity.ranked_from(path, record.accepted) <= rank + 1


def _says(ground: Ground, write: Write, remote: RemoteOperation) -> Says:
    operation = remote.operation
    raw = operation.raw
    fields = {name: value for name, value in write.data.items() if name not in RESERVED}
    if "repairs" in raw:
        return Repair(ground, raw["repairs"], remote)
    if "resolves" in raw:
        path, operations = _conflict(write, raw)
        return Resolution(ground, fields, path=path, operations=operations, begins=True)
    if operation.kind == "DELETE":
        return Deletion(ground, fields, at=write.data.get("deleted_at"))
    return Authored(ground, fields, begins=operation.kind == "CREATE")


def _conflict(write: Write, raw: Mapping[str, object]) -> tuple[Path, Collection[str]]:
    """The register and the operations of the conflict that a resolution names. Raises Unsaid."""
    match raw.get("conflict"):
        case {"path": list(path), "operations": list(operations)} if (
            conflict_id(*write.key, tuple(path), operations) == raw["resolves"]
        ):
            return tuple(path), set(operations)
    raise Unsaid("a resolution does not say which conflict it decides")


@define(eq=False)
class Authored:
    """What a terminal wrote. fields: those that it names. begins: it may begin fields anew."""

    ground: Ground
    fields: Mapping[str, object]
    begins: bool = field(default=False, kw_only=True)

    def may_leave(self, path: Path, value: object) -> bool:
        if self.ground.policy.strategy.whole_entity or path == WHOLE:
            return self.ground.policy.strategy.whole_entity and path == WHOLE and self._whole(value)
        if path[0] == GROUP and not self._rest(path, value):
            return False
        kinds = self.ground.policy.kinds
        if self.begins and path[0] not in self.fields and len(path) == 1:  # a counter that begins uncounted
            return any(
                k.counts and k.may_leave(path[0], ABSENT, path, value, begins=True) for k in kinds.ever(path[0])
            )
        for name in self._named(path):
            said = self.fields[name]
            for kind in kinds.ever(name):
                if kind.may_leave(name, said, path, value, begins=self.begins):
                    return True
        return False

    def may_replace(self, record: FieldRecord) -> bool:
        path, policy = record.path, self.ground.policy
        if path == WHOLE:
            return policy.strategy.whole_entity and bool(self.fields or self.begins)
        if path[0] == SETTLEMENT:
            return False
        if self.begins and self._afresh():
            return True
        for name in self._named(path):
            for kind in policy.kinds.ever(name):
                if kind.may_replace(name, path):
                    return True
        return False

    def may_move(self, name: str, amount: Decimal) -> bool:
        kinds = self.ground.policy.kinds
        path = counted_at(name)
        return path[0] in self.fields and any(
            kind.may_move(path, self.fields[path[0]], amount) for kind in kinds.ever(path[0])
        )

    def waits(self, records: Sequence[FieldRecord]) -> bool:
        return not all(map(self._is_known, records))

    def _is_known(self, record: FieldRecord) -> bool:
        """Whether this node has all that a record repeats: its author's node may have had more, and not yet said it.

        What several fields share repeats values of operations that the author had not seen, so nothing says that it
        builds on them.
        """
        if record.path == DELETED_AT:
            return _are_here(self.ground, _saw(record.value))
        if not isinstance(record.value, dict):
            return True
        if record.path == WHOLE:
            return self._is_whole_known(record.value)
        return record.path[0] != GROUP or self._as_it_was(record.value)

    def _named(self, path: Path) -> Sequence[str]:
        """The fields of a register that the operation names."""
        if path[0] != GROUP:
            return path[:1] if path[0] in self.fields else ()
        return [name for name in group_names(path) if name in self.fields]

    def _afresh(self) -> bool:
        """Whether a CREATE may come after a deletion that its author had seen."""
        return self.ground.gone or any(record.path == DELETED_AT for record in self.ground.doomed)

    def _whole(self, value: object) -> bool:
        """Whether a whole entity is what is said of it, and otherwise as it was.

        A field whose author only repeats what it knew stays as it was too, also where somebody changed it meanwhile.
        """
        if not isinstance(value, dict):
            return False
        written = self._written(value)
        if written != self.fields.keys() and (self.begins or not written):
            return False
        return self._is_whole_known(value)

    def _written(self, value: Mapping[str, object]) -> Set[str]:
        """The fields of a whole entity that are as the operation says. What else it says, its author repeats."""
        return {name for name, said in self.fields.items() if name in value and equal(value[name], said)}

    def _is_whole_known(self, value: Mapping[str, object]) -> bool:
        """Whether the entity had here what a whole entity repeats of it, and could come to have these fields."""
        entity, written = self.ground.entity, self._written(value)
        repeated = [*value.items(), *self.fields.items()]
        return entity.may_have_had(value.keys(), written) and all(
            name in written or entity.has_held(name, said) for name, said in repeated
        )

    def _rest(self, path: Path, value: object) -> bool:
        """Whether the fields of a group that the operation does not name are as they were."""
        names = group_names(path)
        if not isinstance(value, dict) or not value.keys() <= set(names):
            return False
        return self._as_it_was(value)

    def _as_it_was(self, value: Mapping[str, object]) -> bool:
        """Whether the fields that the operation does not name have values that they had before."""
        entity = self.ground.entity
        return all(name in self.fields or entity.has_held(name, said) for name, said in value.items())


@define(eq=False)
class Deletion(Authored):
    """A DELETE, and what it writes besides. at: the time that it names."""

    at: object = field(default=None, kw_only=True)

    def may_leave(self, path: Path, value: object) -> bool:
        if path != DELETED_AT:
            return super().may_leave(path, value)
        return _is_deletion(self.ground, value, self.at if isinstance(self.at, str) else None)

    def may_replace(self, record: FieldRecord) -> bool:
        return record.path == DELETED_AT or super().may_replace(record)


@define(eq=False)
class Resolution(Authored):
    """A decision of a conflict. path, operations: the conflict's. fields: what it decides besides a side."""

    path: Path = field(kw_only=True)
    operations: Collection[str] = field(kw_only=True)

    def may_leave(self, path: Path, value: object) -> bool:
        if path == DELETED_AT:
            return self.path == DELETED_AT and _is_deletion(self.ground, value)
        if path == self.path and path != WHOLE:
            sides = [r for r in self.ground.candidates(path) if r.name in self.operations]
            if self.ground.gone or any(equal(value, side.value) for side in sides):
                return True
        return self._kept(path, value) or super().may_leave(path, value)

    def waits(self, records: Sequence[FieldRecord]) -> bool:
        return not _are_here(self.ground, self.operations) or super().waits(records)

    def may_replace(self, record: FieldRecord) -> bool:
        if record.name in self.operations and (record.path == self.path or self.path == DELETED_AT):
            return True
        return record.path not in (self.path, DELETED_AT) and super().may_replace(record)

    def _kept(self, path: Path, value: object) -> bool:
        """Whether what a deletion had not seen is written once more, as the decision that the entity stays."""
        if self.path != DELETED_AT:
            return False
        sides = [r.value for r in self.ground.candidates(path) if r.name in self.operations]
        return (path == COUNTED and value == {}) or self.ground.gone or any(equal(value, side) for side in sides)

    def _afresh(self) -> bool:
        return False


def _is_deletion(ground: Ground, value: object, said: str | None = None) -> bool:
    """Whether a deletion names a time, and operations that this node holds: nobody saw what is yet to come.

    said: the time that the operation names.
    """
    match value:
        case {"at": str(at), "saw": list(saw), "by": str(), **rest} if not rest and said in (None, at):
            return all(isinstance(name, str) for name in saw) and _are_here(ground, _saw(value))
    return False


def _saw(deletion: object) -> list[str]:
    """The operations that a deletion names."""
    saw = deletion.get("saw") if isinstance(deletion, dict) else None
    return [name for name in saw if isinstance(name, str)] if isinstance(saw, list) else []


def _are_here(ground: Ground, names: Collection[str]) -> bool:
    """Whether this node holds the named operations."""
    here = {record.name for record in ground.document.records()}
    return all(name in here or ground.replica.held.holds(name) for name in names)


@define(eq=False)
class Repair:
    """What a node writes where an operation came under two writers. operation: that operation."""

    ground: Ground
    operation: object
    remote: RemoteOperation

    def may_leave(self, path: Path, value: object) -> bool:
        """The count that is taken back is what this node takes back itself, or that of an archived copy."""
        if not self._doubled() or len(path) != 2 or path[0] != SETTLEMENT or not isinstance(value, dict):
            return False
        if not path[1].startswith(f"{self.operation}:") or not all(map(is_total, value.values())):
            return False
        known = self.ground.candidates(path)
        if known:
            return equal(known[0].value, value)
        if self._takes_back(path[1], value):  # the copy that stands may come later than what takes this one back
            return True
        return self._archived() and all(abs(decimal_of(total)) < 10**15 for total in value.values())

    def _takes_back(self, step: str, value: object) -> bool:
        """Whether the value is what the copy of the named writer counted here, taken back."""
        named = [copy for copy in self._copies() if step == f"{self.operation}:{copy.writer}"]
        return any(equal(value, copy.taken_back) for copy in named)

    def may_replace(self, record: FieldRecord) -> bool:
        """A copy goes where another one was replaced. So it is not alone in its register, unless that is emptied."""
        if not self._doubled() or record.name != self.operation:
            return False
        return len(self.ground.candidates(record.path)) > 1 or is_element(record.path) or self._replaced(record)

    def _replaced(self, record: FieldRecord) -> bool:
        """Whether this node knows of a copy in the same register that was replaced."""
        return record.id in {one.id for one in outlived(self.ground.entity, self._copies())}

    def _copies(self) -> list[Copy]:
        """What each copy of the operation did to the entity, as far as this node knows."""
        return copies_of(self.ground.entity, self.ground.replica.held.rows(str(self.operation)))

    def may_move(self, name: str, amount: Decimal) -> bool:
        return False

    def waits(self, records: Sequence[FieldRecord]) -> bool:
        """Whether a node repairs an operation. Its copies come on several ways, and each tells more of it."""
        return self._of_a_node() and isinstance(self.operation, str)

    def _of_a_node(self) -> bool:
        remote = self.remote
        return remote.terminal_id == remote.origin and remote.operation.kind == "UPDATE" and not remote.operation.data

    def _doubled(self) -> bool:
        if not self._of_a_node():
            return False
        held = self.ground.replica.held
        return isinstance(self.operation, str) and (op_key(self.operation) in held.doubled or self._archived())

    def _archived(self) -> bool:
        return isinstance(self.operation, str) and op_key(self.operation) in self.ground.replica.held.archived
