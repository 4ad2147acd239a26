"""The keys of archived operations, as a node reads them when it starts: packed arrays, 8 bytes a key."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from attrs import define, field

from storage.packed import link_keys, op_keys, unpack

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

PAGE = 10_000
"""Rows read at once."""


@define(eq=False)
class ArchivedKeys:
    """operations: op keys. links: link keys of each entity type. partial: link key -> entities that
    hold their part of an operation of which another part is missing."""

    operations: Sequence[int] = field(factory=lambda: array("q"))
    links: dict[str, array[int]] = field(factory=dict)
    partial: dict[int, set[str]] = field(factory=dict)

    def with_rows(self, rows: Mapping[str, array[int]]) -> Mapping[str, Sequence[int]]:
        """The link keys of all operations. rows: of those that have a row."""
        for entity_type, keys in rows.items():
            self.links.setdefault(entity_type, array("q")).extend(keys)
        return self.links


def archived_keys(connection: sqlite3.Connection) -> ArchivedKeys:
    """All of them. An operation of several entities counts once, and once all of its parts are here."""
    keys = ArchivedKeys()
    operations = array("q")
    for entity_type, records in _records(connection):
        operations.extend(op_keys(records))
        keys.links.setdefault(entity_type, array("q")).extend(link_keys(records))
    shared: dict[int, set[str]] = {}
    sql = "SELECT entity_type, entity_id, records FROM archived WHERE bulk = 1"
    for entity_type, entity_id, records in connection.execute(sql):
        of_type = keys.links.setdefault(entity_type, array("q"))
        for one in unpack(records):
            holders = shared.setdefault(one.link_key, set()) if one.parts > 1 and one.link_key else None
            if holders is not None:
                holders.add(entity_id)
            if holders is None or len(holders) == one.parts:
                operations.append(one.op_key)
                of_type.append(one.link_key)
                shared.pop(one.link_key, None)
    keys.partial = shared
    keys.operations = operations
    keys.links = {t: array("q", filter(None, of)) if 0 in of else of for t, of in keys.links.items()}
    return keys


def _records(connection: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Those of one entity alone, of many entities of a type at once."""
    cursor = connection.execute("SELECT entity_type, records FROM archived WHERE bulk = 0")
    while rows := cursor.fetchmany(PAGE):
        for entity_type, of_type in groupby(rows, itemgetter(0)):
            yield entity_type, b"".join([records for _, records in of_type])
