"""The interface of a field kind, what it may ask while a write is planned, and how a field's kind is declared.

A kind is asked about one field at a time. What concerns a register's record is asked of the kind whose register it is
(kinds.kind_at), because a record may be older than the field's present declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from attrs import field

from crdt.classes import define, frozen
from crdt.decimals import plus
from crdt.document import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crdt.records import FieldRecord, Path

ABSENT = object()
"""In place of a value: there is none."""


@frozen
class FieldKind:
    """How a field is declared. kind: the configuration's word, one of kinds.KINDS.

    ranks: of a `progress`, its statuses, the least advanced first. lower: terminal types that may take it back.
    final: those ranks whose entity only these types may delete, and only having seen that it is so far.
    """

    kind: str = "register"
    ranks: tuple[str, ...] = ()
    lower: tuple[str, ...] = ("pos",)
    final: tuple[str, ...] = ()
    key: str = "id"
    fields: Mapping[str, FieldKind] = field(factory=dict)


UNDECLARED = FieldKind()


@frozen
class Rule:
    """Why a value is shown: a word for programs, a sentence for people in Portuguese and in English."""

    code: str
    pt: str
    en: str


class UnfitValue(ValueError):
    """A value that a field of this kind cannot take. where: the place of it in `data`, as `stock.$inc`."""

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(reason)
        self.where = where


class Ordering(Protocol):
    """What a kind asks of an entity type's policy."""

    def ordered(self, path: Path, siblings: Sequence[FieldRecord]) -> list[FieldRecord]:
        """The siblings of one register, the shown one first."""
        ...


@frozen
class Count:
    """What somebody knows of a counter, or what it is at some moment.

    amount: the exact amount; None where nothing is counted.
    moved: all that had been added and taken by then, also before it was counted; None where that is not known.
    closed: somebody has said that it is not counted any more.
    """

    amount: Decimal | None
    moved: Decimal | None
    closed: bool = False

    def after(self, step: Decimal) -> Count:
        """The same after a movement. The first movement of what nobody has counted yet is where it begins."""
        moved = None if self.moved is None else plus((self.moved, step))
        if self.closed:
            return Count(None, moved, True)
        return Count(plus((self.amount or Decimal(0), step)), moved)


NOTHING_COUNTED = Count(None, Decimal(0))
"""Of a counter that nobody has written."""


@define
class After:
    """An entity after one of its log rows, for what a kind remembers of the row.

    written: what the row's author wrote. minds: what its author takes the counters that it wrote to be.
    fields: what is shown.
    """

    document: Document
    policy: Ordering
    written: Mapping[str, object]
    minds: Mapping[str, Count]
    fields: Mapping[str, object]


class KnownElements(Protocol):
    """A list as the author of a write last knew it."""

    def had_line(self, key: str) -> bool:
        """Whether an element was in it that somebody has changed since."""
        ...

    def became(self, key: str, seq: int) -> bool:
        """Whether the element that log row `seq` brought is one that was in it, and was there ever since."""
        ...

    def had(self, key: str, name: str, value: object) -> bool:
        """Whether a field of an element had this value, or was ABSENT, before somebody changed it unseen."""
        ...

    def holds(self, key: str, seq: int) -> bool:
        """Whether the element that log row `seq` brought was in it."""
        ...

    def carries_over(self, key: str, element: object) -> bool:
        """Whether a removed element was in it, unchanged: its author repeats it and does not add it again."""
        ...


class Write(Protocol):
    """One operation on one entity while it is planned: what a kind may ask of it, and what it may do to it.

    create: the operation is a CREATE. afresh: its author had seen the entity deleted, so nothing of it is left.
    terminal_type: of the author. counts: by how much each counter moves so far.
    minds: what the author takes each counter that it writes to be afterwards.
    stranger: nothing tells what the author had seen.
    kept: numbers that are not counted for that reason, by the counter's name in headers. Their author is told.
    forgotten: counters, by that name, of which the writer is to keep no total any more.
    """

    @property
    def document(self) -> Document: ...
    @property
    def policy(self) -> Ordering: ...
    @property
    def terminal_type(self) -> str: ...

    create: bool
    afresh: bool
    counts: dict[str, Decimal]
    minds: dict[str, Count]
    kept: dict[str, Decimal]
    forgotten: set[str]

    @property
    def stranger(self) -> bool: ...

    def seen(self, record: FieldRecord) -> bool:
        """Whether the author had seen a live record."""
        ...

    def seq_of(self, record: FieldRecord) -> int:
        """The log row that brought a live record to this node."""
        ...

    def known_count(self, field: str) -> Count | None:
        """What the author last knew a counter to be; None where nothing is known."""
        ...

    def known_list(self, field: str) -> KnownElements:
        """A list as the author last knew it."""
        ...

    def register(self, path: Path, value: object, *, replaces: Callable[[FieldRecord], bool] = ...) -> None:
        """Write one register. replaces: which of the seen records the value takes the place of.

        The value that its author saw there is not written again, unless it is written afresh.
        """
        ...

    def supersede(self, path: Path, replaces: Callable[[FieldRecord], bool] = ...) -> list[FieldRecord]:
        """Remove what an ordinary write to a register replaces, and return it."""
        ...

    def add(self, path: Path, value: object, superseded: Sequence[FieldRecord]) -> None:
        """Append a record that takes the place of `superseded`."""
        ...

    def join(self, path: Path, field: str, value: object) -> None:
        """Write one field of a register that several fields share; it is written once, with all of them."""
        ...


