"""The one connection that writes a node's database: opening, committing, archives, the node's facts, tokens.

Every group of operations is one durable transaction (synchronous FULL).
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson
from attrs import evolve

from storage.chain import GENESIS
from storage.records import CLASSES, ArchiveRow, Boot, Commit, CursorRow, LogRow, TokenRow
from storage.signer import MOST_UNSIGNED, Signer, own
from storage.sqlite.backup import back_up
from storage.sqlite.boot import read_all, read_boot, restore_keys
from storage.sqlite.commit import chain_rows, write_commit
from storage.sqlite.database import (
    DATABASE,
    UNDECODABLE,
    StorageError,
    lock_directory,
    open_writer,
    quick_check,
    read_any_text,
    reason,
    refuse_programs,
    storage_errors,
    transaction,
)
from storage.sqlite.head_note import NOTE_FILE, HeadNote, HeadNoteFile, read_head_note
from storage.sqlite.meta import (
    CONFIG,
    COUNTERS,
    POLICIES,
    TOKEN,
    read_anchor,
    read_fact,
    read_head,
    read_meta,
    write_meta,
)
from storage.sqlite.migrations import migrate
from storage.sqlite.prune import BATCH_ROWS, Pruned, prune_batch
from storage.sqlite.rows import ARCHIVES, CURSORS, LOG, PROOFS, TOKENS
from storage.sqlite.wal import dropped_commits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from filelock import FileLock


logger = logging.getLogger("comanda.storage")

BACKUPS = "backups"
"""Folder of a data directory with copies of its database."""


class Store:
    """A node's database, open for writing. One process at a time has it open, and one thread of that uses it.

    head, chain: the last row that is stored, and its chain hash.
    anchor: the last row that is archived and gone.
    token: the last fencing token that is stored.
    signer: signs as this node; None where nobody is given its key.
    dropped: commits in a damaged WAL that SQLite did not take at this start.
    """

    def __init__(self, directory: Path, lock: FileLock, node_id: str, epoch: str) -> None:
        self.directory = directory
        self.path = directory / DATABASE
        self.node_id = node_id
        self.epoch = epoch
        self._lock = lock
        self._db = open_writer(self.path)
        self._connection: sqlite3.Connection = self._db.conn
        self.head_note = HeadNoteFile(directory)
        self.dropped = 0
        try:
            self.anchor = read_anchor(self._connection)
            self.head, self.chain = read_head(self._connection, self.anchor)
            self.token = int(read_fact(self._connection, TOKEN) or 0)
        except BaseException:
            self.abandon()
            raise
        self.signer: Signer | None = None

    # ------------------------------------------------------------------ opening

    @classmethod
    def open(cls, directory: Path, node_id: str | None, new_id: Callable[[], str], *, verify: bool = False) -> Store:
        """Open or create a data directory (its mode becomes 0700) and bring its schema up to date.

        node_id: None takes the stored id, or draws a new one. A drawn id of a node that never ran gives way to one
            that is named.
        new_id: draws an id.
        verify: check the whole file first, which somebody else may have written.

        Raises StorageError, also for a damaged file and for the directory of another node; DataDirectoryBusy when
        another node has the directory open.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _keep_private(directory)
        except OSError as error:
            raise StorageError(f"{directory}: {error.strerror}") from error
        lock = lock_directory(directory)
        try:
            _refuse_emptied(directory)
            _keep_files_private(directory)
            dropped = dropped_commits(directory / DATABASE)
            db = open_writer(directory / DATABASE)
            try:
                with storage_errors(directory / DATABASE):
                    read_any_text(db.conn)
                    if verify:
                        quick_check(db.conn, directory / DATABASE)
                        refuse_programs(db.conn, directory / DATABASE)
                    migrate(db, str(directory / DATABASE), lambda step: _keep_copy(db.conn, directory, step))
                    with transaction(db.conn, directory / DATABASE):
                        restored = restore_keys(db.conn)
                    known, epoch = _identity(db.conn, node_id, new_id, directory)
            finally:
                db.conn.close()
            with storage_errors(directory / DATABASE):
                store = cls(directory, lock, known, epoch)
            for said in restored:
                logger.warning("damaged in the log: %(damage)s", {"damage": said})
            try:
                if store._note_cut(dropped):
                    # Part of a WAL over pages that were written after it makes a database of two times.
                    quick_check(store._connection, store.path, indexes=True)
            except BaseException:
                store.abandon()
                raise
            return store
        except BaseException:
            lock.release()
            raise

    def _note_cut(self, dropped: int) -> bool:
        """Note for the audit, for good, that the log does not end where its last commit left it. Returns whether.

        The next commit writes a new head, and after it nothing else in the database would show the cut.
        """
        with storage_errors(self.path):
            meta = read_meta(self._connection, [])
        if (meta.get("head", "0"), meta.get("chain", GENESIS.hex())) != (str(self.head), self.chain.hex()):
            self._add_note(meta, "log_cuts", f"{meta.get('head', '0')}>{self.head}")
            self.set_meta({"head": str(self.head), "chain": self.chain.hex()})
        noted_end = read_head_note(self.directory)
        ahead = noted_end.epoch == self.epoch and noted_end.head > self.head and "restored_from" not in meta
        noted = f">{self.head}" in (cut[cut.index(">") :] for cut in meta.get("log_cuts", "").split())
        if ahead:
            if not noted:
                self._add_note(meta, "log_cuts", f"{noted_end.head}>{self.head}")
        elif dropped and noted_end != self.end:  # else nothing is missing but cursors
            self.dropped = dropped
            self._add_note(meta, "wal_dropped", f"{self.head}:{dropped}")
        return ahead or bool(self.dropped)

    def _add_note(self, meta: dict[str, str], key: str, note: str) -> None:
        notes = meta.get(key, "").split()
        if notes[-1:] != [note]:  # a start that wrote nothing finds the same again
            meta[key] = " ".join([*notes, note])
            self.set_meta({key: meta[key]})

    def boot(self) -> Boot:
        """Everything a node needs to go on from the last commit. Raises StorageError."""
        self._find_unsigned()
        with storage_errors(self.path):
            self.head, self.chain = read_head(self._connection, self.anchor)
            known = (self.node_id, self.epoch, self.head, self.chain, self.anchor)
            try:
                return read_boot(self._connection, *known)
            except sqlite3.OperationalError as error:
                if UNDECODABLE not in str(error):
                    raise
            read_any_text(self._connection)
            return read_boot(self._connection, *known)

    # ------------------------------------------------------------------ committing

    def commit(self, commit: Commit) -> None:
        """Store a group in one transaction and fsync it. Raises StorageError; then nothing of it is stored."""
        signer = self.signer
        with transaction(self._connection, self.path):
            if signer is not None:
                signed = signer.take(commit.rows, now=commit.sign)
                PROOFS.put(self._connection, signed.proofs)
            head, chain = chain_rows(commit.rows, self.head, self.chain)
            write_commit(self._connection, commit, self.anchor.seq, head, chain)
        if signer is not None:
            signer.stored(signed)
        self.epoch = commit.meta.get("epoch", self.epoch)
        before = self.head, self.token
        self.chain, self.head, self.token = chain, head, int(commit.meta.get(TOKEN, self.token))
        if (self.head, self.token) != before:
            self.head_note.write(self.end)

    @property
    def end(self) -> HeadNote:
        """Where the database ends."""
        return HeadNote(self.epoch, self.head, self.token)

    def begin_anew(self, epoch: str, meta: Mapping[str, str], *, remove: Sequence[str] = ()) -> None:
        """Go on under a new epoch: what peers hold of the log under the old one counts no more.

        meta, remove: facts written and removed in the same transaction. Raises StorageError.
        """
        self.set_meta({**meta, "epoch": epoch}, remove=remove)
        self.epoch = epoch
        self.head_note.write(self.end)

    def forget_positions(self) -> list[CursorRow]:
        """Take it that no terminal has confirmed anything of this log; returns their cursors. Raises StorageError."""
        nothing = (-1,) * CLASSES
        with transaction(self._connection, self.path):
            known = read_all(self._connection, CURSORS, [])
            anew = [evolve(row, positions=nothing, sent=nothing) for row in known]
            CURSORS.put(self._connection, anew)
        return anew

    # ------------------------------------------------------------------ signing

    def sign_as(self, signer: Signer) -> None:
        """Sign as this node from here on, and what was not signed before. Raises StorageError."""
        self.signer = signer
        self._find_unsigned()

    def sign_rest(self) -> None:
        """Sign all that waits, as for a copy that outlives the key. Raises StorageError."""
        if self.signer is not None:
            with transaction(self._connection, self.path):
                signed = self.signer.take((), now=True)
                PROOFS.put(self._connection, signed.proofs)
            self.signer.stored(signed)

    def _find_unsigned(self) -> None:
        """What was accepted since the last signature waits for one. Raises StorageError."""
        if self.signer is None:
            return
        found: list[LogRow] = []
        sql = "SELECT * FROM log WHERE seq > (SELECT COALESCE(MAX(seq), 0) FROM proofs) ORDER BY seq DESC"
        with storage_errors(self.path):
            cursor = self._connection.execute(sql)
            names = [column[0] for column in cursor.description]
            for values in cursor:
                stored = dict(zip(names, values, strict=True))
                if not LOG.sound(stored):
                    continue
                row = LOG.record(stored)
                if row.via or (own(row) and (row.proof or not row.seal)) or len(found) == MOST_UNSIGNED:
                    break
                if own(row):
                    found.append(row)
            cursor.close()
        for row in self.signer.found(found[::-1]):
            logger.error(
                "row %(seq)s is not signed: this node, by the key that it has, did not accept what it says",
                {"seq": row.seq},
            )

    # ------------------------------------------------------------------ upkeep

    def probe(self) -> None:
        """A tiny durable write, to see whether writing works again. Raises StorageError."""
        with transaction(self._connection, self.path):
            count = read_meta(self._connection, []).get("probe", "0")
            write_meta(self._connection, {"probe": str(int(count) + 1)})

    @property
    def wal_bytes(self) -> int:
        """How long the write-ahead log is."""
        try:
            return self.path.with_name(f"{DATABASE}-wal").stat().st_size
        except OSError:
            return 0

    def checkpoint(self) -> None:
        """Move committed pages from the WAL into the database file, as far as readers allow. Raises StorageError."""
        with storage_errors(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def shrink(self, least: float = 0.25) -> None:
        """Give the room of pruned rows back to the file system, if it is at least this share of the database.

        It takes a while, and as much room again. Raises StorageError.
        """
        with storage_errors(self.path):
            pages, free = (
                self._connection.execute(f"PRAGMA {n}").fetchone()[0] for n in ("page_count", "freelist_count")
            )
            if free > pages * least:
                self._connection.execute("VACUUM")

    def close(self) -> None:
        """Checkpoint, close, and give the directory free."""
        with suppress(StorageError):  # the next start finds what waits
            self.sign_rest()
        with suppress(sqlite3.Error):  # the next start reads the WAL
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.abandon()

    def abandon(self) -> None:
        """Let go of everything as a process that dies, except for what SQLite does when a connection is closed."""
        self._connection.close()
        self.head_note.close()
        self._lock.release()

    @property
    def connection(self) -> sqlite3.Connection:
        """The read-write connection, for tests and the simulator, which break it or look behind the store."""
        return self._connection

    # ------------------------------------------------------------------ archives

    def note_archive(self, archive: ArchiveRow) -> None:
        """From here on the archive's rows may be pruned. Raises StorageError."""
        with transaction(self._connection, self.path):
            ARCHIVES.put(self._connection, [archive])

    def forget_archive(self, last: int) -> None:
        """The file that ends with row `last` is gone: its rows that are still in the log stay there, for another
        archive. Raises StorageError."""
        anchor = self.anchor
        with transaction(self._connection, self.path):
            known = read_all(self._connection, ARCHIVES, [], "last = ?", (last,))
            self._connection.execute("DELETE FROM archives WHERE last = ?", (last,))
            pruned = [row for row in known if row.first <= anchor.seq]
            ARCHIVES.put(self._connection, [evolve(row, last=anchor.seq, hash=anchor.hash) for row in pruned])

    def prune(self, upto: int, most: int = BATCH_ROWS) -> Pruned:
        """Remove up to `most` of the log's first rows, none past `upto`; all of them are in an archive.

        Raises StorageError.
        """
        with transaction(self._connection, self.path):
            pruned = prune_batch(self._connection, upto, most)
        self.anchor = pruned.anchor
        return pruned

    # ------------------------------------------------------------------ facts

    def set_meta(self, values: Mapping[str, str], *, remove: Sequence[str] = ()) -> None:
        """Write facts of the node outside a group. Raises StorageError."""
        with transaction(self._connection, self.path):
            write_meta(self._connection, values)
            for key in remove:
                self._connection.execute("DELETE FROM meta WHERE key = ?", (key,))

    def config(self) -> str | None:
        """What is remembered of the configuration of the last start; None for nothing. Raises StorageError."""
        with storage_errors(self.path):
            return read_fact(self._connection, CONFIG)

    def note_config(self, text: str) -> None:
        """Note the configuration of this start. Raises StorageError."""
        self.set_meta({CONFIG: text})

    def note_counters(self, names: Mapping[str, Sequence[str]]) -> None:
        """Note which fields are counters, by entity type; pruning keeps traces of them. Raises StorageError."""
        self.set_meta({COUNTERS: orjson.dumps(names).decode()})

    def note_policies(self, texts: Mapping[str, str], most: int) -> None:
        """Note the configuration that decides what an entity shows, by entity type. Of each type the `most` latest
        are kept, the latest last. Raises StorageError."""
        with storage_errors(self.path):
            found = read_fact(self._connection, POLICIES)
        known = orjson.loads(found) if found is not None else {}
        now = {t: [*(old for old in known.get(t, []) if old != text), text][-most:] for t, text in texts.items()}
        if {**known, **now} != known:
            self.set_meta({POLICIES: orjson.dumps({**known, **now}).decode()})

    # ------------------------------------------------------------------ tokens

    def put_tokens(self, tokens: Sequence[TokenRow]) -> None:
        """Store tokens, or changes of them. Raises StorageError."""
        with transaction(self._connection, self.path):
            TOKENS.put(self._connection, tokens)


def _identity(
    connection: sqlite3.Connection, node_id: str | None, new_id: Callable[[], str], directory: Path
) -> tuple[str, str]:
    """The node's id and the log's epoch, stored or drawn. Raises StorageError for another node's directory."""
    meta = read_meta(connection, [])
    known = meta.get("node_id")
    if node_id is not None and meta.get("id_drawn") == known and "writer" not in meta:
        known = node_id
    if known is not None and node_id is not None and known != node_id:
        raise StorageError(f"{directory} belongs to node {known}, not {node_id}")
    drawn = known is None and node_id is None
    known = known or node_id or f"node-{new_id()[:8]}"
    epoch = meta.get("epoch") or new_id()
    with transaction(connection, directory / DATABASE):
        write_meta(connection, {"node_id": known, "epoch": epoch, **({"id_drawn": known} if drawn else {})})
    return known, epoch


def _keep_private(directory: Path) -> None:
    """Nobody but the node's own user reads the guests and tokens in here. Raises StorageError and OSError."""
    mode = directory.stat().st_mode & 0o7777
    if not mode & 0o077:
        return
    if mode & 0o1002 and not (directory / DATABASE).exists():
        raise StorageError(
            f"{directory} is shared with everybody (mode {mode:04o}): give the node a directory of its own"
        )
    try:
        directory.chmod(0o700)
    except OSError as error:
        logger.warning(
            "%(folder)s is open to others (mode %(mode)04o) and stays so: %(reason)s",
            {"folder": directory, "mode": mode, "reason": error.strerror},
        )
    else:
        logger.warning(
            "%(folder)s was open to others (mode %(mode)04o); it is 0700 from here on",
            {"folder": directory, "mode": mode},
        )


def _keep_files_private(directory: Path) -> None:
    """The database is its user's alone wherever the directory is moved; SQLite gives its other files the same mode.

    Raises StorageError.
    """
    path = directory / DATABASE
    try:
        path.touch(mode=0o600)
        for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
            if file.exists() and file.stat().st_mode & 0o077:
                file.chmod(0o600)
    except OSError as error:
        raise StorageError(reason(path, error)) from error


def _refuse_emptied(directory: Path) -> None:
    """Raise StorageError where a database that had rows is gone: a new one would begin, and all be forgotten."""
    path, noted = directory / DATABASE, read_head_note(directory)
    if (noted.head or noted.token) and (not path.exists() or path.stat().st_size == 0):
        what = "empty" if path.exists() else "gone"
        raise StorageError(
            f"{path} is {what}, and this node had {noted.head} rows: put a backup back "
            f"(`comanda restore --data {directory} BACKUP`), or remove {directory / NOTE_FILE} to begin anew; linked "
            "nodes give back what they hold"
        )


def _keep_copy(connection: sqlite3.Connection, directory: Path, step: str) -> None:
    """Copy a database before its schema goes forward: an older Comanda does not open it afterwards.

    step: the first that it lacks. A copy that an attempt before this one left is taken as it is. Raises StorageError.
    """
    head, _ = read_head(connection, read_anchor(connection))
    copy = directory / BACKUPS / f"before-{step}-{head}.db"
    try:
        copy.parent.mkdir(mode=0o700, exist_ok=True)
        if not copy.exists():
            back_up(directory / DATABASE, copy)
    except (OSError, StorageError) as error:
        told = "the schema goes forward only after a copy, which cannot be made"
        raise StorageError(f"{directory / DATABASE}: {told}: {error}") from error
    logger.warning(
        "the schema goes forward from before %(step)s, and not back; as it was: %(copy)s",
        {"step": step, "copy": copy},
    )
