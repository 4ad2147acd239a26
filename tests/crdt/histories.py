"""Random histories of several writers of one entity, made by the real document code."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import define, field

from crdt.absorb import absorbed
from crdt.decimals import total_of
from crdt.document import Document
from crdt.edits import (
    Applied,
    Edit,
    Gap,
    Known,
)
from crdt.engine import INSTALLED, merge
from crdt.records import NewField
from strategies.paths import SETTLEMENT
from tests.crdt.diffs import diff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crdt.records import FieldRecord

PATHS = [("status",), ("total",), ("items", "1"), ("items", "2"), ()]
VALUES = ["aberta", "ação ☕", 1.5, -3, 2**53, True, None, {"a": [1, {"b": "é"}]}, [], "x" * 300, '"quoted\\"']
COUNTS = [Decimal(1), Decimal("-0.5"), Decimal("123456.789"), Decimal(10) ** 14]
WRITERS = [1, 127, 128, 5_000, 2**31, 2**32 - 1]


@define(eq=False)
class Replica:
    """got: the bytes that made its document, in order. lacks: edits of others that it has not got."""

    document: Document
    got: list[bytes] = field(factory=list)
    lacks: list[Edit] = field(factory=list)


class History:
    """`step` does one thing to one replica, and tells `changed` of it with the bytes that were applied."""

    def __init__(self, seed: int, changed: Callable[[int, bytes], None]) -> None:
        self.rng = random.Random(seed)
        self.changed = changed
        self.edits: list[Edit] = []
        count = self.rng.randint(2, 4)
        writers = self.rng.sample(WRITERS, count)
        self.replicas = [
            Replica(Document.load(None, writer=writer, engine=self.rng.choice(INSTALLED))) for writer in writers
        ]
        self.fresh = iter(range(10_000, 20_000))

    def step(self) -> int:
        """The replica that something was done to."""
        place = self.rng.randrange(len(self.replicas))
        steps = (self._write, self._write, self._deliver, self._deliver, self._deliver, self._whole, self._reload)
        self.rng.choice((*steps, self._repeat, self._repair, self._difference))(place)
        return place

    def _did(self, place: int, update: bytes) -> None:
        self.replicas[place].got.append(update)
        self.changed(place, update)

    # ------------------------------------------------------------------ what a replica does

    def _edit(
        self, place: int, supersede: Sequence[FieldRecord], fields: Sequence[NewField], **counts: Decimal
    ) -> None:
        document = self.replicas[place].document
        edit = document.edit(supersede=supersede, fields=fields, n=self.rng.choice((1, 1, 1, 3)), counts=counts)
        self.edits.append(edit)
        for other, replica in enumerate(self.replicas):
            if other != place:
                replica.lacks.append(edit)
        self._did(place, edit.update)

    def _write(self, place: int) -> None:
        rng, records = self.rng, list(self.replicas[place].document.records())
        supersede = rng.sample(records, rng.randint(0, min(3, len(records))))
        operation = f"op-{len(self.edits)}"
        fields = [self._new(path, operation) for path in rng.sample(PATHS, rng.randint(0, 3))]
        self._edit(place, supersede, fields, **({"stock": rng.choice(COUNTS)} if rng.random() < 0.3 else {}))

    def _new(self, path: tuple[str, ...], operation: str) -> NewField:
        value = self.rng.choice(VALUES) if path else {"a": self.rng.choice(VALUES)}
        return NewField(path, value, self.rng.randrange(2**63), "t", operation, 1, 2, 3)

    def _repair(self, place: int) -> None:
        """One operation under two writers: the larger one's records go, and what it counted is taken back."""
        document = self.replicas[place].document
        settles = (SETTLEMENT, f"op-{len(self.edits)}:{document.writer}")
        taken = NewField(settles, {"stock": total_of(-self.rng.choice(COUNTS))}, 1, "n", "repair-1", 1, 1, 1)
        paths = [path for path, siblings in document.fields.items() if len(siblings) > 1]
        doomed = [max(document.siblings(path), key=lambda record: record.writer) for path in paths[:1]]
        self._edit(place, doomed, [taken])

    def _deliver(self, place: int) -> None:
        """Edits of others in any order; what waits for another is no harm."""
        replica = self.replicas[place]
        self.rng.shuffle(replica.lacks)
        for edit in replica.lacks[: self.rng.randint(1, 4)]:
            result = replica.document.apply(edit.update, edit.before)
            if not isinstance(result, Gap):
                replica.lacks.remove(edit)
            if isinstance(result, Applied):
                self._did(place, edit.update)

    def _repeat(self, place: int) -> None:
        """Something comes a second time."""
        replica = self.replicas[place]
        held = [edit for edit in self.edits if replica.document.holds(edit.writer, edit.span[1])]
        if held:
            edit = self.rng.choice(held)
            assert isinstance(replica.document.apply(edit.update, edit.before), Known)
            self._did(place, edit.update)

    def _whole(self, place: int) -> None:
        """Another replica's document, instead of the operations it is made of."""
        replica, other = self.replicas[place], self.rng.choice(self.replicas)
        snapshot = other.document.encode()
        if other is not replica and other.document.vector:
            document = absorbed(replica.document, snapshot)
            if document is not None:
                replica.document = document
                self._did(place, snapshot)

    def _difference(self, place: int) -> None:
        """What a replica lacks of another one, by its state vector, merged into its snapshot."""
        replica, other = self.replicas[place], self.rng.choice(self.replicas)
        difference = diff(self.rng.choice(INSTALLED), other.document.encode(), replica.document.vector)
        if other is not replica and other.document.vector.get(
            replica.document.writer, 0
        ) <= replica.document.vector.get(replica.document.writer, 0):
            together = merge([replica.document.encode(), difference])
            document = replica.document
            replica.document = Document.load(together, writer=document.writer, engine=document.engine_name)
            self._did(place, difference)

    def _reload(self, place: int) -> None:
        """A restart, now and then under a fresh writer, or with the other engine."""
        replica = self.replicas[place]
        document = replica.document
        if self.rng.random() < 0.2:
            document.under(next(self.fresh))
        engine = self.rng.choice(INSTALLED)
        replica.document = Document.load(document.encode(), writer=document.writer, engine=engine)
