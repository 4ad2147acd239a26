"""Archive files: whole, provable, and made so that a break at any point loses nothing."""

from __future__ import annotations

import gzip
import stat
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.hlc import pack
from storage.audit import archive_file
from storage.audit.archive_file import check_archive, read_archive, verify_archives
from storage.audit.archiving import Until, check_unfinished, furthest_behind, last_row, make_archive, unfinished
from storage.audit.chain_walk import verify
from storage.chain import GENESIS
from storage.packed import ArchivedOperation, link_keys, op_keys, pack_operations, unpack_operations
from storage.records import FollowerRow, key64
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.reader import Reader
from tests.storage.rows import entity, fields_of, open_store, row, rows, tamper

if TYPE_CHECKING:
    from pathlib import Path

    from storage.records import ArchiveRow, Commit
    from storage.sqlite.store import Store


WORD = st.integers(-(2**63), 2**63 - 1)


def make(store: Store, reader: Reader, target: Path, last: int) -> ArchiveRow:
    return make_archive(reader, target, last, store.node_id, store.epoch, "2026-01-15T03:00:00.000Z")


def archive(store: Store, target: Path, last: int, batch: int = 7) -> None:
    with closing(Reader(store.path)) as reader:
        made = make(store, reader, target, last)
        store.note_archive(made)
        while store.anchor.seq < last:
            store.prune(last, batch)


def group(first: int, last: int) -> Commit:
    """Rows of ten orders in turn, with the entities' states."""
    commit = rows(first, last)
    for one in commit.rows:
        one.entity_id, one.link_key = f"order-{one.seq % 10}", key64(f"link-{one.seq}")
    names = {one.entity_id: one.seq for one in commit.rows}
    commit.entities = [entity(name, seq=seq) for name, seq in names.items() if name is not None]
    return commit


def fill(store: Store) -> Store:
    for first in (1, 21, 41, 61, 81):
        store.commit(group(first, first + 19))
    return store


@pytest.fixture
def full(store: Store) -> Store:
    return fill(store)


def test_an_archive_holds_every_column_of_every_row(full: Store, reader: Reader, tmp_path: Path) -> None:
    before = {one.seq: one for one in reader.rows(None, 0, 40, 100)}
    archive(full, tmp_path / "a.gz", 40)
    with read_archive(tmp_path / "a.gz") as (header, found):
        assert (header.first, header.last, header.before, header.hash) == (1, 40, GENESIS, before[40].hash)
        assert (header.node_id, header.epoch) == (full.node_id, full.epoch)
        for one in found:
            assert (fields_of(one), one.hash) == (fields_of(before[one.seq]), before[one.seq].hash)
    assert stat.S_IMODE((tmp_path / "a.gz").stat().st_mode) == 0o600
    lines = gzip.decompress((tmp_path / "a.gz").read_bytes()).splitlines()
    assert [len(lines), orjson.loads(lines[0])["columns"][0], orjson.loads(lines[-1])] == [42, "kind", {"rows": 40}]


@given(st.binary(max_size=30), st.text(max_size=8), st.one_of(st.none(), st.text(max_size=4)))
def test_whatever_a_row_holds_is_read_back(blob: bytes, text: str, user: str | None) -> None:
    one = row(1, operation=blob, message=blob, status=text.encode(errors="ignore").decode(), user_id=user)
    one.hash = b"\x00\xff" * 16
    names = [name for name in archive_file.COLUMNS if name != "op_key"]
    values = {n: "\n".join(one.targets) if n == "targets" else getattr(one, n) for n in names}
    written = {
        n: orjson.loads(orjson.dumps(archive_file._written(n, v))) for n, v in values.items() if n != "user_id"
    }
    assert {n: archive_file._read(n, v) for n, v in written.items()} == {n: values[n] for n in written}