class Kind(Protocol):
    """A field kind, from its declaration. What it keeps is worked out from what it was asked, and changes no answer.

    name: the configuration's word.
    counts: the field's movements are in the headers' totals (crdt.records.Header).
    remembers: something is kept of each row, see `remembered`.
    carried: every row of the entity may carry the field, so also a row that did not write it is kept.
    rule: why the field shows what it shows, whatever its siblings are (None: its siblings tell).
    order: what puts one of several values first (None: the strategy's rule).
    """

    @property
    def name(self) -> str: ...
    @property
    def counts(self) -> bool: ...
    @property
    def remembers(self) -> bool: ...
    @property
    def carried(self) -> bool: ...
    @property
    def rule(self) -> Rule | None: ...
    @property
    def order(self) -> Rule | None: ...

    def problem(self, field: str) -> str | None:
        """What is wrong with the field's declaration, if anything is."""
        ...

    # ------------------------------------------------------------------ what is shown

    def ordered(self, siblings: Sequence[FieldRecord]) -> list[FieldRecord] | None:
        """The siblings of the field's register, the shown one first; None where the strategy orders them."""
        ...

    def compared(self, record: FieldRecord, document: Document) -> object:
        """What of a record is compared with its siblings (crdt.json_values.equal)."""
        ...

    def show(self, document: Document, policy: Ordering, field: str) -> object:
        """The field's value, or ABSENT."""
        ...

    def shows_from(self, document: Document, policy: Ordering, path: Path, field: str) -> bool:
        """Whether the field is shown from the register at `path`, which may hold it (paths.may_hold)."""
        ...

    # ------------------------------------------------------------------ what is written

    def plan(self, write: Write, field: str, value: object) -> None:
        """Plan what an operation says of the field. Raises UnfitValue."""
        ...

    def keeps(self, record: FieldRecord, terminal_type: str, value: object) -> bool:
        """Whether a terminal of this type may not put `value`, or ABSENT, in the place of one of the field's records.

        What it writes stands beside the record then, and does not show.
        """
        ...

    def final(self, value: object) -> bool:
        """Whether a value of the field is one that keeps its entity from deletion (strategies/guard.py)."""
        ...

    def unnamed(self, write: Write, field: str) -> None:
        """Plan what becomes of a counter that a CREATE does not name."""
        ...

    def decided(self, write: Write, path: Path, chosen: FieldRecord, resolved: Mapping[str, object]) -> object:
        """What a resolution writes at `path`: the chosen record's value, or what `resolved` gives for its fields.

        Raises UnfitValue.
        """
        ...

    def misfit(self, value: object) -> str | None:
        """What is wrong with the value of a record at (field,) that another node wrote, if anything is."""
        ...

    # ------------------------------------------------------------------ what a write of another node may do

    def may_leave(self, field: str, said: object, path: Path, value: object, *, begins: bool) -> bool:
        """Whether an operation that says `said` of the field may leave a record of this value at `path`.

        begins: the operation may begin the field anew, as a CREATE and a resolution do.
        """
        ...

    def may_replace(self, field: str, path: Path) -> bool:
        """Whether an operation that names the field may remove records at `path`."""
        ...

    def may_move(self, path: Path, said: object, amount: Decimal) -> bool:
        """Whether an operation that says `said` of the field may move its counter at `path` by so much."""
        ...

    # ------------------------------------------------------------------ what a record says

    def side(self, record: FieldRecord) -> dict[str, object]:
        """Field -> value of one side of a conflict, as the documented messages show it."""
        ...

    def said(self, record: FieldRecord, field: str) -> object:
        """What a record says of the field, for an explanation; ABSENT where it says nothing of it."""
        ...

    def restored(self, record: FieldRecord, field: str, shown: object) -> dict[str, object]:
        """What an operation writes to bring a record back. shown: the field's present value, or None."""
        ...

    # ------------------------------------------------------------------ what authors know

    def remembered(self, field: str, after: After, last: object) -> tuple[object, object] | None:
        """What is kept of a log row to tell later what its author knew: (what it wrote, what is shown); or nothing.

        last: what was kept as shown of the row before.
        """
        ...

    def removed(self, record: FieldRecord, document: Document, before: object) -> object:
        """The element that goes with a removed record, kept so that a stale copy does not put it back; or ABSENT.

        before: what was shown of the field until then.
        """
        ...
