from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from storage.sqlite.database import DATABASE
from tests.storage.archives import archive
from tests.storage.rows import cursor, rows, steps

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.reader import Reader
    from storage.sqlite.store import Store


def test_notices_that_a_terminal_has_not_confirmed_are_owed(store: Store, reader: Reader, tmp_path: Path) -> None:
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


def test_a_batch_costs_what_it_archives_and_not_what_is_owed_already(store: Store, tmp_path: Path) -> None:
    """A terminal that is never back is owed each notice; a batch passes over those that it is owed from before."""
    commit = rows(1, 1_000, kind="notice", targets=("away",))
    commit.cursors = [cursor("away", 0, 0, 0, 0), *(cursor(f"t-{n}", 1, 1, 1, 1) for n in range(300))]
    store.commit(commit)
    costs = [
        steps(store.connection, partial(archive, store, tmp_path / f"{last}.gz", last, batch=100))
        for last in range(100, 1_001, 100)
    ]
    assert max(costs[1:]) <= 1.5 * costs[1] + 5, costs


def test_room_is_given_back(store: Store, tmp_path: Path) -> None:
    store.commit(rows(1, 2_000, message=b"x" * 2_000))
    store.checkpoint()
    before = (store.directory / DATABASE).stat().st_size
    archive(store, tmp_path / "a.gz", 1_900, 2_000)
    store.shrink()
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert (store.directory / DATABASE).stat().st_size < before / 5
    assert store.boot().head == 2_000
