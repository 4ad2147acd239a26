"""Places in a log, and claims to hold a log up to there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from node.errors import InvalidMessage
from node.wire.links.positions import (
    MOST_POSITION,
    Claim,
    log_position,
    position_confirmation,
    read_claim,
    read_head,
    read_last_row,
    read_positions,
)
from node.wire.links.states import StateProgress, read_progress

CLAIM = Claim("e-1", (7, -1, 9, 9), 9, b"\x01\x02", True, {1: ("orders", "o-1")})


def test_a_claim_goes_round() -> None:
    message = orjson.loads(position_confirmation(CLAIM))
    assert (message["type"], message["seq"]) == ("sync_confirmation", 0)
    assert read_claim(message) == CLAIM


def test_a_position_goes_round_with_the_progress_of_a_first_synchronisation() -> None:
    progress = StateProgress({1: ("orders", "o-1")}, 5, 9)
    message = orjson.loads(log_position([7, 8, 9, 9], 9, b"\x01", 12, progress))
    assert read_positions(message) == (7, 8, 9, 9)
    assert read_last_row(message) == (9, b"\x01")
    assert read_head(message) == 12
    assert read_progress(message) == progress


@pytest.mark.parametrize("head", [None, "5", True, MOST_POSITION + 1])
def test_a_head_that_is_none_counts_as_0(head: object) -> None:
    assert read_head({"head": head}) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"positions": [1, 2, 3]},
        {"positions": [1, 2, 3, True]},
        {"positions": [1, 2, 3, -2]},
        {"positions": [1, 2, 3, MOST_POSITION + 1]},
        {"mark": -1},
        {"mark": True},
        {"hash": "xyz"},
        {"hash": "ab" * 33},
        {"epoch": "e" * 65},
        {"epoch": 5},
        {"after": {"4": ["orders", "o-1"]}},
        {"after": {"1": ["orders"]}},
    ],
)
def test_a_claim_that_no_node_makes_is_refused(change: dict[str, Any]) -> None:
    message = {**orjson.loads(position_confirmation(CLAIM)), **change}
    with pytest.raises(InvalidMessage):
        read_claim(message)
