"""The table `meta`: facts of the node that are no rows of anything, as texts by key.

head, chain                   the log's last row and its chain hash, written with the row
anchor, anchor_hash           the last row that is archived and gone, and its chain hash
keys                          the public keys that this node has pinned, by node (JSON)
node_id, epoch                who the node is, and which log this is
realm                         the store whose log this is; missing without a name
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
from storage.sqlite.database import DamagedRow
from storage.sqlite.rows import LOG, META, damaged_row
from storage.sqlite.statements import insert_many

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

TOKEN = "lock_counter"
COUNTERS = "counters"
POLICIES = "policies"
CONFIG = "config"


MOST_ROWS = 2**62
"""A log never gets so long."""

REMADE = (COUNTERS, POLICIES, CONFIG, "probe", "id_drawn")
"""Facts that a node can do without: each start writes them anew, or nothing does."""


def read_meta(connection: sqlite3.Connection, damaged: list[str] | None = None) -> dict[str, str]:
    """All facts, each as it was written. Raises DamagedRow.

    damaged: gets what is said of facts that a node can do without, which are left out; None raises for them too.
    """
    found = {}
    for key, value, row_sum in connection.execute("SELECT key, value, row_sum FROM meta"):
        try:
            META.check({"key": key, "value": value, "row_sum": row_sum})
        except DamagedRow as error:
            if damaged is None or key not in REMADE:
                raise
            damaged.append(str(error))
        else:
            found[key] = value
    if damaged and not {"node_id", "epoch"} <= found.keys():  # one of them goes by another name
        raise DamagedRow(damaged[0])
    return found


def read_fact(connection: sqlite3.Connection, key: str) -> str | None:
    """Raises DamagedRow."""
    found = connection.execute("SELECT value, row_sum FROM meta WHERE key = ?", (key,)).fetchone()
    if found is None:
        return None
    META.check({"key": key, "value": found[0], "row_sum": found[1]})
    return str(found[0])


def write_meta(connection: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    """Within a transaction: add these facts, or put them in place of what they were."""
    insert_many(connection, META.name, META.columns, META.key, META.with_sums(list(facts.items())))


def read_anchor(connection: sqlite3.Connection) -> Anchor:
    """Where the log of this database begins. Raises DamagedRow."""
    found = {}
    for key, value, row_sum in connection.execute(
        "SELECT key, value, row_sum FROM meta WHERE key IN ('anchor', 'anchor_hash')"
    ):
        META.check({"key": key, "value": value, "row_sum": row_sum})
        found[key] = value
    return Anchor(int(found.get("anchor", 0)), bytes.fromhex(found.get("anchor_hash", GENESIS.hex())))


def read_head(connection: sqlite3.Connection, anchor: Anchor) -> tuple[int, bytes]:
    """The log's last row and its chain hash, as the rows have them; the anchor's where the log has no row.

    Raises DamagedRow where nothing can follow the last row.
    """
    row = connection.execute("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1").fetchone()
    if row is None:
        return anchor.seq, anchor.hash
    seq, row_hash = row
    if type(row_hash) is not bytes or len(row_hash) != len(GENESIS) or seq >= MOST_ROWS:
        raise damaged_row(LOG.name, (seq,))
    return seq, row_hash
