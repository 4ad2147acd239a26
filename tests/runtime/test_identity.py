"""The decision of a start: the writer that was, or a fresh one with everything else that must not come twice."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

from node.core.start import Draws
from node.runtime.identity import take_up
from storage.database import DATABASE
from storage.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def start(directory: Path, draws: Draws, wall_ms: int) -> tuple[int, str, int]:
    """Writer, epoch and epoch of the fencing tokens of one start."""
    store = Store.open(directory, "caixa", draws.id)
    boot = store.boot()
    writer = take_up(store, boot, draws, wall_ms)
    found = (writer, store.epoch, int(store.boot().meta.get("lock_epoch", "1")))
    assert int(boot.meta.get("lock_epoch", "1")) == found[2]
    store.close()
    return found


def test_a_database_put_back_twice_never_grants_a_token_again(tmp_path: Path) -> None:
    numbers = itertools.count(1)
    draws = Draws(lambda: f"id-{next(numbers)}", lambda: next(numbers))
    data = tmp_path / "data"
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
