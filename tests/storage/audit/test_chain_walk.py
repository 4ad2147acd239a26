from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from storage.audit.chain_walk import Part, verify, verify_part
from storage.chain import Finding, chain_hash
from storage.sqlite.reader import Reader
from tests.storage.rows import open_store, rows, tamper

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.store import Store


def found(path: Path) -> list[Finding]:
    reader = Reader(path)
    findings = list(verify(reader))
    reader.close()
    return findings


@pytest.fixture
def path(directory: Path) -> Path:
    """A closed database of twenty rows, in groups."""
    store = open_store(directory)
    for first in (1, 6, 11, 16):
        store.commit(rows(first, first + 4))
    store.close()
    return store.path


def test_an_untouched_log_has_no_findings(path: Path) -> None:
    assert found(path) == []


def test_an_empty_log_has_no_findings(reader: Reader) -> None:
    assert list(verify(reader)) == []


@pytest.mark.parametrize(
    "change",
    [
        "message = CAST('x' AS BLOB)",
        "message = 'edited in the shell'",
        "operation = X''",
        "status = 'lost'",
        "status = X'6c6f7374'",
        "terminal_id = 'pos-2'",
        "user_id = 'ana'",
        "entity_id = NULL",
        "targets = X'61'",
        "stamp = stamp + 1",
        "accepted = 'yesterday'",
        "version = 2.5",
        "echo = 1",
        "monitors = 1",
        "hash = 'text'",
        "hash = zeroblob(32)",
        "hash = 7",
    ],
)
def test_an_edited_row_is_found_and_named(path: Path, change: str) -> None:
    tamper(path, f"UPDATE log SET {change} WHERE seq = 8")
    assert 8 in {finding.seq for finding in found(path)}


def test_an_edit_whose_hash_was_recomputed_is_found_at_the_next_row(path: Path) -> None:
    reader = Reader(path)
    chained = list(reader.chained_rows())
    reader.close()
    (_, _, previous), (_, victim, _) = chained[6], chained[7]
    assert victim is not None
    forged = chain_hash(previous, evolve(victim, status="lost"))
    tamper(path, f"UPDATE log SET status = 'lost', hash = X'{forged.hex()}' WHERE seq = 8")
    assert [finding.seq for finding in found(path)] == [9]


def test_an_edited_last_row_with_its_hash_recomputed_is_found(path: Path) -> None:
    reader = Reader(path)
    chained = list(reader.chained_rows())
    reader.close()
    victim = chained[19][1]
    assert victim is not None
    forged = chain_hash(chained[18][2], evolve(victim, status="lost"))
    tamper(path, f"UPDATE log SET status = 'lost', hash = X'{forged.hex()}' WHERE seq = 20")
    assert [finding.seq for finding in found(path)] == [20]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 4), (7, 7), (7, 12), (19, 19)])
def test_removed_rows_are_found_and_named(path: Path, first: int, last: int) -> None:
    tamper(path, f"DELETE FROM log WHERE seq BETWEEN {first} AND {last}")
    assert found(path) == [Finding(first, f"rows {first} to {last} are missing")]


def test_a_removal_with_the_rest_renumbered_is_found(path: Path) -> None:
    tamper(path, "DELETE FROM log WHERE seq = 7", "UPDATE log SET seq = seq - 1 WHERE seq > 7")
    assert found(path)[0].seq == 7


def test_swapped_rows_are_found_and_named(path: Path) -> None:
    tamper(
        path,
        "UPDATE log SET seq = -1 WHERE seq = 5",
        "UPDATE log SET seq = 5 WHERE seq = 6",
        "UPDATE log SET seq = 6 WHERE seq = -1",
    )
    assert {5, 6} <= {finding.seq for finding in found(path)}


@pytest.mark.parametrize("end", [0, 3, 19])
def test_a_truncated_log_is_found_and_named(path: Path, end: int) -> None:
    tamper(path, f"DELETE FROM log WHERE seq > {end}")
    assert found(path) == [Finding(end + 1, f"the log was cut: it ends at {end}, its head was 20")]