def test_the_log_goes_on_from_its_anchor_and_all_of_it_is_provable(
    full: Store, reader: Reader, tmp_path: Path
) -> None:
    archive(full, tmp_path / "a.gz", 30)
    full.commit(group(101, 110))
    archive(full, tmp_path / "b.gz", 70)
    paths = [tmp_path / "b.gz", tmp_path / "a.gz"]
    assert list(verify(reader)) == []
    assert list(verify_archives(paths, reader.anchor())) == []
    assert [(a.first, a.last) for a in reader.archives()] == [(1, 30), (31, 70)]
    assert reader.row_hash(30) == reader.archives()[0].hash
    assert reader.row_hash(12) == b""
    assert reader.row_hash(111) is None


def test_verification_and_archiving_go_on_beside_each_other(store: Store, reader: Reader, tmp_path: Path) -> None:
    store.commit(rows(1, 3_000))
    last = iter((1_500, 2_900))
    told = []

    def archive_more(done: int, head: int) -> None:
        told.append(done)
        upto = next(last, None)
        if upto is not None:
            archive(store, tmp_path / f"{upto}.gz", upto, 500)

    assert list(verify(reader, archive_more)) == []
    assert told[0] == 1_000


def test_a_log_that_is_archived_whole_begins_again_where_it_was(directory: Path, tmp_path: Path) -> None:
    store = fill(open_store(directory))
    head, chain = store.head, store.chain
    archive(store, tmp_path / "a.gz", 100)
    store.close()
    again = open_store(directory)
    assert (again.head, again.chain, again.boot().class_heads) == (head, chain, [100] * 4)
    again.commit(group(101, 105))
    again.close()
    open_store(directory).close()
    with closing(Reader(directory / DATABASE)) as reader:
        assert list(verify(reader)) == []


