"""Policies: what cannot be declared is named, and the documented types are as documented."""

from __future__ import annotations

from typing import Any

import pytest

from strategies.kinds.kind import FieldKind
from strategies.policy import DOCUMENTED, PRIORITIES, PolicyError, Registry, policy
from tests.strategies.rig import KINDS, of, record


def declare(**words: Any) -> Any:
    given = {"priority": "high", "requires_lock": False, "conflict_resolution": "last_write_wins", **words}
    return policy("orders", **given)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"priority": "urgent"}, "priority 'urgent'"),
        ({"conflict_resolution": "mine"}, "conflict_resolution 'mine'"),
        ({"fields": {"a": FieldKind("set")}}, "field kind 'set' of 'a'"),
        ({"fields": {"a": FieldKind("progress")}}, "needs `ranks`"),
        ({"fields": {"a": FieldKind("progress", ("x", "y", "x"))}}, "each once"),
        ({"fields": {"a": FieldKind("counter", ("x",))}}, "of a progress, not of a counter"),
        ({"fields": {"a": FieldKind("register", ("x",))}}, "of a progress, not of a register"),
        ({"fields": KINDS, "conflict_resolution": "manual_resolution"}, "the whole entity is one value"),
        ({"groups": [["a", "b"]], "conflict_resolution": "manual_resolution"}, "the whole entity is one value"),
        ({"groups": [["a"]]}, "at least two fields"),
        ({"groups": [["a", "b"], ["b", "c"]]}, "each in one group"),
        ({"groups": [["a", "a"]]}, "each in one group"),
        ({"groups": [["a", "b+c"]]}, "no \\+ in its name"),
        ({"groups": [["a", "b"]], "fields": {"b": FieldKind("counter")}}, "'b' of a group is a plain field"),
    ],
)
def test_what_cannot_be_declared_is_named(words: dict[str, Any], problem: str) -> None:
    with pytest.raises(PolicyError, match=f"orders: .*{problem}"):
        declare(**words)


def test_a_group_may_name_a_field_that_is_declared_a_register() -> None:
    assert declare(groups=[["a", "b"]], fields={"a": FieldKind("register")}).kinds.of("a").name == "group"


def test_a_ranked_status_is_ordered_by_its_kind_and_every_other_field_by_the_strategy() -> None:
    siblings = [record(("status",), "paid", 1), record(("status",), "ready", 2)]
    assert of().ordered(("status",), siblings)[0].value == "paid"
    assert of().ordered(("note",), siblings)[0].value == "ready"
    assert of().ordered(("status", "element"), siblings)[0].value == "ready"


def test_the_documented_types_are_known_and_the_configuration_changes_them() -> None:
    registry = Registry([declare(priority="low")])
    assert [p.entity_type for p in registry.all()] == ["orders", "products", "customers", "cashier_operations"]
    orders = registry.get("orders")
    assert orders is not None
    assert orders.priority == "low"
    assert registry.get("shoes") is None
    assert Registry().counters() == {"products": ["stock"]}


def test_each_documented_type_is_in_the_class_of_its_priority() -> None:
    registry = Registry()
    classes = [registry.of_class(number) for number in range(len(PRIORITIES))]
    assert classes == [("cashier_operations",), ("orders",), ("customers", "products"), ()]


def test_a_policy_in_the_documented_words_declares_itself_again() -> None:
    for documented in DOCUMENTED:
        again = policy(**documented.documented(), fields=documented.kinds.declared)  # type: ignore[arg-type]
        assert again == documented
