"""A whole entity is taken as the answer to a question, also when it comes after another comparison has begun."""

from __future__ import annotations

import pytest

from node.core.digests import bucket_of, part_of
from node.core.links.asked import Asked
from node.wire.links.states import RemoteState
from storage.packed import ArchivedOperation, pack_operations
from strategies.policy import Registry

KEY = 448_781_786_325_680_695
STATE = RemoteState(("customers", "ana"), b"", b"", pack_operations([ArchivedOperation(1, KEY, 2, 3, 1, 1)]))


def taken(asked: Asked) -> bool:
    """Whether the entity may come, with the operation that it was asked for by."""
    found = asked.takes(STATE, (0, 0, 0, 0), Registry())
    assert found in (None, {KEY})
    return found is not None


def missing(asked: Asked) -> None:
    asked.keys.add(KEY)


def damaged(asked: Asked) -> None:
    asked.again = frozenset([KEY])


def bucket(asked: Asked) -> None:
    asked.told("customers", [bucket_of(KEY)])


def part(asked: Asked) -> None:
    asked.told("customers", [part_of(KEY)])


@pytest.mark.parametrize("ask", [missing, damaged, bucket, part])
@pytest.mark.parametrize("later", [0, 1])
def test_an_answer_is_taken_though_the_next_comparison_has_begun(ask: object, later: int) -> None:
    asked = Asked()
    assert not taken(asked)
    ask(asked)  # type: ignore[operator]
    for _ in range(later):
        asked.compares()
    assert taken(asked)


def test_what_came_damaged_is_taken_until_something_else_is_asked_for_instead() -> None:
    asked = Asked()
    damaged(asked)
    for _ in range(5):
        asked.compares()
    assert taken(asked)
    asked.again = frozenset()
    assert not taken(asked)


def test_what_was_asked_for_two_comparisons_ago_is_asked_for_anew() -> None:
    asked = Asked()
    missing(asked)
    bucket(asked)
    asked.compares()
    asked.compares()
    assert not taken(asked)