def test_a_row_added_past_the_head_is_found(path: Path) -> None:
    names = (
        "kind,priority,entity_type,entity_id,operation_id,op_key,terminal_id,user_id,targets,monitors,stamp,accepted"
    )
    names += ",version,status,lock_status,echo,operation,message,changes,updates,hash"
    tamper(path, f"INSERT INTO log (seq,{names}) SELECT 21,{names} FROM log WHERE seq = 20")
    assert [finding.seq for finding in found(path)] == [21]


def test_a_cut_stays_on_record_when_the_node_starts_and_writes_over_it(directory: Path, path: Path) -> None:
    tamper(path, "DELETE FROM log WHERE seq > 15")
    store = open_store(directory)
    store.commit(rows(16, 25))
    store.close()
    open_store(directory).close()
    assert found(path) == [Finding(16, "the log was cut before a start: it ended at 15, its head was 20")]


def test_two_cuts_are_both_on_record(directory: Path, path: Path) -> None:
    for end in (15, 9):
        tamper(path, f"DELETE FROM log WHERE seq > {end}")
        open_store(directory).close()
    assert [finding.seq for finding in found(path)] == [16, 10]


def test_a_replaced_last_row_stays_on_record_when_the_node_starts(directory: Path, path: Path) -> None:
    tamper(path, "UPDATE log SET hash = zeroblob(32) WHERE seq = 20")
    store = open_store(directory)
    store.commit(rows(21, 22))
    store.close()
    assert Finding(20, "the last row 20 was replaced before a start") in found(path)


def test_a_clean_restart_puts_nothing_on_record(directory: Path, path: Path) -> None:
    for first in (21, 22, 23):
        store = open_store(directory)
        store.commit(rows(first, first))
        store.close()
    assert found(path) == []


def test_commits_during_a_verification_are_no_finding(store: Store, reader: Reader) -> None:
    store.commit(rows(1, 1500))

    def commit_more(done: int, head: int) -> None:
        store.commit(rows(store.head + 1, store.head + 700))

    assert list(verify(reader, commit_more)) == []
    assert store.head > 1500


def test_progress_tells_rows_done_and_the_head(store: Store, reader: Reader) -> None:
    store.commit(rows(1, 2500))
    told: list[tuple[int, int]] = []
    assert list(verify(reader, lambda done, head: told.append((done, head)))) == []
    assert told == [(1000, 2500), (2000, 2500)]


# ------------------------------------------------------------------ in parts


def parts(path: Path, most: int) -> list[Part]:
    """Every part of a walk, until it is through or finds something."""
    reader = Reader(path)
    found = [verify_part(reader, None, most)]
    while not found[-1].whole and found[-1].wrong is None:
        found.append(verify_part(reader, found[-1].upto, most))
        assert len(found) < 100
    reader.close()
    return found


@pytest.mark.parametrize("most", [1, 3, 5, 19, 20, 21, 100])
def test_a_walk_in_parts_finds_what_a_whole_walk_finds_first(path: Path, most: int) -> None:
    walked = parts(path, most)
    assert walked[-1].whole
    assert walked[-1].upto is not None
    assert walked[-1].upto.seq == 20
    tamper(path, "UPDATE log SET status = 'lost' WHERE seq = 13")
    walked = parts(path, most)
    assert walked[-1].wrong == found(path)[0]
    assert walked[-1].upto is None or walked[-1].upto.seq < 13
    assert len(walked) >= 13 // most


def test_a_walk_goes_on_from_its_place_with_what_was_written_since(directory: Path) -> None:
    store = open_store(directory)
    store.commit(rows(1, 5))
    with closing(Reader(store.path)) as reader:
        first = verify_part(reader, None, 100)
        store.commit(rows(6, 9))
        seen = list(reader.chained_rows(first.upto.seq)) if first.upto else []
        second = verify_part(reader, first.upto, len(seen))
    store.close()
    assert [row[0] for row in seen] == [6, 7, 8, 9]
    assert second.whole
    assert second.upto is not None
    assert second.upto.seq == 9
