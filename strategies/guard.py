"""What nobody may take back: the one rule that every way of writing asks.

A ranked status (kinds/progress.py) names who may take it back, and which of its ranks are final. UPDATE, CREATE,
BULK_UPDATE and a restored value ask through the field's kind. A resolution, a DELETE, and a CREATE after one ask
here, and so does the view, where a deletion meets a final status that it had not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strategies.kinds.kind import ABSENT
from strategies.strategy import unseen_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crdt.document import Document
    from crdt.records import FieldRecord
    from strategies.kinds.kinds import FieldKinds


def deleter(deletion: FieldRecord) -> str:
    """The terminal type that deleted; "" where the record does not say, which may take nothing back."""
    by = deletion.value.get("by") if isinstance(deletion.value, dict) else None
    return by if isinstance(by, str) else ""


def kept(
    kinds: FieldKinds, records: Iterable[FieldRecord], terminal_type: str, value: object = ABSENT
) -> list[FieldRecord]:
    """Those of one register's records that a terminal of this type may not replace by `value`."""
    return [record for record in records if kinds.at(record.path).keeps(record, terminal_type, value)]


def final(kinds: FieldKinds, records: Iterable[FieldRecord], terminal_type: str) -> list[FieldRecord]:
    """The records with a final status that a terminal of this type may not take back, so may not delete either."""
    if not kinds.finals:
        return []
    return [
        record
        for record in records
        if (kind := kinds.at(record.path)).final(record.value) and kind.keeps(record, terminal_type, ABSENT)
    ]


def deleted(kinds: FieldKinds, document: Document, deletion: FieldRecord, terminal_type: str) -> list[FieldRecord]:
    """The final records that a deletion had seen, and that a terminal of this type may not take back."""
    if not kinds.finals:
        return []
    live = [record for name in kinds.finals for record in document.siblings((name,))]
    unseen = {id(record) for record in unseen_by(deletion, live)}
    return final(kinds, [record for record in live if id(record) not in unseen], terminal_type)


def outlives(
    kinds: FieldKinds, record: FieldRecord, deletions: Sequence[FieldRecord], terminal_type: str, value: object
) -> bool:
    """Whether a record stays where an entity that was deleted is created again, with `value` in its field.

    It stays where neither the author of the CREATE may take it back, nor a deleter that had seen it.
    """
    kind = kinds.at(record.path)
    if not kind.keeps(record, terminal_type, value):
        return False
    return all(kind.keeps(record, deleter(d), value) or unseen_by(d, (record,)) for d in deletions)


def overruling(kinds: FieldKinds, document: Document, deletions: Sequence[FieldRecord]) -> list[FieldRecord]:
    """The final records against which none of an entity's live deletions counts: the entity stays because of them.

    A deletion counts against a final status that its author had seen and may take back.
    """
    live = [
        record for name in kinds.finals for record in document.siblings((name,)) if kinds.of(name).final(record.value)
    ]
    for deletion in deletions:
        barred = {id(record) for record in final(kinds, live, deleter(deletion))}
        unseen = {id(record) for record in unseen_by(deletion, live)}
        live = [record for record in live if id(record) in barred or id(record) in unseen]
    return live
