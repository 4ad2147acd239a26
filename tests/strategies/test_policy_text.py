"""A policy as stored text: equal for policies that show the same, and nothing for what cannot be read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.kinds.kind import FieldKind
from strategies.policy import DOCUMENTED, STRATEGIES, EntityPolicy, PolicyError, policy
from strategies.policy_text import policy_of, policy_text
from tests.strategies.rig import of

NAMES = st.text("abc", min_size=1, max_size=2)
RANKS = st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, unique=True).map(tuple)
DECLARED = st.one_of(
    st.builds(FieldKind, st.sampled_from(["register", "counter", "keyed_list"])),
    st.builds(FieldKind, st.just("progress"), RANKS),
    st.builds(FieldKind, st.just("progress"), st.just(("x", "y")), RANKS, st.just(("y",))),
)


@given(
    st.sampled_from(sorted(STRATEGIES)),
    st.dictionaries(NAMES, DECLARED, max_size=3),
    st.lists(st.lists(NAMES, min_size=2, max_size=3), max_size=2),
)
def test_the_policy_of_a_text_has_that_text(strategy: str, fields: dict, groups: list) -> None:
    try:
        declared = policy(
            "orders",
            priority="high",
            requires_lock=True,
            conflict_resolution=strategy,
            fields=fields,
            groups=groups,
        )
    except PolicyError:
        return
    again = policy_of("orders", policy_text(declared))
    assert again is not None
    assert policy_text(again) == policy_text(declared)
    assert again.strategy is declared.strategy
    assert again.kinds.declared == {n: k if k.final else FieldKind(k.kind, k.ranks) for n, k in fields.items()}


def test_policies_that_show_the_same_have_one_text() -> None:
    def text(lower: tuple[str, ...], priority: str, lock: bool, groups: list[list[str]]) -> str:
        fields = {"status": FieldKind("progress", ("a", "b"), lower)}
        return policy_text(
            policy(
                "orders",
                priority=priority,
                requires_lock=lock,
                conflict_resolution="last_write_wins",
                fields=fields,
                groups=groups,
            )
        )

    one = text(("pos",), "high", True, [["a", "b"], ["c", "d"]])
    assert one == text(("kds",), "low", False, [["c", "d"], ["a", "b"]])
    assert one != text(("pos",), "high", True, [["b", "a"], ["c", "d"]])  # another register


def test_policies_that_show_otherwise_have_other_texts() -> None:
    def final(lower: tuple[str, ...], *values: str) -> EntityPolicy:
        kind = FieldKind("progress", ("a", "b"), lower, values)
        return policy(
            "orders",
            priority="high",
            requires_lock=True,
            conflict_resolution="last_write_wins",
            fields={"status": kind},
        )

    # Whose deletions count against a final status is seen in what is shown.
    others = (of(), of("merge_changes"), final(("pos",)), final(("pos",), "b"), final(("kds",), "b"))
    texts = {policy_text(p) for p in (*DOCUMENTED, *others)}
    assert len(texts) == len(DOCUMENTED) + len(others)


GOOD = json.loads(policy_text(of()))


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "[]",
        "7",
        "{}",
        {**GOOD, "strategy": "ours"},
        {**GOOD, "fields": {"a": {"kind": "set", "ranks": []}}},
        {**GOOD, "fields": {"a": {"kind": "counter"}}},
        {**GOOD, "fields": []},
        {**GOOD, "groups": 7},
        {**GOOD, "groups": [["a"]]},
    ],
)
def test_a_text_that_cannot_be_read_is_no_policy(stored: object) -> None:
    assert policy_of("orders", stored if isinstance(stored, str) else json.dumps(stored)) is None


def test_the_text_is_the_stored_format() -> None:
    """It is on disks: another text would make every entity look as if the configuration had changed."""
    assert policy_text(DOCUMENTED[1]) == (
        '{"fields": {"stock": {"kind": "counter", "ranks": []}}, "groups": [], "strategy": "merge_changes"}'
    )
