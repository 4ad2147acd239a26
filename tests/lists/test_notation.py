"""Numbers, dates and yes or no, as they are written; what is not written so is refused and never guessed."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.lists.notation import BOOLEAN, DATE, JSON, NUMBER, TEXT, TIME, Notation, decimal_of, kind_of, read

if TYPE_CHECKING:
    from decimal import Decimal

COMMA, POINT = Notation(","), Notation(".")


@pytest.mark.parametrize(
    ("text", "notation", "value"),
    [
        ("1.234,56", COMMA, 1234.56),
        ("R$ 1.234,56", COMMA, 1234.56),
        ("-R$ 5,00", COMMA, -5),
        ("R$\xa012,90", COMMA, 12.9),
        ("1.234", COMMA, 1234),
        ("1,234.5", POINT, 1234.5),
        ("1.5", POINT, 1.5),
        ("0012", COMMA, 12),
    ],
)
def test_a_number_is_read_as_it_is_written(text: str, notation: Notation, value: float) -> None:
    assert read(text, NUMBER, notation) == value


@pytest.mark.parametrize(
    "text",
    ["1.5", "12.34,5", "1,2,3", "grátis", "1e3", "NaN", "٣", "5-", "--5", "R$", "+", "1 234", "0,12345678901234567"],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=" / "):
        read(text, NUMBER, COMMA)


@given(st.decimals(-(10**9), 10**9, places=2), st.booleans())
def test_every_amount_is_read_back_from_both_notations(amount: Decimal, brazilian: bool) -> None:
    text = f"{amount:,.2f}"
    if brazilian:
        text = text.translate(str.maketrans(",.", ".,"))
    assert read(text, NUMBER, COMMA if brazilian else POINT) == float(amount)


@given(st.dates(date(1990, 1, 1), date(2068, 12, 31)))
def test_every_day_is_read_in_each_way_of_writing_it(day: date) -> None:
    for text in (f"{day:%d/%m/%Y}", f"{day.day}/{day.month}/{day.year}", f"{day:%d/%m/%y}", day.isoformat()):
        assert read(text, DATE, COMMA) == day.isoformat()


@pytest.mark.parametrize("text", ["31/02/2026", "2026-13-01", "12/31/2026", "ontem", ""])
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=" / "):
        read(text, DATE, COMMA)


def test_a_time_of_the_store_becomes_the_time_of_the_protocol() -> None:
    assert read("15/01/2026 16:30", TIME, COMMA) == "2026-01-15T19:30:00.000Z"
    assert read("2026-01-15T16:30:00Z", TIME, COMMA) == "2026-01-15T16:30:00.000Z"
    assert read("15/01/2019 16:30:05", TIME, COMMA) == "2019-01-15T18:30:05.000Z"  # daylight saving time


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("Preço", ["4,50", "R$ 3,00"], NUMBER),
        ("Preço", ["4,50", "grátis", "sob consulta"], NUMBER),
        ("Tamanho", ["M", "G", "38"], TEXT),
        ("EAN", ["7891000100103", "7891000100110"], TEXT),
        ("CEP", ["01310100", "4"], TEXT),
        ("Ativo", ["S", "N", "s"], BOOLEAN),
        ("Ativo", ["Sim", "Não", "talvez"], TEXT),
        ("Cadastro", ["01/02/2024"] * 4 + ["31/02/2024"], DATE),
        ("Alterado", ["01/02/2024 10:30"], TIME),
        ("Itens", ['[{"id": 1}]'], JSON),
        ("Itens", ["[novo]"], TEXT),
        ("Obs", [], TEXT),
    ],
)
def test_the_kind_of_a_column_is_what_most_of_it_is(name: str, values: list[str], kind: str) -> None:
    assert kind_of(name, values, COMMA) == kind


def test_the_separator_is_the_one_that_most_values_can_only_have() -> None:
    assert decimal_of(["1.234", "4,50", "abc", ""], ".") == (",", False)
    assert decimal_of(["4.50", "1,234.5", "3,2"], ",") == (".", False)
    assert decimal_of(["1234", "10"], ",") == (",", False)


@pytest.mark.parametrize("otherwise", [",", "."])
def test_a_separator_that_no_value_tells_is_a_guess(otherwise: str) -> None:
    assert decimal_of(["1.234", "10"], otherwise) == (otherwise, True)
    assert decimal_of(["4,50", "4.50"], otherwise) == (otherwise, False)  # one of them is refused
