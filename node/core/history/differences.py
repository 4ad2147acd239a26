"""One stored entity or conflict compared with what the log gives: the differences in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from attrs import astuple

from crdt.document import Document
from crdt.records import CANONICAL, DocumentError, FieldRecord
from crdt.update_format import UpdateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from node.core.entities.entity import Entity
    from node.core.history.rebuild import Rebuilt
    from storage.records import ConflictRow, EntityRow
    from strategies.conflict import Conflict


def entity_differences(rebuilt: Rebuilt, row: EntityRow | None, *, archived: bool) -> Iterator[str]:
    """How a stored entity differs from its rebuilt document, under any configuration.

    archived: whether rows of it are archived.
    """
    for seq in rebuilt.waiting:
        yield f"row {seq} of the log builds on something that is not there"
    if row is None:
        if rebuilt.exists or archived:
            yield "is in the log, and was removed from the table of entities"
        return
    if not rebuilt.exists:
        yield "is in the table of entities, and not in the log"
        return
    document = rebuilt.document
    try:
        stored = Document.load(row.snapshot, writer=document.writer, engine=document.engine_name)
    except (UpdateError, DocumentError, TypeError) as error:
        yield f"snapshot cannot be read: {error}"
    else:
        yield from _document_differences(document, stored)
    if row.version != document.version:
        yield f"version is stored as {row.version}, the log gives {document.version}"


def shown_differences(entity: Entity, row: EntityRow) -> Iterator[str]:
    """How the stored view differs from that of the rebuilt entity under its configuration."""
    if row.deleted == entity.view.alive:
        yield f"is stored as {'deleted' if row.deleted else 'live'}, the log says otherwise"
    yield from _view_differences(entity.shown(), row.view)


def _document_differences(document: Document, stored: Document) -> Iterator[str]:
    for writer in sorted({**document.vector, **stored.vector}):
        given, kept = document.vector.get(writer, 0), stored.vector.get(writer, 0)
        if given != kept:
            yield f"snapshot holds writer {writer} up to clock {kept}, the log up to {given}"
        elif document.headers.get(writer) != stored.headers.get(writer):
            yield f"snapshot has another header of writer {writer} than the log"
    given_records = {record.id: record for record in document.records()}
    kept_records = {record.id: record for record in stored.records()}
    for identity in sorted({**given_records, **kept_records}):
        given_record, kept_record = given_records.get(identity), kept_records.get(identity)
        if kept_record is None and given_record is not None:
            yield f"snapshot lacks {named(given_record)}"
        elif given_record is None and kept_record is not None:
            yield f"snapshot holds {named(kept_record)}, which is not live"
        elif given_record is not None and kept_record is not None and _text(given_record) != _text(kept_record):
            yield f"snapshot has {named(given_record)} otherwise than the log"


def named(record: FieldRecord) -> str:
    """A record in words: what its operation wrote, and where."""
    return f"what operation {record.operation} of {record.terminal} wrote to {'/'.join(record.path) or 'the entity'}"


def _text(record: FieldRecord) -> bytes:
    return orjson.dumps(astuple(record, recurse=False), option=CANONICAL)


def _view_differences(shown: Mapping[str, object], view: bytes) -> Iterator[str]:
    stored = _object(view)
    if stored is None:
        yield "view cannot be read"
        return
    for name in sorted({**shown, **stored}):
        given, kept = _json(shown, name), _json(stored, name)
        if given != kept and name != "version":
            yield f"view shows {name} as {kept}, the log gives {given}"
        elif given != kept:
            yield f"view has version {kept}, the log gives {given}"


def _object(text: bytes) -> dict[str, object] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _json(fields: Mapping[str, object], name: str) -> str:
    return orjson.dumps(fields[name], option=CANONICAL).decode() if name in fields else "nothing"


def conflict_difference(conflict: Conflict, row: ConflictRow | None) -> str | None:
    """How a stored conflict differs from an open one that the log gives; None if it does not."""
    if row is None:
        return f"open conflict {conflict.id} was removed from the table of conflicts"
    if row.state != conflict.state:
        return f"conflict {conflict.id} is stored as {row.state}, the log gives it as open"
    given, kept = orjson.dumps(conflict.body(), option=CANONICAL), _object(row.body)
    if kept is None or orjson.dumps(kept, option=CANONICAL) != given:
        return f"conflict {conflict.id} is stored with another body than the log gives"
    return None
