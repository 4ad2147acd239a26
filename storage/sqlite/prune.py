"""Rows that are in an archive leave the log, one batch a transaction, so that the node goes on meanwhile.

The same transaction writes what must outlast them:

    meta        the anchor, from which the audit chain goes on
    archived    keys of the operations, by entity
    bases       the document as of the anchor of each entity that has later rows; any other is in `entities`
    traces      movements of counters
    refused     what the authors of refused writes knew
    owed        notices that a terminal has not confirmed
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import orjson
from attrs import field

from crdt.classes import define, frozen
from crdt.engine import EngineError, merge
from crdt.update_format import UpdateError
from storage.chain import chain_hash
from storage.packed import ArchivedOperation, op_keys, pack_operations
from storage.records import CLASSES, UPDATE_KINDS, Anchor, ArchivedRow, Key
from storage.sqlite.archived_tables import add_records
from storage.sqlite.database import StorageError
from storage.sqlite.first_attempts import leave_first_attempts
from storage.sqlite.meta import read_anchor, write_meta
from storage.sqlite.rows import BASES, CURSORS, LOG, OWED, damaged_row
from storage.sqlite.statements import distinct, insert_many, parts, values
from storage.sqlite.traces import leave_traces
from storage.understood import content_of, understood

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

BATCH_ROWS = 50
"""Rows of one transaction: a few milliseconds in which nothing else is committed."""

MOST_OWED = 1_000
"""Notices kept for one terminal, the latest."""


@frozen
class Pruned:
    """One batch.

    anchor: where the log begins now.
    op_keys: keys of the operations whose rows are gone.
    """

    anchor: Anchor
    op_keys: Collection[int]


@define(eq=False)
class _Left:
    """One entity's share of a pruned batch.

    seq: the last of its rows.
    author: the terminal that wrote it, if it is not sent its own.
    other: the last row before those of that author.
    bulk: whether one of the rows touched other entities too.
    """

    seq: int = 0
    author: str = ""
    other: int = 0
    bulk: bool = False
    records: list[ArchivedOperation] = field(factory=list)
    updates: list[bytes] = field(factory=list)


def prune_batch(connection: sqlite3.Connection, upto: int, most: int = BATCH_ROWS) -> Pruned:
    """Within a transaction: put what must outlast them in place of up to `most` first rows, none past row `upto`.

    Raises StorageError where a row is missing or cannot be read.
    """
    anchor = read_anchor(connection)
    sql = "SELECT * FROM log WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
    cursor = connection.execute(sql, (anchor.seq, upto, most))
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    if not rows:
        return Pruned(anchor, ())
    end = rows[-1]["seq"]
    if end - anchor.seq != len(rows):
        raise StorageError(f"rows are missing between {anchor.seq} and {end}; see `comanda audit verify`")
    left: dict[Key, _Left] = {}
    _check(rows, anchor.hash)
    try:
        for row in rows:
            _leave(row, left)
        _write_bases(connection, left, end)
        leave_traces(connection, rows)
        leave_first_attempts(connection, rows)
    except (ValueError, KeyError, TypeError, EngineError, UpdateError) as error:
        raise StorageError(f"a row between {anchor.seq} and {end} cannot be read: {error}") from error
    kept = [
        ArchivedRow(*key, upto, of.seq, of.author, of.other, of.bulk, pack_operations(of.records))
        for key, of in left.items()
    ]
    add_records(connection, kept)
    _write_owed(connection, [row for row in rows if row["kind"] in ("notice", "refused")])
    _delete(connection, rows, anchor.seq, end)
    connection.execute("DELETE FROM proofs WHERE seq <= ?", (end,))
    found = Anchor(end, bytes(rows[-1]["hash"]))
    write_meta(connection, {"anchor": str(end), "anchor_hash": found.hash.hex()})
    return Pruned(found, {key for row in kept for key in op_keys(row.records)})


def _check(rows: Sequence[Mapping[str, Any]], before: bytes) -> None:
    """Raises DamagedRow: what outlasts a row is never made of one that is not what was written."""
    for row in rows:
        sound = LOG.sound(row)
        record = LOG.record(row) if sound else None
        if record is None or chain_hash(before, record) != record.hash or record.op_key != row["op_key"]:
            raise damaged_row(LOG.name, (row["seq"],))
        before = record.hash


def _leave(row: Mapping[str, Any], left: dict[Key, _Left]) -> None:
    """Add what outlasts one row to the share of each entity it touched."""
    if row["kind"] not in UPDATE_KINDS:
        return
    entity_type, entity_id = row["entity_type"], row["entity_id"]
    touched = [entity_id] if entity_id is not None else list(dict.fromkeys(row["targets"].split("\n")))
    updates = _updates(row)
    for name in touched:
        of = left.setdefault((entity_type, name), _Left())
        author = "" if row["echo"] else row["terminal_id"]
        if author != of.author or not author:
            of.other = of.seq
        of.seq, of.author = row["seq"], author
        of.updates += updates.get((entity_type, name), ())
        if row["kind"] == "operation":
            content = content_of(understood(orjson.loads(row["operation"])))
            link_key, accepted, version = row["link_key"] or 0, row["accepted"], row["version"]
            of.records.append(ArchivedOperation(row["op_key"], link_key, accepted, content, len(touched), version))
            of.bulk |= len(touched) > 1


def _updates(row: Mapping[str, Any]) -> dict[Key, list[bytes]]:
    """What a row did to documents, as Yjs updates."""
    if row["kind"] == "state":
        return {(row["entity_type"], row["entity_id"]): [b64decode(row["updates"])]}
    found: dict[Key, list[bytes]] = {}
    for entry in orjson.loads(row["updates"] or b"[]"):
        found.setdefault((entry[0], entry[1]), []).append(b64decode(entry[2]))
    return found


# ------------------------------------------------------------------ documents as of the anchor


def _write_bases(connection: sqlite3.Connection, left: Mapping[Key, _Left], end: int) -> None:
    """Write the document as of row `end` of each entity that has later rows. Any other entity is in `entities`."""
    later = {key for key, seq, _ in _joined(connection, "seq, NULL", "entities", left) if seq > end}
    known = {key: bytes(snapshot) for key, _, snapshot in _joined(connection, "seq, snapshot", "bases", left)}
    rows: list[tuple[object, ...]] = []
    for key in later:
        updates = [*([known[key]] if key in known else []), *left[key].updates]
        if updates:
            rows.append((*key, left[key].seq, merge(updates)))
    insert_many(connection, BASES.name, BASES.columns, BASES.key, BASES.with_sums(rows))
    for key in known.keys() - later:
        connection.execute("DELETE FROM bases WHERE entity_type = ? AND entity_id = ?", key)


def _joined(
    connection: sqlite3.Connection, columns: str, table: str, keys: Iterable[Key]
) -> list[tuple[Key, int, Any]]:
    found = []
    for part in parts(keys, 2):
        sql = (
            f"WITH wanted (entity_type, entity_id) AS ({values(len(part), 2)}) "
            f"SELECT entity_type, entity_id, {columns} FROM wanted CROSS JOIN {table} USING (entity_type, entity_id)"
        )
        rows = connection.execute(sql, [word for key in part for word in key])
        found += [((row[0], row[1]), row[2], row[3]) for row in rows]
    return found


# ------------------------------------------------------------------ notices


def _write_owed(connection: sqlite3.Connection, notices: Sequence[Mapping[str, Any]]) -> None:
    """Keep the notices that a known terminal has not confirmed, and remove the kept ones that it has.

    What is kept of a terminal is looked at only as far as it has confirmed all classes: the rest is not sent again
    either, and goes when that position has passed it.
    """
    if not notices:
        return
    holders = {name for (name,) in distinct(connection, "owed", ("terminal_id",))}
    positions = _positions(connection, {name for row in notices for name in row["targets"].split("\n")} | holders)
    rows = [
        (terminal_id, row["seq"], row["priority"], row["message"])
        for row in notices
        for terminal_id in dict.fromkeys(row["targets"].split("\n"))
        if terminal_id in positions and positions[terminal_id][row["priority"]] < row["seq"]
    ]
    insert_many(connection, OWED.name, OWED.columns, OWED.key, OWED.with_sums(rows))
    for terminal_id in holders & positions.keys():
        confirmed = min(positions[terminal_id])
        connection.execute("DELETE FROM owed WHERE terminal_id = ? AND seq <= ?", (terminal_id, confirmed))
    for terminal_id in {row[0] for row in rows}:
        connection.execute(
            "DELETE FROM owed WHERE terminal_id = ? AND seq <= (SELECT seq FROM owed WHERE terminal_id = ?"
            " ORDER BY seq DESC LIMIT 1 OFFSET ?)",
            (terminal_id, terminal_id, MOST_OWED),
        )


def _positions(connection: sqlite3.Connection, terminals: Iterable[str]) -> dict[str, Sequence[int]]:
    """How far these terminals have confirmed, by priority class; only of those that are known. One whose row is not
    what was written has confirmed nothing."""
    found: dict[str, Sequence[int]] = {}
    columns = CURSORS.columns
    for part in parts([(name,) for name in terminals], 1):
        marks = ",".join("?" * len(part))
        sql = f"SELECT {', '.join(columns)} FROM cursors WHERE terminal_id IN ({marks})"
        for stored in connection.execute(sql, [name for (name,) in part]):
            row = dict(zip(columns, stored, strict=True))
            known = CURSORS.sound(row)
            found[row["terminal_id"]] = CURSORS.record(row).positions if known else (-1,) * CLASSES
    return found


def _delete(connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]], after: int, end: int) -> None:
    for row in rows:
        if row["kind"] == "operation" and row["entity_id"] is None:
            for entity_id in row["targets"].split("\n"):
                connection.execute(
                    "DELETE FROM log_entities WHERE entity_type = ? AND entity_id = ? AND seq = ?",
                    (row["entity_type"], entity_id, row["seq"]),
                )
    connection.execute("DELETE FROM log WHERE seq > ? AND seq <= ?", (after, end))