# ------------------------------------------------------------------ what is found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [*lines[:5], *lines[6:]], "row 5"),
        (lambda lines: [*lines[:5], lines[5].replace(b"applied", b"refused"), *lines[6:]], "row 5"),
        (lambda lines: lines[:-1], "breaks off"),
        (lambda lines: [*lines[:-2], b'{"rows":29}'], "last row"),
        (lambda lines: [lines[0].replace(b'"last":30', b'"last":31'), *lines[1:]], "last row 31"),
        (lambda lines: [b"{}", *lines[1:]], "no archive"),
        (lambda lines: [lines[0], b"[1]", *lines[2:]], "no archive"),
        (lambda lines: [lines[0].replace(b'"comanda_archive":1', b'"comanda_archive":2'), *lines[1:]], "format 2"),
    ],
)
def test_an_edited_archive_is_found(full: Store, tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.gz"
    archive(full, path, 30)
    lines = gzip.decompress(path.read_bytes()).splitlines()
    path.write_bytes(gzip.compress(b"\n".join(change(lines)) + b"\n"))
    with pytest.raises(StorageError, match=said):
        check_archive(path)
    with closing(Reader(full.path)) as reader:
        assert list(verify_archives([path], reader.anchor()))


@pytest.mark.parametrize("size", [0, 1, 20, 400, -1, -9])
def test_an_archive_that_broke_off_is_found(full: Store, tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.gz"
    archive(full, path, 30)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StorageError):
        check_archive(path)


def test_archives_that_do_not_join_are_found(full: Store, reader: Reader, tmp_path: Path) -> None:
    for last in (20, 40, 60):
        archive(full, tmp_path / f"{last}.gz", last)
    one, two, three = (tmp_path / f"{last}.gz" for last in (20, 40, 60))
    anchor = reader.anchor()
    assert list(verify_archives([one, two, three], anchor)) == []
    for paths, seqs in (
        ([two, three], [1]),
        ([one, three], [21]),
        ([one, two], [41]),
        ([one, two, two, three], [21]),
    ):
        assert [finding.seq for finding in verify_archives(paths, anchor)] == seqs


def test_an_archive_of_another_log_is_found(full: Store, reader: Reader, tmp_path: Path) -> None:
    other = open_store(tmp_path / "other", "node-b")
    other.commit(rows(1, 100, terminal_id="pos-9"))
    archive(other, tmp_path / "b.gz", 60)
    other.close()
    archive(full, tmp_path / "a.gz", 60)
    assert [f.seq for f in verify_archives([tmp_path / "b.gz"], reader.anchor())] == [60]


def test_an_edited_anchor_is_found(full: Store, tmp_path: Path) -> None:
    archive(full, tmp_path / "a.gz", 60)
    for statement in (
        "UPDATE meta SET value = '59' WHERE key = 'anchor'",
        f"UPDATE meta SET value = '{GENESIS.hex()}' WHERE key = 'anchor_hash'",
    ):
        tamper(full.path, "CREATE TABLE kept AS SELECT * FROM meta", statement)
        with closing(Reader(full.path)) as reader:
            assert list(verify(reader)) + list(verify_archives([tmp_path / "a.gz"], reader.anchor()))
        tamper(full.path, "DELETE FROM meta", "INSERT INTO meta SELECT * FROM kept", "DROP TABLE kept")


@pytest.mark.parametrize("statement", ["DELETE FROM log WHERE seq = 9", "UPDATE log SET status = 'x' WHERE seq = 9"])
def test_a_log_that_is_not_sound_is_not_archived(full: Store, tmp_path: Path, statement: str) -> None:
    tamper(full.path, statement)
    with pytest.raises(StorageError, match="row 9 does not fit the chain"):
        archive(full, tmp_path / "a.gz", 60)
    assert list(tmp_path.glob("*.gz*")) == []
    assert full.anchor.seq == 0


# ------------------------------------------------------------------ what is archived


def test_rows_before_a_time_are_a_prefix_of_the_log(store: Store, reader: Reader) -> None:
    commit = rows(1, 9)
    for one, ms in zip(commit.rows, (10, 20, 5, 30, 40, 15, 50, 60, 70), strict=True):
        one.accepted = pack(ms)
    store.commit(commit)
    for ms, last in ((10, 0), (11, 1), (30, 3), (31, 4), (50, 6), (1_000, 9)):
        assert last_row(reader, Until(None, pack(ms)), None) == (last, None)


def test_until_is_a_row_or_a_time() -> None:
    assert Until.read("17") == Until(17, None)
    assert Until.read("1970-01-01T00:00:01Z") == Until(None, pack(1_000))
    for text in ("", "yesterday", "-1"):
        with pytest.raises(ValueError, match=r".*"):
            Until.read(text)


def test_who_has_confirmed_least_holds_the_rest_back(store: Store, reader: Reader) -> None:
    store.commit(rows(1, 50))
    followers = [
        FollowerRow("a", store.epoch, (40, 30, 50, 50), 1),
        FollowerRow("b", store.epoch, (50, 50, 50, 50), 1),
    ]
    held = furthest_behind(followers, store.epoch)
    assert held is not None
    assert (held.node_id, held.seq) == ("a", 30)
    assert last_row(reader, Until(45, None), held) == (30, held)
    assert last_row(reader, Until(25, None), held) == (25, None)
    assert last_row(reader, Until(45, None), furthest_behind([], store.epoch)) == (45, None)
    stranger = furthest_behind([FollowerRow("c", "other", (50,) * 4, 1)], store.epoch)
    assert last_row(reader, Until(45, None), stranger) == (0, stranger)


# ------------------------------------------------------------------ broken off


class Cut(Exception):
    """The machine went down here."""


@pytest.mark.parametrize("step", ["write", "sync", "check", "rename", "names", "noted", "pruned"])
def test_whatever_it_is_broken_off_at_the_next_attempt_completes_it(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path, full = tmp_path / "a.gz", fill(open_store(directory))

    def cut(*_: object, **__: object) -> None:
        raise Cut

    with closing(Reader(full.path)) as reader:
        before = {one.seq: one.hash for one in reader.rows(None, 0, 100, 100)}
        with monkeypatch.context() as patch:
            if step == "write":
                patch.setattr(archive_file, "chain_hash", cut)
            elif step == "sync":
                patch.setattr(archive_file.os, "fsync", cut)
            elif step == "check":
                patch.setattr(archive_file, "check_archive", cut)
            elif step == "rename":
                patch.setattr("pathlib.Path.rename", cut)
            elif step == "names":
                patch.setattr(archive_file, "_sync_names", cut)
            with suppress(Cut):
                made = make(full, reader, path, 60)
                if step != "noted":
                    full.note_archive(made)
                    full.prune(60, 25)
        assert full.anchor.seq in (0, 25)
    full.close()
    again = open_store(directory)
    with closing(Reader(again.path)) as reader:
        assert list(verify(reader)) == []
        left = unfinished(reader)
        assert (left is not None) == (step == "pruned")
        if left is None:
            left = make(again, reader, path, 60)
            again.note_archive(left)
        check_unfinished(left)
        while again.anchor.seq < 60:
            again.prune(60)
        with read_archive(path) as (_, found):
            hashes = {one.seq: one.hash for one in found}
        assert hashes | {one.seq: one.hash for one in reader.rows(None, 60, 100, 100)} == before
        assert list(verify(reader)) == []
        assert list(verify_archives([path], reader.anchor())) == []
    again.close()


def test_a_file_that_is_something_else_is_never_replaced(full: Store, reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_text("precious")
    with pytest.raises(StorageError):
        make(full, reader, path, 60)
    assert path.read_text() == "precious"
    archive(full, tmp_path / "b.gz", 20)
    with pytest.raises(StorageError, match="exists already"):
        make(full, reader, tmp_path / "b.gz", 60)


def test_rows_do_not_go_while_their_archive_is_not_there(full: Store, reader: Reader, tmp_path: Path) -> None:
    made = make(full, reader, tmp_path / "a.gz", 60)
    full.note_archive(made)
    full.prune(60, 10)
    (tmp_path / "a.gz").unlink()
    left = unfinished(reader)
    assert left is not None
    with pytest.raises(StorageError):
        check_unfinished(left)
    full.forget_archive(left.last)
    assert unfinished(reader) is None
    archive(full, tmp_path / "b.gz", 60)
    assert list(verify(reader)) == []
    assert [f.seq for f in verify_archives([tmp_path / "b.gz"], reader.anchor())] == [1]


# ------------------------------------------------------------------ what stays


def test_the_keys_of_archived_operations_are_there_at_the_next_start(full: Store, tmp_path: Path) -> None:
    before = full.boot()
    archive(full, tmp_path / "a.gz", 63)
    after = full.boot()
    assert sorted([*after.operation_keys, *after.archived_keys]) == list(before.operation_keys)
    assert len(after.archived_keys) == 63
    assert {t: sorted(k) for t, k in after.link_keys.items()} == {t: sorted(k) for t, k in before.link_keys.items()}
    assert after.entity_keys == before.entity_keys


def test_an_archived_operation_is_found_by_its_entity(full: Store, reader: Reader, tmp_path: Path) -> None:
    archive(full, tmp_path / "a.gz", 60)
    found = reader.fetch((), ("op-7", "op-77", "op-9"), (), (("orders", "order-7"), ("orders", "order-8")))
    assert set(found.operations) == {"op-77"}
    assert set(found.archived) == {"op-7"}
    kept = found.archived["op-7"].operation
    assert (kept.accepted, kept.version) == (2007, 1)


def test_what_lies_in_the_archive_is_read_as_entities_in_the_order_of_their_last_rows(
    full: Store, reader: Reader, tmp_path: Path
) -> None:
    for last in (35, 52):
        archive(full, tmp_path / f"{last}.gz", last)
    assert reader.reached(1, 51, 100, 10) is None
    assert reader.reached(1, 52, 100, 10) is not None
    got, after = [], 30
    while after < 52:
        part = reader.archived.compacted(1, ("orders",), after, 4, None)
        got += [(whole.seq, whole.row.entity_id) for whole in part.wholes]
        assert all(len(unpack_operations(whole.records)) >= 5 for whole in part.wholes)
        after = part.upto
    assert got == [(seq, f"order-{seq % 10}") for seq in range(43, 53)]
    assert not reader.archived.compacted(1, ("orders",), 47, 100, "pos-1").wholes, (
        "its own rows, which it is not sent"
    )
    part = reader.archived.compacted(1, ("orders",), 47, 100, "pos-2")
    assert ([whole.seq for whole in part.wholes], part.upto) == ([48, 49, 50, 51, 52], 52)


def test_entities_of_one_row_are_never_parted(store: Store, reader: Reader, tmp_path: Path) -> None:
    names = tuple(f"p-{number}" for number in range(9))
    updates = orjson.dumps([["orders", name, "AAA=", {}, [1, 0, 1]] for name in names])
    commit = rows(1, 3)
    commit.rows[1].entity_id, commit.rows[1].targets, commit.rows[1].updates = None, names, updates
    commit.entities = [entity(name, seq=2) for name in names] + [entity("order-1"), entity("order-3", seq=3)]
    store.commit(commit)
    archive(store, tmp_path / "a.gz", 3)
    part = reader.archived.compacted(1, ("orders",), 0, 2, None)
    assert [w.row.entity_id for w in part.wholes] == ["order-1", *names]
    assert part.upto == 2
    assert not reader.audit("orders", "p-3", kinds=("operation",))
    assert store.connection.execute("SELECT count(*) FROM log_entities").fetchone() == (0,)


def test_notices_that_a_terminal_has_not_confirmed_are_owed(store: Store, reader: Reader, tmp_path: Path) -> None:
    from tests.storage.rows import cursor

    commit = rows(1, 6)
    for one, targets in zip(
        commit.rows, (("a",), ("a", "b"), ("write:orders",), ("nobody",), ("b",), ("a",)), strict=True
    ):
        one.kind, one.targets, one.message = "notice", targets, b"%d" % one.seq
    commit.cursors = [cursor("a", 1, 1, 1, 1), cursor("b", 6, 6, 6, 6)]
    store.commit(commit)
    archive(store, tmp_path / "a.gz", 6)
    owed = reader.archived.compacted(1, ("orders",), 0, 10, "a").owed
    assert [(o.seq, o.message) for o in owed] == [(2, b"2"), (6, b"6")]
    assert not reader.archived.compacted(1, ("orders",), 0, 10, "b").owed
    assert not reader.archived.compacted(2, ("orders",), 0, 10, "a").owed


def test_room_is_given_back(store: Store, tmp_path: Path) -> None:
    store.commit(rows(1, 2_000, message=b"x" * 2_000))
    store.checkpoint()
    before = (store.directory / DATABASE).stat().st_size
    archive(store, tmp_path / "a.gz", 1_900, 2_000)
    store.shrink()
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert (store.directory / DATABASE).stat().st_size < before / 5
    assert store.boot().head == 2_000


@given(
    st.lists(
        st.builds(
            ArchivedOperation,
            WORD,
            WORD,
            st.integers(0, 2**63 - 1),
            st.integers(0, 2**23 - 1),
            st.integers(1, 2**16 - 1),
            st.integers(0, 2**24 - 1),
        )
    )
)
def test_packed_operations_are_read_back(operations: list[ArchivedOperation]) -> None:
    records = pack_operations(operations)
    assert unpack_operations(records) == operations
    assert list(op_keys(records)) == [one.op_key for one in operations]
    assert list(link_keys(records)) == [one.link_key for one in operations]
