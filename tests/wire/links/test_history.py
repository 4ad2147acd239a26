"""How history is asked for, and how far it is: round and strictly read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from node.errors import InvalidMessage
from node.wire.links.history import (
    MOST_SIGNATURES,
    HistoryPosition,
    position,
    proofs,
    read_position,
    read_proofs,
    read_want,
    want,
)
from storage.proofs import HASH, SIGNATURE, Run


def test_a_request_goes_round() -> None:
    assert read_want(orjson.loads(want(3, 9))) == (3, 9)


def test_a_position_goes_round() -> None:
    at = HistoryPosition(3, 9, 12)
    assert read_position(orjson.loads(position(at))) == at


@pytest.mark.parametrize("wrong", [None, -1, True, 1.5, "3", 2**60])
@pytest.mark.parametrize("name", ["after", "upto"])
def test_a_request_for_what_is_no_row_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidMessage):
        read_want({"after": 1, "upto": 2, name: wrong})


@pytest.mark.parametrize("wrong", [None, -1, True, 1.5, "3", 2**60])
@pytest.mark.parametrize("name", ["at", "upto", "held"])
def test_a_position_that_is_no_row_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidMessage):
        read_position({"at": 1, "upto": 2, "held": 3, name: wrong})


def run(commits: int = 2) -> Run:
    return Run("n1", b"b" * HASH, [(bytes([n % 256]) * HASH, b"s" * SIGNATURE) for n in range(commits)])


@pytest.mark.parametrize("runs", [[], [run()], [run(1), run(MOST_SIGNATURES - 1)]])
def test_proofs_go_round(runs: list[Run]) -> None:
    assert read_proofs(orjson.loads(proofs(runs))) == runs


@pytest.mark.parametrize("runs", [[run(MOST_SIGNATURES + 1)], [run(MOST_SIGNATURES), run(1)], [run(1)] * 513])
def test_more_commits_than_a_message_may_have_are_refused(runs: list[Run]) -> None:
    with pytest.raises(InvalidMessage):
        read_proofs(orjson.loads(proofs(runs)))


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("wrong", [None, 1, "", "?", "YQ==", ["YQ=="]])
def test_what_is_no_run_is_refused(place: int, wrong: Any) -> None:
    message = orjson.loads(proofs([run()]))
    message["runs"][0][place] = wrong
    if place == 0 and isinstance(wrong, str):
        read_proofs(message)  # some node's name
        return
    with pytest.raises(InvalidMessage):
        read_proofs(message)


@pytest.mark.parametrize("wrong", [None, {}, [[]], [None], [["n1"]]])
def test_proofs_of_another_shape_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidMessage):
        read_proofs({"runs": wrong})
