"""How history is asked for, and how far it is: round and strictly read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from node.errors import InvalidMessage
from node.wire.links.history import HistoryPosition, position, read_position, read_want, want


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
