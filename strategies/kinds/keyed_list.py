"""`keyed_list`: a list of objects with `id`, as the items of an order. Each element is a register with a place.

The register at (field,) says that there is a list: its value is `[]`, or the whole list where its elements have no
ids. The register at (field, key) holds [place, element]; places.py says what a place is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from crdt.json_values import equal
from strategies.kinds.kind import ABSENT, Rule
from strategies.kinds.places import placed
from strategies.kinds.register import Register, winner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crdt.document import Document
    from crdt.records import FieldRecord, Path
    from strategies.kinds.kind import After, Ordering, Write

ELEMENTS = 2_000
"""Most elements of a list that is kept by element. A longer list is one value: the engine cuts its block of records
at each removed one and copies the rest, so a change of many thousand elements would hold up a node for seconds."""


class KeyedList(Register):
    """A Kind (kind.py): a register for each element, and one for the list."""

    name = "keyed_list"
    composed = True
    remembers = True
    carried = True
    rule = Rule(
        "keyed_list",
        "Cada item vale por si: o que alguém pôs está aqui, o que alguém tirou não, a menos que outro o tenha mudado "
        "sem saber.",
        "Each item is a value of its own: what anybody added is here, what somebody removed is not, unless another "
        "changed it unseen.",
    )

    def compared(self, record: FieldRecord) -> object:
        """Two equal elements at different places are one value."""
        return element_of(record) if len(record.path) > 1 else record.value

    def show(self, document: Document, policy: Ordering, field: str) -> object:
        elements: dict[Path, FieldRecord] = {}
        for path in document.fields:
            if len(path) == 2 and path[0] == field:
                record = winner(document, policy, path)
                if record is not None:
                    elements[path] = record
        presence = winner(document, policy, (field,))
        return ABSENT if presence is None and not elements else shown_list(presence, elements)

    def plan(self, write: Write, field: str, value: object) -> None:
        """What the author added, changed, moved and removed, compared with the list that it had seen."""
        document, base, afresh = write.document, write.known_list(field), write.afresh
        elements = keyed(value)
        known: dict[str, FieldRecord] = {}
        for path in document.fields:
            if len(path) == 2 and path[0] == field:
                records = [record for record in document.siblings(path) if write.seen(record)]
                if records:
                    known[path[1]] = write.policy.ordered(path, records)[0]
        write.register((field,), value if elements is None else [])
        elements = elements or {}
        places = placed(list(elements), {key: place_of(record) for key, record in known.items() if key in elements})
        for key, element in elements.items():
            path = (field, key)
            if key in known and not afresh and _same_element(known[key], places[key], element):
                continue
            if key not in known and not afresh and base.carries_over(key, element):
                continue
            write.add(path, [places[key], element], write.supersede(path))
        for key in sorted(known.keys() - elements.keys()):
            write.supersede((field, key), lambda record: base.holds(record.path[1], write.seq_of(record)))

    def decided(self, write: Write, path: Path, chosen: FieldRecord, resolved: Mapping[str, object]) -> object:
        if len(path) == 1:
            return super().decided(write, path, chosen, resolved)
        element = (keyed(resolved.get(path[0])) or {}).get(path[1], element_of(chosen))
        return [place_of(chosen), element]

    def may_leave(self, field: str, said: object, path: Path, value: object, *, begins: bool) -> bool:
        elements = keyed(said)
        if len(path) == 1:
            return path == (field,) and equal(value, said if elements is None else [])
        if elements is None or len(path) != 2 or path[0] != field or path[1] not in elements:
            return False
        match value:
            case [str(), element]:
                return equal(element, elements[path[1]])
        return False

    def may_replace(self, field: str, path: Path) -> bool:
        return path[:1] == (field,)

    def side(self, record: FieldRecord) -> dict[str, object]:
        return {record.path[0]: [element_of(record)] if len(record.path) > 1 else record.value}

    def said(self, record: FieldRecord, field: str) -> object:
        return element_of(record) if len(record.path) > 1 else record.value

    def restored(self, record: FieldRecord, field: str, shown: object) -> dict[str, object]:
        """The present list, with this element as it was."""
        if len(record.path) == 1:
            return {field: record.value}
        return {field: list({**(keyed(shown) or {}), record.path[1]: element_of(record)}.values())}

    def remembered(self, field: str, after: After, last: object) -> tuple[object, object] | None:
        """The keys of a list that was written. Every row of the entity may carry the list, so every row is kept."""
        if after.fields.get(field) is None:
            return None
        return (list(keyed(after.written[field]) or ()) if field in after.written else None), True

    def removed(self, record: FieldRecord) -> object:
        return element_of(record) if len(record.path) == 2 else ABSENT


def keyed(value: object) -> dict[str, object] | None:
    """The elements of a list by key, in order; None for a longer list, or one without ids, each once."""
    if not isinstance(value, list) or len(value) > ELEMENTS:
        return None
    elements: dict[str, object] = {}
    for element in value:
        key = _key(element)
        if key is None or key in elements:
            return None
        elements[key] = element
    return elements


def _key(element: object) -> str | None:
    name = element.get("id") if isinstance(element, dict) else None
    if isinstance(name, str):
        return name
    if type(name) is int:
        return orjson.dumps([name]).decode()  # 1 and "1" are two elements
    return None


def element_of(record: FieldRecord) -> object:
    """The element a record holds, without its place."""
    value = record.value
    return value[1] if isinstance(value, list) and len(value) == 2 else value


def place_of(record: FieldRecord) -> str:
    value = record.value
    return value[0] if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) else ""


def shown_list(presence: FieldRecord | None, elements: Mapping[Path, FieldRecord]) -> object:
    """What a reader sees. presence: the shown record at (field,); elements: the shown record of each."""
    ordered = sorted(elements.items(), key=lambda item: (place_of(item[1]), item[0]))
    found = [element_of(record) for _, record in ordered]
    if presence is None or (found and not isinstance(presence.value, list)):
        return found
    return [*presence.value, *found] if isinstance(presence.value, list) else presence.value


def _same_element(record: FieldRecord, place: str, element: object) -> bool:
    return equal(record.value, [place, element])
