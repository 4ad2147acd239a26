"""`counter`: an opening value, and everything added and taken since, on whatever side of an outage.

The register at (field,) holds the opening (`Opening`). The movements are totals in the headers of the document's
writers (crdt.records.Header), so they add up in any order. A client that writes an absolute value moves the counter
by the difference from what it last knew. Each movement also writes the register COUNTED, and one operation under two
writers a settlement that takes the second movement back (paths.py).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from crdt.classes import frozen
from crdt.decimals import amount_of, decimal_of, is_shown_exactly, is_total, plus, shown, total_of
from crdt.records import counted_at, counter_path
from strategies.kinds.kind import ABSENT, NOTHING_COUNTED, Count, Rule, UnfitValue
from strategies.kinds.register import Register, winner
from strategies.paths import SETTLEMENT, is_movement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from crdt.document import Document
    from crdt.records import FieldRecord, Path
    from strategies.kinds.kind import After, Ordering, Write

ZERO = Decimal(0)
LIMITS = "below 10^15 with at most nine decimals"
MOST_COUNTED = Decimal(10) ** 18
"""Bound of what is added to or taken from one counter in all."""

NUMBER, STEP, COUNTED_NOW, CLOSED = "number", "$inc", "$set", "closed"
"""What an operation may say of a counter: a number, a movement, a count, or that it is not counted any more."""


@frozen
class Opening:
    """Where a counter begins.

    amount: what somebody counted; None where nothing was counted.
    moved: what had been moved when its author wrote it, which it includes. What was moved since is added to it.
    """

    amount: Decimal | None
    moved: Decimal

    @property
    def net(self) -> Decimal:
        return plus((self.amount or ZERO, -self.moved))

    def value(self) -> object:
        """As it stands in its record: a number if nothing was moved before, else [number or null, what was moved]."""
        amount = None if self.amount is None else shown(self.amount)
        return amount if not self.moved and amount is not None else [amount, total_of(self.moved)]

    @classmethod
    def of(cls, value: object) -> Opening | None:
        """None for a value that is no opening, as the null of a counter that is not counted any more."""
        match value:
            case [None, moved] if is_total(moved):
                return cls(None, decimal_of(moved))
            case [number, moved] if is_total(moved):
                amount = amount_of(number)
                return None if amount is None else cls(amount, decimal_of(moved))
        amount = amount_of(value)
        return None if amount is None else cls(amount, ZERO)


class Counter(Register):
    """A Kind (kind.py): an opening and movements."""

    name = "counter"
    counts = True
    remembers = True
    rule = Rule(
        "counter",
        "É a abertura mais todos os movimentos, de qualquer lado de uma queda de rede.",
        "It is the opening and all movements since, on whatever side of an outage.",
    )

    def compared(self, record: FieldRecord, document: Document) -> object:
        """Two openings that come to the same are one value."""
        opening = Opening.of(record.value)
        return record.value if opening is None else ("opening", total_of(opening.net))

    def show(self, document: Document, policy: Ordering, field: str) -> object:
        count = count_of(document, policy, field)
        if count.amount is not None:
            return shown(count.amount)
        opening = winner(document, policy, (field,))
        return ABSENT if not count.closed or opening is None else opening.value

    def plan(self, write: Write, field: str, value: object) -> None:
        """A movement, a count, null, or a number: the difference from what its author last knew."""
        word, amount = asked(value, field)
        now = count_of(write.document, write.policy, field)
        known = write.known_count(field)
        base = reckoned(now if known is None else known, now)
        if word == STEP:
            base = self._start_again(write, field) if write.afresh else base
            move(write, field, base, now, amount, f"{field}.{STEP}")
        elif word == CLOSED:
            if write.afresh or not base.closed:
                write.add((field,), None, write.supersede((field,)))
            write.minds[field] = Count(None, base.moved, True)
        elif word == COUNTED_NOW or write.afresh:
            _open(write, field, amount, base.moved or ZERO)
        elif known is None and _is_news(write, field):
            _open(write, field, amount, ZERO)  # two nodes that create one product: one opening is shown
        elif base.amount is None:
            _open(write, field, amount, base.moved or ZERO)
        elif amount == amount_of(shown(base.amount)):
            write.minds[field] = base  # a copy of what is shown is no change
        elif known is None and write.stranger:
            write.kept[field] = amount  # by how much it moved is unknown, and what others moved must not be lost
        else:
            move(write, field, base, now, plus((amount, -base.amount)), field)

    def unnamed(self, write: Write, field: str) -> None:
        """What was counted and moved before is not shown of an entity that is created afresh."""
        known, seen = write.known_count(field), any(map(write.seen, write.document.siblings((field,))))
        if write.afresh:
            self._start_again(write, field)
        elif known is None and not seen:
            write.minds[field] = NOTHING_COUNTED

    def _start_again(self, write: Write, field: str) -> Count:
        """Plan that nobody has counted anything yet. Returns what the author takes the counter to be then."""
        now = count_of(write.document, write.policy, field)
        base = reckoned(write.known_count(field) or now, now)
        moved = base.moved or ZERO
        counted = moved or base.amount is not None or base.closed
        if counted or any(map(write.seen, write.document.siblings((field,)))):
            write.register((field,), Opening(None, moved).value())
        write.minds[field] = Count(None, moved)
        return write.minds[field]

    def decided(self, write: Write, path: Path, chosen: FieldRecord, resolved: Mapping[str, object]) -> object:
        """`resolved` gives what is to be shown, a movement, or null."""
        field = path[0]
        if field not in resolved:
            return chosen.value
        word, amount = asked(resolved[field], field)
        now = count_of(write.document, write.policy, field)
        base = reckoned(write.known_count(field) or now, now)
        if word == STEP:
            move(write, field, base, now, amount, f"{field}.{STEP}")
            return chosen.value
        if word == CLOSED:
            write.minds[field] = Count(None, base.moved, True)
            return None
        write.minds[field] = Count(amount, base.moved)
        return Opening(amount, base.moved or ZERO).value()

    def misfit(self, value: object) -> str | None:
        if value is None or Opening.of(value) is not None:
            return None
        return "a counter begins with a number"

    def may_leave(self, field: str, said: object, path: Path, value: object, *, begins: bool) -> bool:
        """An opening with the amount that is said. Only its author's node can tell what that had seen moved."""
        if path != (field,):
            return False
        if said is None or value is None:
            return said is None and value is None
        opening = Opening.of(value)
        if opening is None:
            return False
        number = said.get(COUNTED_NOW) if isinstance(said, dict) else said
        if opening.amount is None:
            return begins and (said is ABSENT or isinstance(said, dict))
        return opening.amount == amount_of(number)

    def may_move(self, path: Path, said: object, amount: Decimal) -> bool:
        """An absolute value moves by the difference from what its author last knew, which only its node can tell."""
        if isinstance(said, dict):
            return said.keys() == {STEP} and amount_of(said[STEP]) == amount
        return amount_of(said) is not None

    def side(self, record: FieldRecord) -> dict[str, object]:
        if not is_movement(record.path):
            return {record.path[0]: counted_by(record.value)}
        found = record.value if isinstance(record.value, dict) else {}
        return {"/".join(counted_at(name)): total for name, total in found.items()}

    def said(self, record: FieldRecord, field: str) -> object:
        if not is_movement(record.path):
            opening = Opening.of(record.value)
            return ABSENT if opening is not None and opening.amount is None else counted_by(record.value)
        found = record.value if isinstance(record.value, dict) else {}
        moved = found.get(field)
        if is_total(moved):
            return {"moved": shown(decimal_of(moved))}
        deeper = {path: total for name, total in found.items() if (path := counter_path(name)) and is_total(total)}
        lines = {"/".join(path[1:]): shown(decimal_of(t)) for path, t in deeper.items() if path[0] == field}
        return {"moved": lines} if lines else ABSENT

    def restored(self, record: FieldRecord, field: str, shown: object) -> dict[str, object]:
        """Of a movement, what takes it back."""
        said = self.said(record, field)
        if not is_movement(record.path):
            return {} if said is ABSENT else {field: said}
        moved = said["moved"] if isinstance(said, dict) else None
        return {} if moved is None or isinstance(moved, dict) else {field: {STEP: -moved}}

    def remembered(self, field: str, after: After, last: object) -> tuple[object, object] | None:
        count = stored(count_of(after.document, after.policy, field))
        mind = after.minds.get(field)
        if mind is None and count == last:
            return None
        return None if mind is None else stored(mind), count


