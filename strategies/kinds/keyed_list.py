"""`keyed_list`: a list of objects with a key, as the items of an order. Each element is a line with its own fields.

    (field,)               `[]`, or the whole list where its elements have no keys
    (field, key)           [place, element], [place, element, {counter: moved}] or [place, element, {...}, moves];
                           places.py says what a place is, and `moves` is how often the line was put elsewhere
    (field, key, name)     [value], or [] where it was taken off: a `progress`, or a field that was changed since

The element at (field, key) is the line as it was added. A change of one of its fields is a register of its own, so
that two who change two fields of one line meet nowhere, and the strategy decides about one field at a time. A
`progress` has one from the first on: two may add one line at once, and the most advanced status is to be shown. Who
changes a line also writes the element again, as it has it, so that a removal that had not seen the change does not
take the line away. Of elements that differ, the fields with a register are not compared. Of several places the one
that was moved most often counts, so who changes a line does not put it back to where it was.

A field that is a `counter` begins in the element, and its movements are totals in the headers (crdt.records).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from crdt.decimals import amount_of, decimal_of, is_total, shown, total_of
from crdt.json_values import equal
from crdt.records import counter_name, counter_path
from strategies.kinds.counter import (
    CLOSED,
    COUNTED_NOW,
    NUMBER,
    STEP,
    ZERO,
    Counter,
    Opening,
    asked,
    check_shown,
    count_after,
    counted_by,
    move,
    reckoned,
    settlements_of,
)
from strategies.kinds.kind import ABSENT, UNDECLARED, Count, FieldKind, Kind, Rule
from strategies.kinds.places import placed
from strategies.kinds.progress import Progress
from strategies.kinds.register import Register, winner

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from decimal import Decimal

    from crdt.document import Document
    from crdt.records import FieldRecord, Path
    from strategies.kinds.kind import After, KnownElements, Ordering, Write

ELEMENTS = 2_000
"""Most elements of a list that is kept by element. A longer list is one value: the engine cuts its block of records
at each removed one and copies the rest, so a change of many thousand elements would hold up a node for seconds."""

PLACE = "@place"
"""The name by which a line's place is remembered among its fields."""

ELEMENT = (2, 3, 4)
"""How many parts the value of an element's record has."""

MOST_MOVES = 2**31
"""A line that is said to be moved more often, as no node writes, counts as never moved."""

MOST_ENDED = 32
"""Totals of lines that are gone, which a writer keeps in its header for a removal that had not seen a movement."""

OF_A_LINE: Mapping[str, type[Register]] = {kind.name: kind for kind in (Register, Counter, Progress)}
"""What a field of a line may be."""


