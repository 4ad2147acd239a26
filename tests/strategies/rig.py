"""Documents from a few words, for the pure functions of the strategies: each write by a writer of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.document import Document
from crdt.edits import Applied
from crdt.engine import DEFAULT
from crdt.records import FieldRecord, NewField
from strategies.kinds.kind import FieldKind
from strategies.policy import EntityPolicy, policy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from crdt.records import Path

RANKS = ("pending", "ready", "paid")
KINDS = {"status": FieldKind("progress", RANKS), "stock": FieldKind("counter"), "items": FieldKind("keyed_list")}


def of(strategy: str = "last_write_wins") -> EntityPolicy:
    """A policy with a field of each kind; of `manual_resolution`, with none."""
    whole = strategy == "manual_resolution"
    return policy(
        "orders",
        priority="high",
        requires_lock=False,
        conflict_resolution=strategy,
        fields={} if whole else KINDS,
        groups=[] if whole else [["total", "discount"]],
    )


def write(
    path: Path, value: object, at: int, terminal: str = "", *, operation: str = "", rank: int | None = None
) -> NewField:
    """A record about to be written. at: of its clock, of its acceptance and, if not given, of its rank."""
    return NewField(
        path, value, at, terminal or f"t{at}", operation or f"op{at}", 1, at, at if rank is None else rank
    )


def record(
    path: Path, value: object, at: int, terminal: str = "", *, operation: str = "", rank: int | None = None
) -> FieldRecord:
    """The same as a record that nobody's document holds."""
    new = write(path, value, at, terminal, operation=operation, rank=rank)
    return FieldRecord(at, 1, path, value, at, new.terminal, new.operation, new.version, new.accepted, new.rank)


def document_of(*writes: NewField, counts: Sequence[dict[str, Decimal]] = ()) -> Document:
    """A document in which no write has seen another. counts: movements of counters, an operation each."""
    document = Document.load(None, writer=1, engine=DEFAULT)
    operations: list[tuple[list[NewField], dict[str, Decimal]]] = [([new], {}) for new in writes]
    operations += [([], dict(moved)) for moved in counts]
    for place, (fields, moved) in enumerate(operations):
        author = Document.load(None, writer=10 + place, engine=DEFAULT)
        edit = author.edit(supersede=[], fields=fields, counts=moved)
        assert isinstance(document.apply(edit.update, edit.before), Applied)
    return document
