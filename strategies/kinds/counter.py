"""`counter`: an opening value, and everything added and taken since, on whatever side of an outage.

The register at (field,) holds the opening. The movements are totals in the headers of the document's writers
(crdt.records.Header), so they add up in any order. A client that writes an absolute value moves the counter by the
difference from what it last knew. Each movement also writes the register COUNTED, and one operation under two writers
a settlement that takes the second movement back (paths.py).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from crdt.decimals import amount_of, decimal_of, is_total, plus, shown
from strategies.kinds.kind import ABSENT, Rule, UnfitValue
from strategies.kinds.register import Register, equal, winner
from strategies.paths import SETTLEMENT, is_movement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from crdt.document import Document
    from crdt.records import FieldRecord, Path
    from strategies.kinds.kind import Ordering, Write

ZERO = Decimal(0)
LIMITS = "below 10^15 with at most nine decimals"
MOST_COUNTED = Decimal(10) ** 18
"""Bound of what is added to or taken from one counter in all."""


class Counter(Register):
    """A Kind (kind.py): an opening and movements."""

    name = "counter"
    composed = True
    counts = True
    remembers = True
    rule = Rule(
        "counter",
        "É a abertura mais todos os movimentos, de qualquer lado de uma queda de rede.",
        "It is the opening and all movements since, on whatever side of an outage.",
    )

    def show(self, document: Document, policy: Ordering, field: str) -> object:
        amount = counter_amount(document, policy, field)
        if isinstance(amount, Decimal):
            return shown(amount)
        return ABSENT if amount is None else amount.value

    def plan(self, write: Write, field: str, value: object) -> None:
        """An opening, a movement by `$inc`, or an absolute value: the difference from what its author last knew."""
        if isinstance(value, dict) and value.keys() == {"$inc"}:
            step = amount_of(value["$inc"])
            if step is None:
                raise UnfitValue(f"a counter moves by a number {LIMITS}", f"{field}.$inc")
            _move(write, field, step)
            return
        document, amount = write.document, amount_of(value)
        openings = document.siblings((field,))
        now = counter_amount(document, write.policy, field)
        if write.afresh and amount is not None:
            write.register((field,), shown(plus((amount, -_moved(document, write.policy, field)))))
        elif amount is None or not isinstance(now, Decimal) or not openings:
            write.register((field,), value)
        elif write.create and not any(map(write.seen, openings)):
            write.register((field,), value)  # two nodes that create one product: one opening is shown
        else:
            known = write.known_amount(field)
            _move(write, field, plus((amount, -(now if known is None else known))))

    def decided(
        self, document: Document, policy: Ordering, path: Path, chosen: FieldRecord, resolved: Mapping[str, object]
    ) -> object:
        """`resolved` gives what is to be shown; the opening is that less what was counted since."""
        field = path[0]
        amount = amount_of(resolved.get(field))
        if amount is not None:
            return shown(plus((amount, -_moved(document, policy, field))))
        return super().decided(document, policy, path, chosen, resolved)

    def may_leave(self, field: str, said: object, path: Path, value: object, *, begins: bool) -> bool:
        """An opening. One that begins anew takes back what was counted before, so any amount is one."""
        afresh = begins and amount_of(said) is not None and amount_of(value) is not None
        return path == (field,) and (afresh or equal(value, said))

    def may_move(self, field: str, said: object, amount: Decimal) -> bool:
        """An absolute value moves by the difference from what its author last knew, which only its node can tell."""
        if isinstance(said, dict) and said.keys() == {"$inc"}:
            return amount_of(said["$inc"]) == amount
        return amount_of(said) is not None

    def side(self, record: FieldRecord) -> dict[str, object]:
        if not is_movement(record.path):
            return super().side(record)
        return dict(record.value) if isinstance(record.value, dict) else {}

    def said(self, record: FieldRecord, field: str) -> object:
        if not is_movement(record.path):
            return record.value
        moved = record.value.get(field) if isinstance(record.value, dict) else None
        return {"moved": shown(decimal_of(moved))} if is_total(moved) else ABSENT

    def restored(self, record: FieldRecord, field: str, shown: object) -> dict[str, object]:
        """Of a movement, what takes it back."""
        said = self.said(record, field)
        if not is_movement(record.path):
            return {field: said}
        return {field: {"$inc": -said["moved"]}} if isinstance(said, dict) else {}

    def remembered(
        self, field: str, data: Mapping[str, object], shown: object, last: object, own: Callable[[], object]
    ) -> tuple[object, object] | None:
        if field not in data and shown == last:
            return None
        return _absolute(data.get(field), own), shown


def counter_amount(document: Document, policy: Ordering, field: str) -> Decimal | FieldRecord | None:
    """What a counter amounts to: its opening and all that was counted since, an operation under two writers once.

    The opening's record where that is no number; None where there is neither an opening nor a count.
    """
    opening = winner(document, policy, (field,))
    if opening is None and field not in document.counters:
        return None
    start = amount_of(opening.value) if opening is not None else ZERO
    if start is None:
        return opening
    return plus((start, document.counters.get(field, ZERO), *_settled(document, field)))


def _settled(document: Document, field: str) -> Iterator[Decimal]:
    for path, records in document.fields.items():
        if path[0:1] == (SETTLEMENT,):
            value = records[0].value  # all siblings say the same
            total = value.get(field) if isinstance(value, dict) else None
            if is_total(total):
                yield decimal_of(total)


def _moved(document: Document, policy: Ordering, field: str) -> Decimal:
    """All that was counted since the opening."""
    now = counter_amount(document, policy, field)
    if not isinstance(now, Decimal):
        return ZERO
    opening = winner(document, policy, (field,))
    start = amount_of(opening.value) if opening is not None else None
    return plus((now, -(start or ZERO)))


def _move(write: Write, field: str, amount: Decimal) -> None:
    counted = write.counts.get(field, ZERO)
    if abs(plus((write.document.counters.get(field, ZERO), counted, amount))) >= MOST_COUNTED:
        raise UnfitValue(f"the counter {field} would be out of range", field)
    if amount:
        write.counts[field] = plus((counted, amount))


def _absolute(value: object, own: Callable[[], object]) -> object:
    """The absolute an author has in mind now: the one it wrote, or its last one moved on by `$inc`."""
    if amount_of(value) is not None:
        return value
    step = amount_of(value.get("$inc")) if isinstance(value, dict) else None
    before = amount_of(own()) if step is not None else None
    return shown(before + step) if step is not None and before is not None else None
