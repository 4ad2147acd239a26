"""The decision of a start: the writer that was, or a fresh one with everything else that must not come twice."""

from __future__ import annotations

import itertools
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from node.core.ports import Draws
from node.runtime import identity
from node.runtime.identity import fingerprint, take_up
from storage.records import Commit, CursorRow
from storage.sqlite.backup import back_up
from storage.sqlite.database import DATABASE
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def drawn() -> Draws:
    numbers = itertools.count(1)
    return Draws(lambda: f"id-{next(numbers)}", lambda: next(numbers))


def put_back(directory: Path, content: bytes) -> None:
    """In place: neither its name nor its inode tells that the database is an older one."""
    with (directory / DATABASE).open("r+b") as database:
        database.write(content)
        database.truncate()


def start(directory: Path, draws: Draws, wall_ms: int) -> tuple[int, str, int]:
    """Writer, epoch and epoch of the fencing tokens of one start."""
    store = Store.open(directory, "caixa", draws.id)
    boot = store.boot()
    writer = take_up(store, boot, draws, wall_ms)
    found = (writer, store.epoch, int(store.boot().meta.get("lock_epoch", "1")))
    assert int(boot.meta.get("lock_epoch", "1")) == found[2]
    store.close()
    return found


def test_a_database_put_back_forgets_what_terminals_confirmed_and_a_copied_one_does_not(tmp_path: Path) -> None:
    """What a terminal was shown since may not be in a log that went back, and is not told by a position in it."""
    draws, data = drawn(), tmp_path / "data"
    start(data, draws, 1_000_000)
    store = Store.open(data, "caixa", draws.id)
    store.commit(Commit(cursors=[CursorRow("ana", "waiter", None, (5, 4, -1, 3), 1_000_000)]))
    back_up(store.path, tmp_path / "backup")
    store.close()
    shutil.copytree(data, tmp_path / "copied")
    (data / DATABASE).unlink()
    shutil.copyfile(tmp_path / "backup", data / DATABASE)
    for directory, expected in ((tmp_path / "copied", (5, 4, -1, 3)), (data, (-1, -1, -1, -1))):
        store = Store.open(directory, "caixa", draws.id)
        boot = store.boot()
        take_up(store, boot, draws, 1_100_000)
        assert (
            [row.positions for row in boot.cursors] == [row.positions for row in store.boot().cursors] == [expected]
        )
        store.close()


def test_a_database_put_back_that_lacks_nothing_but_a_lock_never_grants_its_token_again(tmp_path: Path) -> None:
    """In place, so that only the note beside it tells."""
    draws, data = drawn(), tmp_path / "data"
    first = start(data, draws, 1_000_000)
    before = (data / DATABASE).read_bytes()
    store = Store.open(data, "caixa", draws.id)
    store.commit(Commit(meta={"lock_counter": "1"}))
    store.close()
    put_back(data, before)
    writer, epoch, tokens = start(data, draws, 1_100_000)
    assert writer != first[0]
    assert epoch != first[1]
    assert tokens > first[2]


def test_a_start_that_dies_half_way_begins_anew_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws, data = drawn(), tmp_path / "data"
    first = start(data, draws, 1_000_000)
    before = (data / DATABASE).read_bytes()
    for step in ("forget_positions", "set_meta", "head note"):
        store = Store.open(data, "caixa", draws.id)
        store.commit(Commit(meta={"lock_counter": "1"}))
        store.close()
        put_back(data, before)
        store = Store.open(data, "caixa", draws.id)
        boot = store.boot()
        with monkeypatch.context() as patch:
            where, name = (store.head_note, "write") if step == "head note" else (store, step)
            patch.setattr(where, name, _dies)
            with pytest.raises(KeyboardInterrupt):
                take_up(store, boot, draws, 1_100_000)
        store.abandon()
        writer, epoch, tokens = start(data, draws, 1_200_000)
        assert writer != first[0]
        assert epoch != first[1]
        assert tokens > first[2]


def test_where_a_copy_looks_like_the_original_each_start_has_a_fresh_writer_and_keeps_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a card whose files have no numbers: what the database remembers of starts does not grow with them."""

    class Unnumbered:
        def stat(self) -> SimpleNamespace:
            return SimpleNamespace(st_dev=7, st_ino=0)

    assert fingerprint(Unnumbered()) == ""  # type: ignore[arg-type]
    monkeypatch.setattr(identity, "fingerprint", lambda _: fingerprint(Unnumbered()))  # type: ignore[arg-type]
    draws, data, kept = drawn(), tmp_path / "data", []
    starts = []
    for number in range(1, 9):
        starts.append(start(data, draws, 1_000_000 * number))
        store = Store.open(data, "caixa", draws.id)
        kept.append(len(store.boot().meta))
        store.close()
    writers, epochs, tokens = zip(*starts, strict=True)
    assert len(set(writers)) == len(set(epochs)) == len(starts)
    assert list(tokens) == sorted(set(tokens))
    assert kept[1:] == [kept[1]] * 7


def _dies(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_database_put_back_twice_never_grants_a_token_again(tmp_path: Path) -> None:
    draws, data = drawn(), tmp_path / "data"
    first = start(data, draws, 1_000_000)
    assert start(data, draws, 1_100_000) == first, "a restart is no new beginning"
    shutil.copyfile(data / DATABASE, tmp_path / "backup")
    found = [first]
    for wall_ms in (1_200_000, 1_300_000):
        (data / DATABASE).rename(tmp_path / f"before-{wall_ms}")
        shutil.copyfile(tmp_path / "backup", data / DATABASE)
        found.append(start(data, draws, wall_ms))
    writers, epochs, tokens = zip(*found, strict=True)
    assert len(set(writers)) == len(set(epochs)) == 3
    assert tokens[0] < tokens[1] < tokens[2]


def test_a_database_from_before_a_restore_is_told_by_its_epoch(tmp_path: Path) -> None:
    """Put back in place, so that neither its inode nor, being of another epoch, its length tells."""
    draws, data = drawn(), tmp_path / "data"
    first = start(data, draws, 1_000_000)
    before = (data / DATABASE).read_bytes()
    shutil.copyfile(data / DATABASE, tmp_path / "backup")
    (data / DATABASE).rename(tmp_path / "aside")
    shutil.copyfile(tmp_path / "backup", data / DATABASE)
    second = start(data, draws, 1_100_000)
    put_back(data, before)
    store = Store.open(data, "caixa", draws.id)
    boot = store.boot()
    fingerprint_of_now = {"fingerprint": fingerprint(data / DATABASE)}
    store.set_meta(fingerprint_of_now)
    boot.meta.update(fingerprint_of_now)
    writer = take_up(store, boot, draws, 1_200_000)
    store.close()
    assert len({first[0], second[0], writer}) == 3
