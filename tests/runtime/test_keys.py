from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from node.runtime import keys
from node.runtime.keys import KEY_FILE, signatures, verify
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_key_is_made_once_and_is_its_owners_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        first = signatures(tmp_path)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert signatures(tmp_path).public == first.public
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_is_on_disk_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, type(tmp_path).replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (steps.append("fsync"), fsync(descriptor))[1])
    monkeypatch.setattr(type(tmp_path), "replace", lambda a, b: (steps.append("replace"), replace(a, b))[1])
    signatures(tmp_path)
    assert steps == ["fsync", "replace", "fsync"]


def test_a_start_that_died_while_it_made_a_key_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(path: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "replace", lambda a, b: dies(a))
        with pytest.raises(StorageError, match="Input/output error"):
            signatures(tmp_path)
    assert not (tmp_path / KEY_FILE).exists()
    signatures(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_key_that_cannot_be_read_is_named_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(StorageError, match=r"node\.key is no Ed25519 key"):
        signatures(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_a_key_that_others_can_read_is_shut(tmp_path: Path) -> None:
    signatures(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    signatures(tmp_path)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_only_the_owner_of_a_key_signs_with_it(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    mine, other = signatures(tmp_path), signatures(tmp_path / "other")
    signature = mine.sign(b"said")
    assert verify(mine.public, b"said", signature)
    assert not verify(mine.public, b"said ", signature)
    assert not verify(other.public, b"said", signature)
    assert not verify(b"no key", b"said", signature)
    assert not verify(mine.public, b"said", b"")


def test_the_same_chance_makes_the_same_key(tmp_path: Path) -> None:
    """What the simulator stands on."""
    (tmp_path / "other").mkdir()
    made = [signatures(path, lambda size: bytes(size)).public for path in (tmp_path, tmp_path / "other")]
    assert made[0] == made[1]
    assert keys.SEED == 32
