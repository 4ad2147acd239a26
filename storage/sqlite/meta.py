"""The table `meta`: facts of the node that are no rows of anything, as texts by key.

head, chain                   the log's last row and its chain hash, written with the row
anchor, anchor_hash           the last row that is archived and gone, and its chain hash
keys                          the public keys that this node has pinned, by node (JSON)
node_id, epoch                who the node is, and which log this is
id_drawn                      the node id, when it was drawn and not named
writer, fingerprint           the node's CRDT writer, and the database file it was drawn for
hlc, hlc_steps                the hybrid logical clock as of the last commit, and the steps it was set by (JSON)
lock_epoch, lock_counter      the last fencing token
restored_from                 "epoch:head" of the database that this one is a backup of
log_cuts, wal_dropped         what starts of the node found missing, for the audit
counters                      which fields are counters, by entity type (JSON)
config                        what is remembered of the configuration that was in force at the last start (JSON)
policies                      the configurations the node ran with, as far as they decide what an entity shows (JSON)
probe                         how often a failed disk was tried
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.chain import GENESIS
from storage.records import Anchor
from storage.sqlite.statements import insert_many

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

TOKEN = "lock_counter"
COUNTERS = "counters"
POLICIES = "policies"
CONFIG = "config"


def read_meta(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM meta"))


def read_fact(connection: sqlite3.Connection, key: str) -> str | None:
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if found is None else str(found[0])


def write_meta(connection: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    """Within a transaction: add these facts, or put them in place of what they were."""
    insert_many(connection, "meta", ("key", "value"), ("key",), facts.items())


def read_anchor(connection: sqlite3.Connection) -> Anchor:
    """Where the log of this database begins."""
    found = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('anchor', 'anchor_hash')"))
    return Anchor(int(found.get("anchor", 0)), bytes.fromhex(found.get("anchor_hash", GENESIS.hex())))


def read_head(connection: sqlite3.Connection, anchor: Anchor) -> tuple[int, bytes]:
    """The log's last row and its chain hash, as the rows have them; the anchor's where the log has no row."""
    row = connection.execute("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1").fetchone()
    return (row[0], bytes(row[1])) if row else (anchor.seq, anchor.hash)