class KeyedList(Register):
    """A Kind (kind.py): a register for each element and each changed field of one, and one for the list."""

    name = "keyed_list"
    remembers = True
    carried = True
    rule = Rule(
        "keyed_list",
        "Cada item vale por si: o que alguém pôs está aqui, o que alguém tirou não, a menos que outro o tenha mudado "
        "sem saber.",
        "Each item is a value of its own: what anybody added is here, what somebody removed is not, unless another "
        "changed it unseen.",
    )

    def __init__(self, declared: FieldKind = UNDECLARED) -> None:
        super().__init__(declared)
        self.kinds: dict[str, Kind] = {
            name: OF_A_LINE[of.kind](of) for name, of in declared.fields.items() if of.kind in OF_A_LINE
        }
        self.counted = [name for name, kind in self.kinds.items() if kind.counts]
        self.ranked = [name for name, kind in self.kinds.items() if isinstance(kind, Progress)]
        self._said_last: tuple[object, dict[str, object] | None] = (None, None)

    def problem(self, field: str) -> str | None:
        for name, declared in self.declared.fields.items():
            if declared.kind not in OF_A_LINE:
                return f"a line of {field!r} has no {declared.kind} {name!r}: it is none of {', '.join(OF_A_LINE)}"
            if name == self.declared.key and declared.kind != Register.name:
                return f"{name!r} is the key of {field!r}, and no {declared.kind}"
            problem = OF_A_LINE[declared.kind](declared).problem(name)
            if problem is not None:
                return problem
        return super().problem(field)

    # ------------------------------------------------------------------ what is shown

    def ordered(self, siblings: Sequence[FieldRecord]) -> list[FieldRecord] | None:
        path = siblings[0].path
        kind = self.kinds.get(path[2]) if len(path) == 3 else None
        return kind.order_of(siblings, part_of) if isinstance(kind, Progress) else None

    def compared(self, record: FieldRecord, document: Document) -> object:
        """Two equal elements at different places are one value."""
        if len(record.path) != 2:
            return record.value
        element = element_of(record)
        if isinstance(element, dict):
            element = {n: v for n, v in element.items() if (*record.path, n) not in document.fields}
        return element

    def show(self, document: Document, policy: Ordering, field: str) -> object:
        heads, parts = _registers(document, field)
        fields = document.fields
        elements: list[tuple[str, Path, FieldRecord]] = []
        for path in heads:
            siblings = fields[path]
            if len(siblings) == 1:
                elements.append((place_of(siblings[0]), path, siblings[0]))
            else:
                ordered = policy.ordered(path, siblings)
                elements.append((_placing(ordered)[0], path, ordered[0]))
        presence = winner(document, policy, (field,))
        if presence is None and not elements:
            return ABSENT
        elements.sort(key=lambda one: one[:2])
        moving = self.counted and any(map(counter_path, document.counters))
        settlements = settlements_of(document) if self.counted else ()
        found = [
            self.line(document, policy, head, parts.get(path[1], ()), settlements)
            if moving or path[1] in parts or _has_totals(head)
            else element_of(head)
            for _, path, head in elements
        ]
        if presence is None or (found and not isinstance(presence.value, list)):
            return found
        return [*presence.value, *found] if isinstance(presence.value, list) else presence.value

    def line(
        self,
        document: Document,
        policy: Ordering,
        head: FieldRecord,
        parts: Iterable[Path],
        settlements: Sequence[object],
    ) -> object:
        """An element as it is shown. head: its record. parts: its fields' registers. settlements: the document's."""
        element = element_of(head)
        if not isinstance(element, dict):
            return element
        found, fields = dict(element), document.fields
        for path in parts:
            siblings = fields[path]
            value = part_of(siblings[0] if len(siblings) == 1 else policy.ordered(path, siblings)[0])
            if value is ABSENT:
                found.pop(path[2], None)
            else:
                found[path[2]] = value
        for name in self.counted:
            opening = self._opening(document, policy, head, name)
            count = count_after(document, counter_name((*head.path, name)), opening, settlements)
            if count.amount is not None:
                found[name] = shown(count.amount)
            elif not count.closed:
                found.pop(name, None)
        return found

    def _opening(self, document: Document, policy: Ordering, head: FieldRecord, name: str) -> object:
        """The value where a counter of a line begins, as an opening's record would hold it; ABSENT for none."""
        record = winner(document, policy, (*head.path, name))
        return self.began(head, name) if record is None else part_of(record)

    def began(self, head: FieldRecord, name: str) -> object:
        """The same before anybody counted it. head: the record of the line."""
        element, moved = element_of(head), _totals(head).get(name, ZERO)
        amount = amount_of(element.get(name)) if isinstance(element, dict) else None
        if amount is not None or moved:
            return Opening(amount, moved).value()
        return element.get(name, ABSENT) if isinstance(element, dict) else ABSENT

    def opening_at(self, document: Document, policy: Ordering, path: Path) -> object:
        """The same of the counter at `path`; None where there is no such line."""
        head = winner(document, policy, path[:2])
        return None if head is None or path[2] not in self.counted else self._opening(document, policy, head, path[2])

    def began_at(self, document: Document, policy: Ordering, path: Path) -> object:
        """The same before anybody counted it."""
        head = winner(document, policy, path[:2])
        return ABSENT if head is None else self.began(head, path[2])

    # ------------------------------------------------------------------ what is written

    def plan(self, write: Write, field: str, value: object) -> None:
        """What the author added, changed, moved and removed, compared with the list that it had seen."""
        document, base, afresh = write.document, write.known_list(field), write.afresh
        elements = keyed(value, self.declared.key)
        heads, parts = _registers(document, field)
        known: dict[str, FieldRecord] = {}
        at: dict[str, tuple[str, int]] = {}
        put: set[str] = set()
        for path in heads:
            siblings = document.siblings(path)
            records = [record for record in siblings if write.seen(record)]
            if records or base.had_line(path[1]) or write.stranger:
                ordered = write.policy.ordered(path, records or siblings)
                known[path[1]], at[path[1]] = ordered[0], _placing(ordered)
                if not (records or afresh or base.had(path[1], PLACE, at[path[1]][0])):
                    put.add(path[1])  # somebody put it there since, so where its author has it says nothing
        write.register((field,), value if elements is None else [])
        elements = elements or {}
        settlements = settlements_of(document) if self.counted else ()
        places = placed(
            [key for key in elements if key not in put],
            {key: place for key, (place, _) in at.items() if key in elements and key not in put},
        )
        for number, (key, element) in enumerate(elements.items()):
            head = known.get(key)
            if head is not None and not afresh:
                change = Change(self, write, base, head, at[key], f"{field}[{number}]", settlements)
                change.plan(element, places.get(key, at[key][0]), parts.get(key, ()))
            elif afresh or not base.carries_over(key, element):
                self._add(write, (field, key), places[key], element, f"{field}[{number}]", settlements)
        for key in sorted(known.keys() - elements.keys()):
            for path in ((field, key), *parts.get(key, ())):
                write.supersede(path, lambda record: base.holds(record.path[1], write.seq_of(record)))
        if self.counted:
            self._forget_ended(write, field, elements)

    def _add(
        self, write: Write, path: Path, place: str, element: object, where: str, settlements: Sequence[object]
    ) -> None:
        moved: dict[str, object] = {}
        if isinstance(element, dict):
            element = dict(element)
            for name in self.counted:
                if name in element:
                    word, amount = asked(element[name], f"{where}.{name}")
                    if word == STEP:  # somebody removed the line meanwhile
                        known = write.known_count(counter_name((*path, name)))
                        amount += known.amount or ZERO if known is not None else ZERO
                    check_shown(amount, f"{where}.{name}")
                    element[name] = None if word == CLOSED else shown(amount)
                total = count_after(write.document, counter_name((*path, name)), ABSENT, settlements).moved
                if total:
                    moved[name] = total_of(total)
            for name in self.ranked:
                if name in element:
                    write.add((*path, name), [element[name]], write.supersede((*path, name)))
        write.add(path, _value(place, element, moved, 0), write.supersede(path))

    def _forget_ended(self, write: Write, field: str, elements: Mapping[str, object]) -> None:
        """Take totals of lines that are gone out of the writer's header, once there are many."""
        document = write.document
        header = document.headers.get(document.writer)
        ended = [
            name
            for name in (header.counters if header is not None else ())
            if (path := counter_path(name))
            and path[0] == field
            and path[1] not in elements
            and path[:2] not in document.fields
            and name not in write.counts
        ]
        if header is not None and len(ended) > MOST_ENDED:
            write.forgotten.update(ended)
            for name in ended:
                write.counts[name] = -decimal_of(header.counters[name])

    def comparable(self, element: object) -> object:
        """What of an element is as its author wrote it: a counter stands there as it began."""
        if not self.counted or not isinstance(element, dict):
            return element
        return {name: value for name, value in element.items() if name not in self.counted}

    def decided(self, write: Write, path: Path, chosen: FieldRecord, resolved: Mapping[str, object]) -> object:
        if len(path) == 1:
            return super().decided(write, path, chosen, resolved)
        element = (keyed(resolved.get(path[0]), self.declared.key) or {}).get(path[1], ABSENT)
        if element is ABSENT:
            return chosen.value
        if len(path) == 2:
            place, moves = _placing([chosen, *write.document.siblings(path)])
            return _value(place, element, {}, moves)
        if not isinstance(element, dict) or path[2] not in element:
            return chosen.value
        if path[2] not in self.counted:
            return [element[path[2]]]
        word, amount = asked(element[path[2]], f"{path[0]}.{path[2]}")
        moved = count_after(write.document, counter_name(path), ABSENT).moved
        return [None if word == CLOSED else Opening(amount, moved or ZERO).value()]

    # ------------------------------------------------------------------ what a write of another node may do

    def _elements(self, said: object) -> dict[str, object] | None:
        """The list that an operation says, by key. It is asked for once for each record of one operation."""
        if self._said_last[0] is not said:
            self._said_last = (said, keyed(said, self.declared.key))
        return self._said_last[1]

    def may_leave(self, field: str, said: object, path: Path, value: object, *, begins: bool) -> bool:
        elements = self._elements(said)
        if len(path) == 1:
            return path == (field,) and equal(value, said if elements is None else [])
        if elements is None or path[0] != field or path[1] not in elements:
            return False
        element = elements[path[1]]
        match value:
            case [str(), there, *rest] if len(path) == 2 and list(map(type, rest)) in ([], [dict], [dict, int]):
                return equal(self.comparable(there), self.comparable(element))
            case [part] if len(path) == 3 and isinstance(element, dict):
                count = self.kinds.get(path[2])
                if count is not None and count.counts:
                    return count.may_leave(path[2], element.get(path[2]), path[2:], part, begins=begins)
                return path[2] in element and equal(part, element[path[2]])
            case []:
                return len(path) == 3 and isinstance(element, dict) and path[2] not in element
        return False

    def may_replace(self, field: str, path: Path) -> bool:
        return path[:1] == (field,)

    def may_move(self, path: Path, said: object, amount: Decimal) -> bool:
        elements = self._elements(said)
        if len(path) != 3 or elements is None:
            return False
        element = elements.get(path[1])
        if element is None:
            return True  # what a line counted that is gone
        return isinstance(element, dict) and _COUNTER.may_move(path[2:], element.get(path[2]), amount)

    # ------------------------------------------------------------------ what a record says

    def side(self, record: FieldRecord) -> dict[str, object]:
        if len(record.path) == 1:
            return {record.path[0]: record.value}
        said = self._said(record)
        if len(record.path) == 2 and isinstance(said, dict):
            said = {name: value for name, value in said.items() if name not in self.ranked}  # each is told by itself
        return {record.path[0]: [said]}

    def said(self, record: FieldRecord, field: str) -> object:
        return self._said(record) if len(record.path) > 1 else record.value

    def _said(self, record: FieldRecord) -> object:
        """The element, or of a changed field the key and that field."""
        if len(record.path) == 2:
            return element_of(record)
        value = part_of(record)
        if value is not ABSENT and record.path[2] in self.counted:
            value = counted_by(value)
        named = {} if value is ABSENT else {record.path[2]: value}
        return {self.declared.key: _key_of(record.path[1]), **named}

    def restored(self, record: FieldRecord, field: str, shown: object) -> dict[str, object]:
        """The present list, with this element or this field of it as it was."""
        if len(record.path) == 1:
            return {field: record.value}
        there, said = keyed(shown, self.declared.key) or {}, self._said(record)
        if len(record.path) == 3:
            present = there.get(record.path[1])
            if not isinstance(present, dict) or not isinstance(said, dict):
                return {}
            kept = {name: value for name, value in present.items() if name != record.path[2]}
            said = {**kept, **said}
        return {field: list({**there, record.path[1]: said}.values())}

    # ------------------------------------------------------------------ what authors know

    def remembered(self, field: str, after: After, last: object) -> tuple[object, object] | None:
        """The keys of a list that was written. Every row of the entity may carry the list, so every row is kept."""
        if after.fields.get(field) is None:
            return None
        if field not in after.written:
            return None, True
        return list(keyed(after.written[field], self.declared.key) or ()), True

    def removed(self, record: FieldRecord, document: Document, before: object) -> object:
        """As it was shown: of a line that two changed, no record holds what both made of it."""
        listed = self._elements(before) if len(record.path) == 2 else None
        if listed is not None and record.path[1] in listed:
            return listed[record.path[1]]
        element = element_of(record)
        if len(record.path) != 2 or not self.counted or not isinstance(element, dict):
            return element if len(record.path) == 2 else ABSENT
        totals, found = _totals(record), dict(element)
        for name in self.counted:
            begins = Opening(amount_of(element.get(name)), totals.get(name, ZERO)).value()
            amount = count_after(document, counter_name((*record.path, name)), begins).amount
            if amount is not None:
                found[name] = shown(amount)
        return found