def count_of(document: Document, policy: Ordering, field: str) -> Count:
    """What a counter is: its opening and all that was moved since, an operation under two writers once."""
    first = winner(document, policy, (field,))
    return count_after(document, field, ABSENT if first is None else first.value)


def count_after(document: Document, name: str, first: object, settlements: Sequence[object] | None = None) -> Count:
    """The same of a counter by its name in headers.

    first: the value of the opening's record; ABSENT for none. settlements: those of the document, from whoever asks
    for many counters of it.
    """
    settled = tuple(_settled(settlements_of(document) if settlements is None else settlements, name))
    total = document.counters.get(name)
    moved = plus((total or ZERO, *settled)) if settled else total or ZERO
    if first is ABSENT:
        return Count(None if total is None else moved, moved)
    opening = Opening.of(first)
    if opening is None:
        return Count(None, moved, True)
    if opening.amount is None and moved == opening.moved:
        return Count(None, moved)
    return Count(plus((opening.net, moved)), moved)


def stored(count: Count) -> list[object]:
    """As it is kept with the entity and in the log, as JSON."""
    amount = None if count.amount is None else total_of(count.amount)
    return [amount, None if count.moved is None else total_of(count.moved), count.closed]


def count_from(found: object) -> Count | None:
    """A count that was stored; None for anything else."""
    match found:
        case [amount, moved, bool(closed)] if all(part is None or is_total(part) for part in (amount, moved)):
            return Count(_decimal(amount), _decimal(moved), closed)
    return None


