"""Why a token was refused, over values; and what is remembered and said of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from node.runtime.api.refusals import AGAIN_MS, MOST, Refusals, why_refused
from storage.records import TokenRow

if TYPE_CHECKING:
    from collections.abc import Mapping

AT = "2026-06-01T00:00:00.000Z"
ROW = TokenRow("hash", "till", "node", "", "2026-01-01T00:00:00.000Z", None, "{}", None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"revoked_at": "2026-02-01T00:00:00.000Z", "terminal_id": "hub"}, "revoked token"),
        ({"expires_at": AT}, "expired token"),
        ({"expires_at": "2026-07-01T00:00:00.000Z"}, None),
        ({"terminal_id": "hub", "terminal_type": "pos"}, "another's token"),
        ({"terminal_type": "pos"}, "token of another type"),
    ],
)
def test_what_is_wrong_with_a_token(changes: Mapping[str, str], why: str | None) -> None:
    assert why_refused(evolve(ROW, **changes), "till", "node", AT, shown=True) == why


def test_no_token_is_not_a_wrong_one() -> None:
    assert why_refused(None, "till", "node", AT, shown=False) == "no token"
    assert why_refused(None, "till", "node", AT, shown=True) == "wrong token"


def test_a_refusal_that_goes_on_is_one_line_and_is_over_when_somebody_is_let_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusals = Refusals()
    with caplog.at_level(logging.WARNING):
        for why in ("no token", "no token", "wrong token"):
            refusals.note("till", why, "10.0.0.7", 0, said=True)
        refusals.note("stranger", "no token", "10.0.0.8", 0, said=False)
    assert caplog.messages == [f"till from 10.0.0.7 is refused: {why}" for why in ("no token", "wrong token")]
    assert (refusals.latest["till"]["count"], list(refusals.latest)) == (1, ["till", "stranger"])
    refusals.came("till")
    assert list(refusals.latest) == ["stranger"]


def test_strangers_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Who alternates between reasons, or makes the name be forgotten, has each said once a minute."""
    refusals = Refusals()
    for now_ms in range(0, 2 * AGAIN_MS, 100):
        for why in ("no token", "wrong token"):
            refusals.note("till", why, "10.0.0.7", now_ms, said=True)
        for number in range(MOST if now_ms % 10_000 == 0 else 0):
            refusals.note(f"n{number}", "no token", "a", now_ms, said=False)
    assert len(caplog.messages) == 4


def test_strangers_fill_no_memory() -> None:
    refusals = Refusals()
    for number in range(3 * MOST):
        refusals.note(f"n{number}", "no token", "a", 0, said=False)
    assert len(refusals.latest) == MOST
