"""Numbers come through the codec as they were written, or are refused: never changed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.errors import InvalidMessage
from node.wire.codec import decode
from node.wire.messages import ConflictResolution, DataSync, Operation
from tests.limits import LIMITS

NAMED = '"id":"op-1","entity_type":"orders","entity_id":"o","operation":"UPDATE"'
HEAD = f'{{"type":"data_sync","operation":{{{NAMED},"data":'


def read(data: str) -> dict[str, Any]:
    message = decode(f"{HEAD}{data}}}}}", LIMITS)
    assert isinstance(message, DataSync)
    assert isinstance(message.operation, Operation)
    return message.operation.data


def exactly(text: str | bytes) -> Any:
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


SURVIVE = [
    "0",
    "-0",
    "-0.0",
    "0.1",
    "25.50",
    "1e22",
    "1E+2",
    "1.5e-300",
    "5e-324",
    "0e-999",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "0.30000000000000004",
    "1.7976931348623157e308",
    "123456789012345.6",
    "0.10000000000000000000",
    "100000000000000000000000.0",
]
CHANGE = [
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1" * 400 + ".0e-300",
    "0.1234567890123456789",
    "9007199254740993.0",
    "1e-400",
    "-1e-400",
    "1.00000000000000000001",
    "1e-99999999999999999999",
]


@pytest.mark.parametrize("number", SURVIVE)
def test_a_number_that_survives_is_read_and_written_as_itself(number: str) -> None:
    assert exactly(orjson.dumps(read(f'{{"n":{number}}}')))["n"] == Decimal(number)


@pytest.mark.parametrize("number", CHANGE)
def test_a_number_that_would_change_is_refused_at_its_place(number: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        read(f'{{"x":0,"items":[{{"p":1}},{{"p":{number}}}]}}')
    error = caught.value
    assert (error.where, error.operation_id, error.code) == ("$.operation.data.items[1].p", "op-1", 4006)
    assert "send it as a string" in error.reason
    assert len(error.reason) < 150


@pytest.mark.parametrize("number", CHANGE)
def test_the_same_number_in_a_string_passes(number: str) -> None:
    text = f"[1,{number} ,{number}e999]"
    assert read(f'{{"n":1.5,"s":"{text}"}}') == {"n": 1.5, "s": text}


def test_a_resolution_is_held_to_the_same() -> None:
    head = '{"type":"conflict_resolution","conflict_id":"c","resolution":"merge","resolved_data":'
    message = decode(f'{head}{{"n":0.30000000000000004}}}}', LIMITS)
    assert isinstance(message, ConflictResolution)
    assert message.resolved_data == {"n": 0.1 + 0.2}
    with pytest.raises(InvalidMessage) as caught:
        decode(f'{head}{{"n":0.30000000000000000004}}}}', LIMITS)
    assert caught.value.where == "$.resolved_data.n"


def test_a_number_that_a_later_key_replaced_does_not_count() -> None:
    assert read('{"n":0.1234567890123456789,"n":1.5}') == {"n": 1.5}


def test_bytes_and_text_are_held_to_the_same() -> None:
    text = f'{HEAD}{{"n":1e-400}}}}}}'
    for given_as in (text, text.encode()):
        with pytest.raises(InvalidMessage, match="would be rounded"):
            decode(given_as, LIMITS)


digits = st.text("0123456789", min_size=1, max_size=24)
whole = digits.map(lambda d: d.lstrip("0") or "0")
numbers = st.builds(
    lambda sign, w, f, e: sign + w + f + e,
    st.sampled_from(["", "-"]),
    whole,
    st.one_of(st.just(""), digits.map(lambda d: "." + d)),
    st.one_of(
        st.just(""),
        st.builds(
            lambda e, s, n: f"{e}{s}{n}", st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 400)
        ),
    ),
)


@given(st.lists(numbers, min_size=1, max_size=4))
@example(["1", "1e-320"])
@example(["9223372036854775807", "0.5"])
def test_what_is_accepted_is_written_again_numerically_identical(written: list[str]) -> None:
    data = f'{{"n":[{",".join(written)}]}}'
    try:
        accepted = read(data)
    except InvalidMessage:
        return
    again = exactly(orjson.dumps(accepted))["n"]
    assert again == [Decimal(number) for number in written]


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))))
def test_every_64_bit_integer_and_every_double_is_accepted(values: list[float]) -> None:
    assert read(orjson.dumps({"n": values}).decode())["n"] == values
    assert read(json.dumps({"n": values}))["n"] == values
