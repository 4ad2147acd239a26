from __future__ import annotations

import pytest

from storage.records import Commit, key64
from tests.storage.rows import cursor, entity


def test_key64_is_the_same_in_every_process_and_fits_a_sqlite_integer() -> None:
    assert key64("orders", "order-1") == 4114596439871247695
    assert all(-(2**63) <= key64(str(n)) < 2**63 for n in range(1000))


def test_key64_keeps_its_parts_apart() -> None:
    assert key64("ab", "c") != key64("a", "bc")
    assert key64("ab") != key64("a", "b")


@pytest.mark.parametrize("commit", [Commit(), Commit(meta={"hlc": "7"})])
def test_a_commit_of_nothing_but_the_clock_is_empty(commit: Commit) -> None:
    assert commit.empty()


@pytest.mark.parametrize(
    "commit",
    [Commit(entities=[entity("a")]), Commit(cursors=[cursor("t")]), Commit(meta={"hlc": "7", "lock_counter": "1"})],
)
def test_a_commit_of_anything_else_is_not_empty(commit: Commit) -> None:
    assert not commit.empty()
