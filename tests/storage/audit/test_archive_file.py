"""Archive files: whole, provable, and made so that a break at any point loses nothing."""

from __future__ import annotations

import gzip
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.audit import archive_file
from storage.audit.archive_file import check_archive, read_archive, verify_archives
from storage.audit.chain_walk import verify
from storage.chain import GENESIS
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from tests.storage.archives import archive
from tests.storage.rows import fields_of, open_store, row, rows, tamper

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.store import Store


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
    written = {n: orjson.loads(orjson.dumps(archive_file.to_json(n, v))) for n, v in values.items() if n != "user_id"}
    assert {n: archive_file.from_json(n, v) for n, v in written.items()} == {n: values[n] for n in written}


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


@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_line_that_unfolds_without_end_is_not_read_into_memory(
    full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """A few kilobytes of gzip are gigabytes of the same letter."""
    path = tmp_path / "a.gz"
    archive(full, path, 30)
    monkeypatch.setattr(archive_file, "LONGEST_LINE", 100_000)
    assert check_archive(path).last == 30
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)[:before]
    path.write_bytes(gzip.compress(b"".join(lines) + b"[" * 100_001))
    with pytest.raises(StorageError, match="more than 100000 bytes"):
        check_archive(path)


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