class Change:
    """What an author changes of one line that it knew.

    head: the line's record. at: its place, and how often it was moved. where: for what is wrong with it.
    settlements: those of the document.
    """

    def __init__(
        self,
        kind: KeyedList,
        write: Write,
        base: KnownElements,
        head: FieldRecord,
        at: tuple[str, int],
        where: str,
        settlements: Sequence[object],
    ) -> None:
        self.kind, self.write, self.base, self.head, self.where = kind, write, base, head, where
        self.place, self.moves = at
        self.settlements = settlements
        self.held_back = False

    def plan(self, element: object, place: str, parts: Collection[Path]) -> None:
        """element: as the author wrote it. place: where in the list. parts: the line's fields that have registers."""
        write, head, kind = self.write, self.head, self.kind
        there = element_of(head)
        if not kind.counted and place == self.place and equal(element, self._uncontested(there, parts)):
            return
        kept = element
        if not isinstance(element, dict) or not isinstance(there, dict):
            changed = not equal(element, there)
        else:
            changed = False
            for name in self._in_question(element, there, parts):
                changed |= self._field(name, element.get(name, ABSENT), there)
        moved = place != self.place
        if (changed or moved) and not self.held_back:
            if kind.counted and isinstance(element, dict) and isinstance(there, dict):  # a counter stays as it began
                began = {name: there[name] for name in kind.counted if name in there}
                kept = {n: v for n, v in {**element, **began}.items() if n not in kind.counted or n in there}
            totals = {name: total_of(total) for name, total in _totals(head).items()}
            write.add(head.path, _value(place, kept, totals, self.moves + moved), write.supersede(head.path))

    def _uncontested(self, there: object, parts: Collection[Path]) -> object:
        """The line as it is shown, where the author had seen all of its fields, and each has one value."""
        if not parts or not isinstance(there, dict):
            return there
        shown, fields = dict(there), self.write.document.fields
        for path in parts:
            records = fields[path]
            value = part_of(records[0])
            if len(records) > 1 or value is ABSENT or not self.write.seen(records[0]):
                return ABSENT
            shown[path[2]] = value
        return shown

    def _in_question(
        self, element: Mapping[str, object], there: Mapping[str, object], parts: Collection[Path]
    ) -> Iterable[str]:
        """The fields that are written otherwise than the line has them, or of which its records do not tell."""
        names = dict.fromkeys(self.kind.counted)
        fields, seen = self.write.document.fields, self.write.seen
        for path in parts:
            records = fields[path]
            if (
                len(records) > 1
                or not seen(records[0])
                or not _same(element.get(path[2], ABSENT), part_of(records[0]))
            ):
                names[path[2]] = None
        apart = {path[2] for path in parts}
        for name, value in element.items():
            if name not in apart and not (name in there and equal(value, there[name])):
                names[name] = None
        for name in there:
            if name not in element and name not in apart:
                names[name] = None
        names.pop(self.kind.declared.key, None)
        return names

    def _field(self, name: str, value: object, there: Mapping[str, object]) -> bool:
        """Plan what the author wrote of one field. Returns whether it changed the field."""
        write, path = self.write, (*self.head.path, name)
        if name in self.kind.counted:
            return self._count(path, value)
        siblings = write.document.siblings(path)
        seen = [record for record in siblings if write.seen(record)]
        if value is ABSENT and write.stranger and not seen and not write.seen(self.head):
            return False  # perhaps it never saw the field
        known = part_of(write.policy.ordered(path, seen)[0]) if seen else there.get(name, ABSENT)
        if _same(value, known) and (seen or not siblings):
            return False
        if len(seen) < len(siblings) and (self.base.had(path[1], name, value) or (value is ABSENT and not seen)):
            return False  # a copy of what it was before somebody else changed it
        progress = self.kind.kinds.get(name)
        if isinstance(progress, Progress):
            kept = [r for r in seen if progress.holds(part_of(r), write.terminal_type, value)]
            if not siblings and progress.holds(known, write.terminal_type, value):
                self.held_back = True  # only the element says how far it is
                return False
            part = [] if value is ABSENT else [value]
            write.add(path, part, write.supersede(path, lambda record: record not in kept))
            return True
        write.add(path, [] if value is ABSENT else [value], write.supersede(path))
        return True

    def _counted_by_then(self, name: str) -> bool:
        """Whether the author had seen the line, and it was there ever since with the number that it began with."""
        write, head, began = self.write, self.head, self.kind.began
        return any(
            write.seen(record) or self.base.became(head.path[1], write.seq_of(record))
            for record in write.document.siblings(head.path)
            if began(record, name) == began(head, name)
        )

    def _count(self, path: Path, value: object) -> bool:
        write, name, where = self.write, counter_name(path), f"{self.where}.{path[2]}"
        if value is ABSENT:
            return False
        word, amount = asked(value, where)
        opening = self.kind._opening(write.document, write.policy, self.head, path[2])
        now, known = count_after(write.document, name, opening, self.settlements), write.known_count(name)
        base = reckoned(now if known is None else known, now)
        unknown = known is None and write.stranger and not self._counted_by_then(path[2])
        if word == NUMBER and unknown and base.amount not in (None, amount):
            write.kept[name] = amount  # by how much it moved is unknown
            return False
        if word == STEP:
            move(write, name, base, now, amount, f"{where}.{STEP}")
            return True
        if word == CLOSED:
            if base.closed:
                return False
            write.minds[name] = Count(None, base.moved, True)
            write.add(path, [None], write.supersede(path))
            return True
        if word != COUNTED_NOW and base.amount is not None:
            step = ZERO if amount == amount_of(shown(base.amount)) else amount - base.amount
            if step:
                move(write, name, base, now, step, where)
            return bool(step)
        check_shown(amount - (base.moved or ZERO) + (now.moved or ZERO), where)
        write.minds[name] = Count(amount, base.moved)
        write.add(path, [Opening(amount, base.moved or ZERO).value()], write.supersede(path))
        return True


