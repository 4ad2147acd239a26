"""Writing one `Commit`: its log rows take their place in the audit chain, then each table gets its records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.chain import chain_hash
from storage.sqlite.archived_tables import add_records, keep_bases
from storage.sqlite.database import StorageError
from storage.sqlite.heads import thin_heads
from storage.sqlite.meta import write_meta
from storage.sqlite.rows import CONFLICTS, CURSORS, ENTITIES, FOLLOWERS, HEADS, LOCKS, LOG, PARKED, PEERS
from storage.sqlite.statements import insert_many

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from storage.records import Commit, LogRow


def chain_rows(rows: Sequence[LogRow], head: int, chain: bytes) -> tuple[int, bytes]:
    """Give each row its hash; the head and its hash after them. Raises StorageError for a row out of order."""
    for row in rows:
        if row.seq != head + 1:
            raise StorageError(f"row {row.seq} does not follow the log's head {head}")
        row.hash = chain = chain_hash(chain, row)
        head = row.seq
    return head, chain


def write_commit(connection: sqlite3.Connection, commit: Commit, anchor: int, head: int, chain: bytes) -> None:
    """Within a transaction: write all of a commit whose rows are chained.

    anchor: the last row that is archived and gone. head, chain: the last row with this commit, and its hash.
    """
    LOG.put(connection, commit.rows)
    _write_bulk(connection, commit.rows)
    if anchor and commit.entities:
        keep_bases(connection, {(entity.entity_type, entity.entity_id): None for entity in commit.entities}, anchor)
    ENTITIES.put(connection, commit.entities)
    LOCKS.put(connection, commit.locks)
    CONFLICTS.put(connection, commit.conflicts)
    for terminal_id in commit.gone:
        connection.execute("DELETE FROM cursors WHERE terminal_id = ?", (terminal_id,))
    CURSORS.put(connection, commit.cursors)
    PEERS.put(connection, commit.peers)
    PARKED.put(connection, commit.parked)
    for parked_id in commit.unparked:
        connection.execute("DELETE FROM parked WHERE id = ?", (parked_id,))
    if commit.archived:
        add_records(connection, commit.archived)
    FOLLOWERS.put(connection, commit.followers)
    if commit.heads:
        HEADS.put(connection, commit.heads)
        thin_heads(connection, commit.heads)
    write_meta(connection, {**commit.meta, "head": str(head), "chain": chain.hex()})


def _write_bulk(connection: sqlite3.Connection, rows: Sequence[LogRow]) -> None:
    """Note the entities of each BULK_UPDATE, so that their histories find its row."""
    touched = [
        (row.entity_type, entity_id, row.seq)
        for row in rows
        if row.entity_id is None and row.kind == "operation"
        for entity_id in dict.fromkeys(row.targets)
    ]
    if touched:
        insert_many(connection, "log_entities", ("entity_type", "entity_id", "seq"), (), touched)
