"""Archiving: how far it goes, and that a break at any point loses nothing."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from crdt.hlc import pack
from storage.audit import archive_file
from storage.audit.archive_file import read_archive, verify_archives
from storage.audit.archiving import Until, check_unfinished, furthest_behind, last_row, unfinished
from storage.audit.chain_walk import verify
from storage.records import FollowerRow
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.reader import Reader
from tests.storage.archives import archive, fill, group, make
from tests.storage.rows import open_store, rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.store import Store


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
                patch.setattr(os, "fsync", cut)
            elif step == "check":
                patch.setattr(archive_file, "check_archive", cut)
            elif step == "rename":
                patch.setattr("pathlib.Path.replace", cut)
            elif step == "names":
                patch.setattr(archive_file, "flush_names", cut)
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