_COUNTER = Counter()


def keyed(value: object, name: str = "id") -> dict[str, object] | None:
    """The elements of a list by key, in order; None for a longer list, or one without keys, each once."""
    if not isinstance(value, list) or len(value) > ELEMENTS:
        return None
    elements: dict[str, object] = {}
    for element in value:
        key = _key(element, name)
        if key is None or key in elements:
            return None
        elements[key] = element
    return elements


def _key(element: object, name: str) -> str | None:
    key = element.get(name) if isinstance(element, dict) else None
    if isinstance(key, str) and not key.startswith("["):
        return key
    if isinstance(key, str) or type(key) is int:
        return orjson.dumps([key]).decode()  # 1 and "1" are two elements, and so is "[1]"
    return None


def _key_of(step: str) -> object:
    """A key as its element has it."""
    if not step.startswith("["):
        return step
    try:
        (key,) = orjson.loads(step)
    except ValueError:  # of another node, which writes no such keys
        return step
    return key


def element_of(record: FieldRecord) -> object:
    """The element a record holds, without its place."""
    value = record.value
    return value[1] if isinstance(value, list) and len(value) in ELEMENT else value


def part_of(record: FieldRecord) -> object:
    """The value of a line's field; ABSENT where it was taken off, or nothing is said."""
    value = record.value
    return value[0] if isinstance(value, list) and len(value) == 1 else ABSENT


