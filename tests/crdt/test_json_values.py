"""When two JSON values are the same: the table, and that the text and the comparison agree."""

from __future__ import annotations

import itertools
import random

import orjson

from crdt.json_values import canonical, equal

KINDS: list[list[str]] = [
    ["null"],
    ["true"],
    ["false"],
    ["0", "0.0", "-0.0", "0e5"],
    ["1", "1.0", "10e-1"],
    ['"1"'],
    ['""'],
    ["[]"],
    ["{}"],
    ["[1]", "[1.0]"],
    ["[true]"],
    ["[[1]]"],
    ["[null]"],
    ['{"a": 1, "b": 2}', '{"b": 2.0, "a": 1}'],
    ['{"a": 1}'],
    ['{"a": true, "b": 2}'],
    ['{"a": null}'],
    ['{"a": 1, "c": 2}'],
    ["1.5", "15e-1"],
    ['"1.5"'],
    ["9007199254740993"],
    ["9007199254740992", "9007199254740992.0"],
    ["9223372036854775807"],
    ["9223372036854775808.0", "9.223372036854775808e18"],
    ["-9223372036854775808", "-9223372036854775808.0"],
    ["1e300"],
    ['"\\u00e9"', '"é"'],
    ['"e\\u0301"'],
]
"""Texts of one value in each line."""

TEXTS = [(number, text) for number, texts in enumerate(KINDS) for text in texts]


def test_two_texts_are_one_value_only_where_the_table_says_so() -> None:
    for one, other in itertools.combinations_with_replacement(TEXTS, 2):
        left, right = orjson.loads(one[1]), orjson.loads(other[1])
        same = one[0] == other[0]
        assert equal(left, right) is equal(right, left) is same, (one, other)
        assert (canonical(left) == canonical(right)) is same, (one, other)


def test_the_text_and_the_comparison_agree() -> None:
    rng = random.Random(1)
    for _ in range(3_000):
        one, other = _value(rng, 2), _value(rng, 2)
        assert equal(one, other) == equal(other, one) == (canonical(one) == canonical(other)), (one, other)
        assert equal(one, orjson.loads(canonical(one)))


def _value(rng: random.Random, depth: int) -> object:
    shape = rng.randrange(6) if depth else 0
    if shape == 4:
        return [_value(rng, depth - 1) for _ in range(rng.randrange(3))]
    if shape == 5:
        return {name: _value(rng, depth - 1) for name in rng.sample("ab", rng.randrange(3))}
    return rng.choice([None, True, False, 0, 1, 0.0, 1.0, -0.0, 0.5, "1", "", 2**53, 2.0**53])
