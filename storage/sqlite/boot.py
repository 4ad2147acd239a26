"""What a start reads: the state to go on from, and the keys of every operation ever held, 8 bytes a key."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain as chained
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

import orjson
from attrs import field

from crdt.classes import define
from crdt.records import name_of
from storage.packed import RECORD_BYTES, link_keys, op_keys, unpack_operations
from storage.records import CLASSES, Boot, FirstAttempt, FollowerRow, keys64, link_key, op_key
from storage.sqlite.database import DamagedRow
from storage.sqlite.first_attempts import KEPT
from storage.sqlite.meta import read_meta
from storage.sqlite.rows import (
    CONFLICTS,
    CURSORS,
    FOLLOWERS,
    HEADS,
    LOCKS,
    PARKED,
    PEERS,
    REFUSED,
    Table,
    damaged_row,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from storage.records import Anchor

R = TypeVar("R")

PAGE = 500
"""Rows read at once."""
TOLD = 0
"""The span of what another node named with a state, and no archive of this node holds."""


def read_boot(
    connection: sqlite3.Connection, node_id: str, epoch: str, head: int, chain: bytes, anchor: Anchor
) -> Boot:
    """Everything a node needs to go on from the last commit. head, chain: the last row and its hash."""
    damaged: list[str] = []
    archived = archived_keys(connection, damaged)
    operations = connection.execute("SELECT op_key FROM log WHERE op_key IS NOT NULL ORDER BY op_key")
    return Boot(
        node_id=node_id,
        epoch=epoch,
        head=head,
        chain=chain,
        class_heads=_class_heads(connection, anchor),
        locks=read_all(connection, LOCKS, damaged, "released <> 1"),
        cursors=read_all(connection, CURSORS, damaged),
        open_conflicts=read_all(connection, CONFLICTS, damaged, "state = 'open' ORDER BY seq"),
        entity_keys=_entity_keys(connection, damaged),
        operation_keys=array("q", chained.from_iterable(operations)),
        archived_keys=archived.operations,
        told_keys=archived.told,
        link_keys=archived.with_rows(_link_keys(connection)),
        partial=archived.partial,
        peers=read_all(connection, PEERS, damaged),
        followers=_followers(connection, damaged),
        parked=read_all(connection, PARKED, damaged, "1 ORDER BY id"),
        meta=read_meta(connection, damaged),
        refused=_refused(connection, damaged),
        heads=read_all(connection, HEADS, damaged, "1 ORDER BY received_ms"),
        damaged=damaged,
    )


def read_all(
    connection: sqlite3.Connection,
    table: Table[R],
    damaged: list[str],
    where: str = "1",
    parameters: Sequence[object] = (),
) -> list[R]:
    """The records of a table, but for those that are not what was written. damaged: gets what is said of these."""
    columns, found = table.columns, []
    for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table.name} WHERE {where}", parameters):
        try:
            found.append(table.record(dict(zip(columns, row, strict=True))))
        except DamagedRow as error:
            damaged.append(str(error))
    return found


def _followers(connection: sqlite3.Connection, damaged: list[str]) -> list[FollowerRow]:
    """One that is not what was written has confirmed nothing, so that no archive takes what it may lack."""
    known = {row.node_id: row for row in read_all(connection, FOLLOWERS, damaged)}
    names = (name for (name,) in connection.execute("SELECT node_id FROM followers") if type(name) is str)
    return [known.get(name) or FollowerRow(name, "", (-1,) * CLASSES, 0) for name in names]


def _entity_keys(connection: sqlite3.Connection, damaged: list[str]) -> array[int]:
    """Packed from the first on: numbers that are objects leave holes in the process's memory, 20 B an entity."""
    keys = array("q")
    cursor = connection.execute("SELECT entity_type, entity_id FROM entities")
    while rows := cursor.fetchmany(PAGE):
        try:
            keys.extend(keys64(rows))
        except TypeError:
            wrong = [row for row in rows if any(type(part) is not str for part in row)]
            damaged.extend(str(damaged_row("entities", row)) for row in wrong)
            keys.extend(keys64(row for row in rows if row not in wrong))
    return keys


def restore_keys(connection: sqlite3.Connection) -> list[str]:
    """Within a transaction: derive the keys of log rows anew where they are no numbers, or their operations would not
    be found. Returns what is said of them."""
    said = []
    for column in ("op_key", "link_key"):
        sql = f"SELECT seq FROM log WHERE {column} IS NOT NULL AND typeof({column}) <> 'integer'"
        for (seq,) in connection.execute(sql).fetchall():
            terminal_id, operation_id, updates = connection.execute(
                "SELECT terminal_id, operation_id, updates FROM log WHERE seq = ?", (seq,)
            ).fetchone()
            try:
                name = name_of(terminal_id, operation_id)
                key = op_key(name) if column == "op_key" else link_key(name, orjson.loads(updates))
            except (TypeError, ValueError, IndexError):
                said.append(f"{damaged_row('log', (seq,))}")
            else:
                connection.execute(f"UPDATE log SET {column} = ? WHERE seq = ?", (key, seq))
                said.append(f"table log, row {seq}: its {column} was not what was written; it was derived anew")
    return said


