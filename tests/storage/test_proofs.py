from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from storage.proofs import (
    FIRST,
    HASH,
    HEAD,
    MOST_STEPS,
    SIGNATURE,
    STEP,
    BadProof,
    leaf_hash,
    prove,
    runs_of,
    statement_of,
)
from tests.storage.rows import row

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.records import LogRow

CARRIED = {
    "operation": b"{}",
    "updates": b"[1]",
    "stamp": 1,
    "accepted": 1,
    "origin": "node-z",
    "terminal_id": "pos-9",
    "user_id": "somebody",
    "lock_status": "held",
}
"""What links carry of a row, each otherwise than in the rows below."""


def own(seq: int) -> LogRow:
    return row(seq, link_key=seq, origin="node-a", updates=b"[]")


def leaf(one: LogRow) -> bytes:
    return leaf_hash(**{name: getattr(one, name) for name in CARRIED})


def give(rows: list[LogRow], sign: Callable[[bytes], bytes], before: bytes = FIRST) -> bytes:
    """Sign rows together."""
    proofs, after = prove(list(map(leaf, rows)), sign, before)
    for one, proof in zip(rows, proofs, strict=True):
        one.proof = proof
    return after


def proven(count: int) -> tuple[list[LogRow], bytes]:
    """Rows of one commit with their proofs, and the statement that was signed."""
    said: list[bytes] = []

    def sign(statement: bytes) -> bytes:
        said.append(statement)
        return b"s" * SIGNATURE

    rows = [own(seq) for seq in range(1, count + 1)]
    give(rows, sign)
    (statement,) = said
    return rows, statement


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 31, 100])
def test_every_operation_of_a_commit_is_proven_alone_by_the_one_signature(count: int) -> None:
    rows, statement = proven(count)
    assert all(statement_of(leaf(one), one.proof) == (statement, b"s" * SIGNATURE) for one in rows)
    assert max(len(one.proof) for one in rows) <= HEAD + STEP * (count - 1).bit_length()


@pytest.mark.parametrize("count", range(1, 10))
def test_no_other_content_and_no_other_proof_leads_to_what_was_signed(count: int) -> None:
    rows, statement = proven(count)
    for one in rows:
        for name, value in CARRIED.items():
            changed = evolve(one, **{name: value})  # type: ignore[arg-type]
            assert statement_of(leaf(changed), one.proof)[0] != statement, name
        for other in rows:
            assert (statement_of(leaf(one), other.proof)[0] == statement) == (other is one)
        for place in range(SIGNATURE, len(one.proof)):
            flipped = bytearray(one.proof)
            flipped[place] ^= 1
            assert statement_of(leaf(one), bytes(flipped))[0] != statement


@given(st.text(max_size=4), st.text(max_size=4), st.text(min_size=1, max_size=4))
def test_text_cannot_move_between_parts_unseen(left: str, right: str, moved: str) -> None:
    one = evolve(own(1), origin=left + moved, terminal_id=right)
    assert leaf(one) != leaf(evolve(own(1), origin=left, terminal_id=moved + right))


def test_a_node_of_the_tree_is_no_operation() -> None:
    """Else two operations could be passed off as one whose content is their hashes."""
    (one, two), statement = proven(2)
    assert statement_of(leaf(one) + leaf(two), one.proof[:HEAD])[0] != statement


@pytest.mark.parametrize("length", [0, 1, SIGNATURE, HEAD - 1, HEAD + 1, HEAD + HASH, HEAD + STEP + 1])
def test_bytes_of_another_length_are_no_proof(length: int) -> None:
    with pytest.raises(BadProof):
        statement_of(bytes(HASH), bytes(length))


def test_the_longest_way_is_bounded() -> None:
    with pytest.raises(BadProof):
        statement_of(bytes(HASH), bytes(HEAD + STEP * (MOST_STEPS + 1)))


def commits(sizes: list[int], origin: str = "node-a") -> tuple[list[list[LogRow]], list[tuple[bytes, bytes]]]:
    """Commits of so many operations that follow each other, and of each what was signed and the signature."""
    said: list[tuple[bytes, bytes]] = []

    def sign(statement: bytes) -> bytes:
        said.append((statement, b"%064d" % len(said)))
        return said[-1][1]

    groups, before = [], FIRST
    for size in sizes:
        groups.append([evolve(own(sum(len(rows) for rows in groups) + n + 1), origin=origin) for n in range(size)])
        before = give(groups[-1], sign, before)
    return groups, said


def test_one_signature_proves_all_commits_that_follow_each_other() -> None:
    groups, said = commits([1, 3, 1, 2])
    (run,) = runs_of(row for rows in groups for row in rows)
    assert run.statements() == said
    for rows, commit in zip(groups, said, strict=True):
        assert all(statement_of(leaf(one), one.proof) == commit for one in rows)


def test_a_run_ends_where_a_commit_is_missing_and_nodes_have_runs_of_their_own() -> None:
    ours, said = commits([1] * 6)
    theirs, also = commits([1] * 4, "node-b")
    rows = [one for pair in zip(ours, [*theirs, [], []], strict=True) for group in pair for one in group]
    del rows[4]  # the third of ours
    runs = runs_of(rows)
    assert [(run.origin, run.statements()) for run in runs] == [
        ("node-a", said[:2]),
        ("node-b", also),
        ("node-a", said[3:]),
    ]


@given(st.integers(0, 3), st.integers(0, HASH + SIGNATURE - 1))
def test_a_run_with_another_tree_or_signature_ends_otherwise(number: int, place: int) -> None:
    """A signature too: whoever takes the operation passes it on to nodes that check it alone."""
    groups, said = commits([1, 1, 1, 1])
    (run,) = runs_of(row for rows in groups for row in rows)
    commit = bytearray(b"".join(run.signed[number]))
    commit[place] ^= 1
    run.signed[number] = bytes(commit[:HASH]), bytes(commit[HASH:])
    assert run.statements()[-1] != said[-1]


def test_operations_without_a_proof_and_with_a_broken_one_are_in_no_run() -> None:
    groups, _ = commits([1, 1, 1])
    groups[0][0].proof, groups[1][0].proof = b"", b"short"
    assert runs_of(row for rows in groups for row in rows) == []