def _decimal(part: object) -> Decimal | None:
    return decimal_of(part) if is_total(part) else None


def asked(value: object, field: str) -> tuple[str, Decimal]:
    """What an operation says of the field: the word, and its number. Raises UnfitValue."""
    if value is None:
        return CLOSED, ZERO
    word, number, where = NUMBER, value, field
    if isinstance(value, dict) and len(value) == 1:
        (name,) = value
        if name in (STEP, COUNTED_NOW):
            word, number, where = name, value[name], f"{field}.{name}"
    amount = amount_of(number)
    if amount is None or not is_shown_exactly(amount):
        does = {NUMBER: "is", STEP: "moves by", COUNTED_NOW: "is counted as"}[word]
        raise UnfitValue(f"a counter {does} a number {LIMITS}", where)
    return word, amount


def reckoned(known: Count, now: Count) -> Count:
    """What an author reckons from. Where it is not known what had been moved by then, its opening is today's."""
    if known.moved is not None:
        return known
    if known.amount is None or now.amount is None or now.moved is None:
        return Count(known.amount, now.moved, known.closed)
    return Count(known.amount, plus((now.moved, known.amount, -now.amount)), known.closed)


def _is_news(write: Write, field: str) -> bool:
    """Whether a CREATE sets a counter whose opening its author has not seen, if there is one."""
    return write.create and not any(map(write.seen, write.document.siblings((field,))))


def settlements_of(document: Document) -> list[object]:
    """What repairs took back; all siblings of one say the same."""
    return [records[0].value for path, records in document.fields.items() if path[0:1] == (SETTLEMENT,)]


def _settled(settlements: Sequence[object], field: str) -> Iterator[Decimal]:
    for value in settlements:
        total = value.get(field) if isinstance(value, dict) else None
        if is_total(total):
            yield decimal_of(total)


def _open(write: Write, field: str, amount: Decimal, moved: Decimal) -> None:
    now = count_of(write.document, write.policy, field)
    check_shown(plus((amount, -moved, now.moved or ZERO)), field)
    path = (field,)
    write.add(path, Opening(amount, moved).value(), write.supersede(path))  # a count is news, also of the same amount
    write.minds[field] = Count(amount, moved)


def move(write: Write, field: str, base: Count, now: Count, step: Decimal, where: str) -> None:
    """Plan a movement. base: what its author takes the counter to be before it. now: what it is.

    Raises UnfitValue.
    """
    counted = plus((write.counts.get(field, ZERO), step))
    if abs(plus((write.document.counters.get(field, ZERO), counted))) >= MOST_COUNTED:
        raise UnfitValue(f"the counter {field} would be out of range", where)
    if not now.closed:
        check_shown(plus((now.amount or ZERO, counted)), where)
    if step:
        write.counts[field] = counted
    write.minds[field] = base.after(step)


def check_shown(amount: Decimal, where: str) -> None:
    if not is_shown_exactly(amount):
        raise UnfitValue(f"the sum would be no number {LIMITS} that can be shown exactly", where)


def counted_by(value: object) -> object:
    """What somebody counted, of the value of an opening's record."""
    opening = Opening.of(value)
    if opening is None:
        return value
    return None if opening.amount is None else shown(opening.amount)