def _class_heads(connection: sqlite3.Connection, anchor: Anchor) -> list[int]:
    """The last row of each priority class; the anchor where none of the class is in the log."""
    sql = "SELECT coalesce(max(seq), ?) FROM log WHERE priority = ?"
    return [connection.execute(sql, (anchor.seq, priority)).fetchone()[0] for priority in range(CLASSES)]


def _refused(connection: sqlite3.Connection, damaged: list[str]) -> dict[tuple[str, str], FirstAttempt]:
    sql = "SELECT terminal_id, operation_id, changes FROM log WHERE kind = 'refused' ORDER BY seq DESC LIMIT ?"
    rows = connection.execute(sql, (KEPT,)).fetchall()
    found: dict[tuple[str, str], FirstAttempt] = {}
    archived = read_all(connection, REFUSED, damaged, "1 ORDER BY seq DESC LIMIT ?", (KEPT - len(rows),))
    for row in reversed(archived):
        with suppress(ValueError, KeyError, TypeError):
            found[row.terminal_id, row.operation_id] = FirstAttempt.of_stored(orjson.loads(row.tried))
    for terminal_id, operation_id, changes in reversed(rows):
        with suppress(ValueError, KeyError, TypeError):  # a damaged row costs what it says
            first = FirstAttempt.of_stored(orjson.loads(changes)["tried"])
            found.setdefault((terminal_id, operation_id), first)
    return found


def _link_keys(connection: sqlite3.Connection) -> dict[str, array[int]]:
    """The link keys of operations in the log, by entity type."""
    keys: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
    sql = "SELECT entity_type, link_key FROM log WHERE link_key IS NOT NULL ORDER BY link_key"
    for entity_type, key in connection.execute(sql):
        keys[entity_type].append(key)
    return dict(keys)


# ------------------------------------------------------------------ operations without a row


@define(eq=False)
class ArchivedKeys:
    """Keys of operations that are held without a row.

    operations: op keys.
    links: link keys of each entity type.
    partial: link key -> entities that hold their part of an operation while another part is missing.
    told: op keys of those that another node named with a state.
    """

    operations: Sequence[int] = field(factory=lambda: array("q"))
    told: array[int] = field(factory=lambda: array("q"))
    links: dict[str, array[int]] = field(factory=dict)
    partial: dict[int, set[str]] = field(factory=dict)

    def with_rows(self, rows: Mapping[str, array[int]]) -> Mapping[str, Sequence[int]]:
        """The link keys of all operations. rows: the link keys of those that have a row."""
        for entity_type, keys in rows.items():
            self.links.setdefault(entity_type, array("q")).extend(keys)
        return self.links


def archived_keys(connection: sqlite3.Connection, damaged: list[str]) -> ArchivedKeys:
    """All of them. An operation of several entities counts once, as soon as all of its parts are here.

    damaged: gets what is said of rows that hold no keys.
    """
    keys = ArchivedKeys()
    whole = f"typeof(records) = 'blob' AND length(records) % {RECORD_BYTES} = 0 AND typeof(entity_type) = 'text'"
    cut = f"SELECT entity_type, entity_id, span FROM archived WHERE NOT ({whole})"
    damaged.extend(str(damaged_row("archived", row)) for row in connection.execute(cut))
    operations = array("q")
    for entity_type, records in _records(connection, keys.told, whole):
        operations.extend(op_keys(records))
        keys.links.setdefault(entity_type, array("q")).extend(link_keys(records))
    shared: dict[int, set[str]] = {}
    sql = f"SELECT entity_type, entity_id, span, records FROM archived WHERE bulk = 1 AND {whole}"
    for entity_type, entity_id, span, records in connection.execute(sql):
        if span == TOLD:
            keys.told.extend(op_keys(records))
        of_type = keys.links.setdefault(entity_type, array("q"))
        for one in unpack_operations(records):
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


def _records(connection: sqlite3.Connection, told: array[int], whole: str) -> Iterator[tuple[str, bytes]]:
    """Records of operations on one entity, those of many entities of a type joined. told: gets the keys of those that
    another node named. whole: the condition for a row that holds keys."""
    cursor = connection.execute(f"SELECT entity_type, span, records FROM archived WHERE bulk <> 1 AND {whole}")
    while rows := cursor.fetchmany(PAGE):
        told.extend(op_keys(b"".join([records for _, span, records in rows if span == TOLD])))
        for entity_type, of_type in groupby(rows, itemgetter(0)):
            yield entity_type, b"".join([records for *_, records in of_type])
