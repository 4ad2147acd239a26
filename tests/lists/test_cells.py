"""Cells of a spreadsheet: no foreign text is carried out there, and what is read back is what was written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.lists.cells import FORMULA, guarded, without_guard

PAGE = Path(__file__).parents[2] / "node" / "ui" / "export.js"

texts = st.text(st.sampled_from("'=+-@ \t\r\n\u00a0a1;")) | st.text()


@given(texts)
def test_what_is_read_back_is_what_was_written(text: str) -> None:
    assert without_guard(guarded(text)) == text


@given(texts)
def test_nothing_that_is_written_begins_as_a_formula_does(text: str) -> None:
    written = guarded(text)
    assert not written.lstrip().startswith(("=", "+", "-", "@"))
    assert not written.startswith(("\t", "\r", "\n"))


@pytest.mark.parametrize("text", ["", "Mesa 7", "R$ 5", "d'água", "'aspas'"])
def test_other_texts_are_written_as_they_are(text: str) -> None:
    assert guarded(text) == text


def test_the_page_guards_the_same_cells() -> None:
    found = re.search(r"^const FORMULA = /\^(.*)/;$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    assert found[1] == FORMULA.pattern
