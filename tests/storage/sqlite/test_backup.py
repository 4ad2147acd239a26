from __future__ import annotations

import shutil
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from storage.audit.chain_walk import verify
from storage.records import Commit
from storage.sqlite.backup import back_up
from storage.sqlite.database import DATABASE, StorageError, transaction
from storage.sqlite.reader import Reader
from tests.storage.rows import entity, open_store, rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.store import Store


def test_a_backup_holds_everything_and_says_what_it_is_a_copy_of(store: Store, tmp_path: Path) -> None:
    store.commit(rows(1, 300))
    store.commit(Commit(entities=[entity("a")]))
    back_up(store.path, tmp_path / "copy.db")
    store.commit(rows(301, 310))
    (tmp_path / "restored").mkdir()
    shutil.copy(tmp_path / "copy.db", tmp_path / "restored" / DATABASE)

    restored = open_store(tmp_path / "restored", None)
    boot = restored.boot()
    restored.close()
    assert boot.meta["restored_from"] == f"{store.epoch}:300"
    assert (boot.node_id, boot.head, len(boot.operation_keys)) == ("node-a", 300, 300)
    reader = Reader(tmp_path / "restored" / DATABASE)
    assert list(verify(reader)) == []
    assert reader.entity("orders", "a") == entity("a")
    reader.close()


def test_a_backup_leaves_the_original_unmarked(store: Store, tmp_path: Path) -> None:
    back_up(store.path, tmp_path / "copy.db")
    assert "restored_from" not in store.boot().meta
    store.commit(rows(1, 1))


def test_a_backup_is_one_file_its_owner_alone_can_read(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "backups" / "copy.db"
    target.parent.mkdir()
    back_up(store.path, target)
    assert [p.name for p in target.parent.iterdir()] == ["copy.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_backup_never_replaces_a_file(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")
    with pytest.raises(StorageError, match="exists already"):
        back_up(store.path, target)
    assert target.read_text() == "precious"


def test_a_backup_into_a_missing_folder_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing"):
        back_up(store.path, tmp_path / "missing" / "copy.db")


def test_a_backup_that_could_not_be_marked_is_not_left_behind(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> int:
        raise OSError(28, "No space left on device")

    target = tmp_path / "backups" / "copy.db"
    target.parent.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr("storage.sqlite.backup._mark", full)
        with pytest.raises(StorageError, match="No space left"):
            back_up(store.path, target)
    assert list(target.parent.iterdir()) == []
    back_up(store.path, target)


def test_what_a_killed_backup_left_does_not_stop_the_next(store: Store, tmp_path: Path) -> None:
    (tmp_path / ".copy.db.partial").write_bytes(b"half")
    back_up(store.path, tmp_path / "copy.db")
    assert not (tmp_path / ".copy.db.partial").exists()


def test_a_backup_waits_for_nobody_and_nobody_for_it(store: Store, tmp_path: Path) -> None:
    store.commit(rows(1, 3))
    with transaction(store.connection, store.path):  # a commit that is under way while the whole copy is made
        store.connection.execute("UPDATE log SET user_id = 'half' WHERE seq = 3")
        assert back_up(store.path, tmp_path / "copy.db") == 3
    with closing(Reader(tmp_path / "copy.db")) as copy:
        assert copy.rows(None, 0, 9, 9)[-1].user_id is None
