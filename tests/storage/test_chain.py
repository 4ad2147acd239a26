from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from storage.chain import GENESIS, OUTSIDE, chain_hash
from storage.sqlite.rows import LOG
from tests.storage.rows import row

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)


@given(TEXT, TEXT, TEXT)
def test_text_cannot_move_between_fields_unseen(terminal_id: str, status: str, moved: str) -> None:
    one = chain_hash(GENESIS, row(1, terminal_id=terminal_id + moved, status=status))
    two = chain_hash(GENESIS, row(1, terminal_id=terminal_id, status=moved + status))
    assert (one == two) == (moved == "")


def test_no_user_and_an_empty_user_differ() -> None:
    assert chain_hash(GENESIS, row(1, user_id=None)) != chain_hash(GENESIS, row(1, user_id=""))


def test_the_chain_of_a_known_row_never_changes() -> None:
    """A change here makes every existing log look edited."""
    assert chain_hash(GENESIS, row(1)).hex() == "81cc29ea44d0a0cae70d81cf8e1259742097a1f10c5625dd9e6e74109cd7e4c4"


OTHER = {str: "other", bytes: b"other", int: 99, bool: True, tuple: ("other",), type(None): "other"}


@pytest.mark.parametrize("column", [column for column in LOG.columns if column not in OUTSIDE])
def test_another_value_in_a_column_is_another_hash(column: str) -> None:
    changed = evolve(row(1), **{column: OTHER[type(getattr(row(1), column))]})
    assert chain_hash(GENESIS, row(1)) != chain_hash(GENESIS, changed)


def test_what_follows_from_a_row_is_not_in_its_hash() -> None:
    assert chain_hash(GENESIS, row(1)) == chain_hash(GENESIS, row(1, link_key=5, hash=b"x"))
