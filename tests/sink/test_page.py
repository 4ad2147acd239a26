"""What a row of a log is in the tables: every digit, every character that PostgreSQL can hold, and the right day."""

from __future__ import annotations

import json
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli.exports.days import Days
from node.errors import ConfigError
from node.sink.mapping import Mapping, read_mapping
from node.sink.page import jsonb, number, page_of, word
from storage.records import EntityRow

if TYPE_CHECKING:
    from pathlib import Path


@given(st.text(st.sampled_from('\x00\\u0a"é'), max_size=12))
def test_a_text_loses_only_what_postgresql_has_no_place_for(text: str) -> None:
    for written in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        kept = jsonb(written.encode())
        assert json.loads(kept) == text.replace("\x00", "\ufffd")
        assert "\\u0000" not in kept.replace("\\\\", "")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9))
def test_money_is_what_was_written(amount: Decimal) -> None:
    (read,) = json.loads(f"[{amount}]", parse_float=Decimal)
    assert number(read) == amount


@pytest.mark.parametrize("strange", [None, True, "12", [1], {"a": 1}])
def test_what_is_no_number_is_none(strange: object) -> None:
    assert number(strange) is None


def test_what_is_no_text_is_none_and_a_number_is_one() -> None:
    assert [word(value) for value in ("a", 7, Decimal("7.50"), True, None, [1])] == [
        "a",
        "7",
        "7.50",
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("moment", "zone", "day"),
    [
        ("2026-01-16T05:30:00.000Z", "America/Sao_Paulo", "2026-01-15"),  # 02:30: the evening before
        ("2026-01-16T08:00:00.000Z", "America/Sao_Paulo", "2026-01-16"),
        ("2026-01-16T08:30:00.000Z", "America/Manaus", "2026-01-15"),
        ("2018-11-05T06:30:00.000Z", "America/Sao_Paulo", "2018-11-04"),  # summer time: 04:30
        ("2018-11-05T07:30:00.000Z", "America/Sao_Paulo", "2018-11-05"),
    ],
)
def test_a_business_day_begins_at_an_hour_of_the_store(moment: str, zone: str, day: str) -> None:
    assert Days(ZoneInfo(zone), time(5)).day_of(moment) == date.fromisoformat(day)


def entity(view: object) -> EntityRow:
    return EntityRow("comandas", "7", 1, False, json.dumps(view).encode(), b"", b"", 1)


def test_the_columns_are_filled_as_the_mapping_says(tmp_path: Path) -> None:
    file = tmp_path / "sink.toml"
    file.write_text('[orders]\ntype = "comandas"\ntotal = "valor"\n[order_lines]\nlist = "itens"\nid = "n"\n')
    view = {"valor": 10, "itens": [{"n": 1, "price": 2}, {"n": 1, "price": 3}, {"price": 4}, 5], "payments": {"a": 1}}
    page = page_of("n1", [], [entity(view)], read_mapping(file), lambda moment: date.min)
    assert page.orders[0]["total"] == 10
    assert [(row["line_id"], row["price"]) for row in page.lines] == [("1", 2)]
    assert page.payments == []
    assert page_of("n1", [], [entity(view)], Mapping(), lambda moment: date.min).orders == []


@pytest.mark.parametrize("text", ["[orders]\nsum = 1\n", "[orders]\ntotal = [1]\n", "[[orders", "[cakes]\n"])
def test_a_mapping_that_cannot_be_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sink.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"sink\.toml"):
        read_mapping(file)
