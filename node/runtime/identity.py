"""Whether a node that starts is still the writer it was.

A writer's clock must never be used twice, so the writer goes on only where the data directory is provably the one
it was: same machine, same database file, and a head no older than the one last noted beside it. Anything else (a
copy, a restored backup, a file put back in place) gets a fresh writer and a new epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from crdt.classes import frozen
from node.core.locks.lease import later_epoch
from storage.sqlite.head_note import read_head_note
from storage.system import machine_name

if TYPE_CHECKING:
    from node.core.ports import Draws
    from storage.records import Boot
    from storage.sqlite.head_note import HeadNote
    from storage.sqlite.store import Store

logger = logging.getLogger("comanda")

NEW = "new data directory"


@frozen
class Continuity:
    """The writer to use, and what the store must remember of it.

    older: the log may lack what terminals were shown.
    """

    writer: int
    fresh: bool
    reason: str
    meta: Mapping[str, str]
    older: bool = False


def fingerprint(database: Path) -> str:
    """The machine and the database file; "" where a file has no number, so that a copy looks the same."""
    status = database.stat()
    if not status.st_ino:
        return ""
    machine = ""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            machine = Path(path).read_text().strip()
        except OSError:
            continue
        break
    return f"{machine or machine_name()}:{status.st_dev}:{status.st_ino}"


def continuity(
    directory: Path,
    database: Path,
    meta: Mapping[str, str],
    at: HeadNote,
    random: Callable[[], int],
    dropped: int = 0,
) -> Continuity:
    """Decide on the writer of this start. at: where the database ends. random: draws a candidate writer,
    1 .. 2**32 - 1. dropped: commits that were found in a damaged WAL."""
    here, noted, older = fingerprint(database), read_head_note(directory), True
    if "restored_from" in meta:
        reason = "this data directory is a restored backup"
    elif noted.ahead_of(at):
        ends = f"ends at row {at.head}, and this node had confirmed up to {noted.head}"
        if noted.head <= at.head:
            ends = f"ends at fencing token {at.token}, and this node had granted up to {noted.token}"
        reason = (
            f"the database {ends}: a damaged WAL, or an older copy; what is missing comes back from linked nodes "
            "that hold it"
        )
    elif noted.epoch not in ("", at.epoch):
        reason = (
            "the database is another one than this node last wrote to: an older copy from before a restore, perhaps"
        )
    elif dropped:
        reason = (
            f"the WAL was damaged: about {dropped} commits after row {at.head} are lost here (the file is kept as "
            f"{database.name}-wal-damaged); what is missing comes back from linked nodes that hold it"
        )
    elif "writer" not in meta:
        reason, older = NEW, False
    elif not here:
        reason, older = "this file system does not tell the data directory from a copy of it", False
    elif meta.get("fingerprint") != here:
        reason, older = "this data directory was copied or moved", False
    else:
        return Continuity(int(meta["writer"]), False, "", {})
    writer = random()
    return Continuity(writer, True, reason, {"writer": str(writer), "fingerprint": here}, older)


def take_up(store: Store, boot: Boot, draws: Draws, wall_ms: int) -> int:
    """The writer of this start. With a fresh one the log goes on under a new epoch, and the fencing tokens under a
    later one: some may have been granted since this database was copied. Terminals that were shown what this log may
    lack get the state anew: a position in it says no more what is on their screens. Raises StorageError."""
    going_on = continuity(store.directory, store.path, boot.meta, store.end, draws.writer, store.dropped)
    if going_on.fresh:
        again = going_on.reason != NEW
        logger.log(
            logging.WARNING if again else logging.INFO,
            "fresh writer %(writer)d: %(reason)s",
            {"writer": going_on.writer, "reason": going_on.reason},
        )
        if going_on.older:
            boot.cursors = store.forget_positions()
        if again:  # not the first start: what peers hold of this log counts no more
            boot.meta["lock_epoch"] = str(later_epoch(int(boot.meta.get("lock_epoch", 1)), wall_ms))
            boot.meta["recovered"] = "1"
            anew = {**going_on.meta, "lock_epoch": boot.meta["lock_epoch"], "recovered": "1"}
            store.begin_anew(draws.id(), anew, remove=("restored_from",))
        else:
            store.set_meta(dict(going_on.meta))
    return going_on.writer