def place_of(record: FieldRecord) -> str:
    value = record.value
    return value[0] if isinstance(value, list) and len(value) in ELEMENT and isinstance(value[0], str) else ""


def _placing(ordered: Sequence[FieldRecord]) -> tuple[str, int]:
    """The place of a line, and how often it was moved. ordered: its records, the shown one first."""
    record = ordered[0] if len(ordered) == 1 else max(ordered, key=_moves)
    return place_of(record), _moves(record)


def _moves(record: FieldRecord) -> int:
    value = record.value
    moves = value[3] if isinstance(value, list) and len(value) == 4 else 0
    return moves if type(moves) is int and 0 < moves < MOST_MOVES else 0


def _value(place: str, element: object, totals: Mapping[str, object], moves: int) -> list[object]:
    """A line as its record holds it."""
    if moves:
        return [place, element, totals, moves]
    return [place, element, totals] if totals else [place, element]


def _has_totals(record: FieldRecord) -> bool:
    return isinstance(record.value, list) and len(record.value) >= 3


def _totals(record: FieldRecord) -> dict[str, Decimal]:
    """What the counters of a line had moved under its key before it was added."""
    value = record.value
    found = value[2] if isinstance(value, list) and len(value) in (3, 4) else None
    if not isinstance(found, dict):
        return {}
    return {name: decimal_of(total) for name, total in found.items() if is_total(total)}


def _registers(document: Document, field: str) -> tuple[list[Path], dict[str, list[Path]]]:
    """The paths of a list's elements, and by key those of their changed fields."""
    heads: list[Path] = []
    parts: dict[str, list[Path]] = {}
    for path in document.fields:
        steps = len(path)
        if steps > 1 and path[0] == field:
            if steps == 2:
                heads.append(path)
            else:
                parts.setdefault(path[1], []).append(path)
    return heads, parts


def _same(one: object, other: object) -> bool:
    return one is other or (one is not ABSENT and other is not ABSENT and equal(one, other))
