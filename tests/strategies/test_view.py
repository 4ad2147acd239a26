"""What an entity shows: step by step as from nothing, and alive as long as its strategy says."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.document import Document
from crdt.engine import DEFAULT
from crdt.records import name_of
from strategies.paths import COUNTED, DELETED_AT, SETTLEMENT, WHOLE, group_path
from strategies.policy import STRATEGIES
from strategies.view import View, view_of
from tests.strategies.rig import document_of, of, write

STRANGE = [
    WHOLE,
    ("",),
    ("version",),
    ("deleted_at", "x"),
    ("name", "k"),
    ("stock", "k"),
    ("status", "k"),
    ("total", "k"),
    ("items", ""),
    ("", ""),
    group_path(["total", "x"]),
    group_path(["status", ""]),
    group_path(["one"]),
    (SETTLEMENT, ""),
]
"""Registers that no kind writes so, but that records of another configuration, or of a strange node, may have."""

COUNTERS = ["stock", "name", "items", "total", "deleted_at", "@counted", ""]

PATHS = [
    ("name",),
    ("total",),
    ("status",),
    ("stock",),
    ("items",),
    ("items", "1"),
    ("items", "2"),
    group_path(["total", "discount"]),
    group_path(["name", "stock", "items"]),  # of an earlier configuration
    COUNTED,
    (SETTLEMENT, "op:1"),
    DELETED_AT,
]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2) | st.floats(allow_nan=False, width=16),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "total", "x"]), inner),
    max_leaves=5,
)


def value_at(rng: random.Random, path: tuple[str, ...], operations: list[str]) -> object:
    match path:
        case ("@group", names):
            return {name: rng.randrange(2) for name in rng.sample(names.split("+"), rng.randrange(1, 3))}
        case ("@settled", _) | ("@counted",):
            return {"stock": rng.randrange(-2, 3)}
        case ("deleted_at",):
            return {"at": f"t{rng.randrange(3)}", "saw": rng.sample(operations, len(operations) // 2)}
        case ("items", key):
            return [rng.choice("UVW"), {"id": key, "n": rng.randrange(2)}]
        case ("items",):
            return rng.choice([[], [1]])
        case ("status",):
            return rng.choice(["pending", "ready", "paid", "?"])
    return rng.randrange(3)


@given(st.integers(0, 2**32), st.sampled_from(sorted(set(STRATEGIES) - {"manual_resolution"})))
def test_a_view_that_follows_the_writes_is_the_view_from_nothing(seed: int, strategy: str) -> None:
    rng = random.Random(seed)
    document = Document.load(None, writer=1, engine=DEFAULT)
    view = View("orders", "m", of(strategy))
    operations: list[str] = []
    for number in range(1, rng.randrange(2, 14)):
        fields = [
            write(
                path,
                value_at(rng, path, operations),
                rng.randrange(3),
                f"t{rng.randrange(3)}",
                operation=f"o{number}",
            )
            for path in rng.sample(PATHS, rng.randrange(1, 4))
        ]
        live = list(document.records())
        supersede = rng.sample(live, rng.randrange(len(live) + 1) // 2)
        counts = {"stock": Decimal(rng.randrange(-3, 4))} if rng.random() < 0.3 else {}
        document.edit(supersede=supersede, fields=fields, counts=counts)
        operations += {name_of(new.terminal, new.operation) for new in fields}
        touched = [*(r.path for r in supersede), *(new.path for new in fields), *((name,) for name in counts)]
        view.refresh(document, rng.sample(touched, len(touched)))
        fresh = view_of("orders", "m", of(strategy), document)
        assert (view.alive, view.deleted_at, view.fields) == (fresh.alive, fresh.deleted_at, fresh.fields)
        assert view.conflicts == fresh.conflicts


@given(st.data(), st.sampled_from(sorted(STRATEGIES)))
def test_a_view_that_follows_any_records_at_all_is_the_view_from_nothing(data: st.DataObject, strategy: str) -> None:
    document = Document.load(None, writer=1, engine="pycrdt")
    view = View("orders", "m", of(strategy))
    for number in range(1, data.draw(st.integers(2, 6))):
        paths = data.draw(st.lists(st.sampled_from([*PATHS, *STRANGE]), min_size=1, max_size=4, unique=True))
        values = [
            data.draw(st.dictionaries(st.sampled_from(["name", "x"]), ANY)) if p == WHOLE else data.draw(ANY)
            for p in paths
        ]
        fields = [write(p, v, number, f"t{number % 3}") for p, v in zip(paths, values, strict=True)]
        supersede = [r for r in document.records() if data.draw(st.booleans())]
        names = data.draw(st.lists(st.sampled_from(COUNTERS), max_size=2, unique=True))
        document.edit(supersede=supersede, fields=fields, counts=dict.fromkeys(names, Decimal(number)))
        touched = [*(r.path for r in supersede), *paths, *((name,) for name in names)]
        view.refresh(document, data.draw(st.permutations(touched)))
        fresh = view_of("orders", "m", of(strategy), document)
        assert (view.alive, view.deleted_at, view.fields) == (fresh.alive, fresh.deleted_at, fresh.fields)
        assert view.conflicts == fresh.conflicts


def test_nobody_has_written_an_entity_without_a_header() -> None:
    view = view_of("orders", "m", of(), Document.load(None, writer=1, engine=DEFAULT))
    assert (view.alive, view.fields, view.conflicts) == (False, {}, {})


def test_a_field_is_shown_as_its_strategy_orders_its_siblings() -> None:
    document = document_of(write(("name",), "first", 1), write(("name",), "latest", 2))
    latest = view_of("orders", "m", of(), document)
    assert latest.fields == {"name": "latest"}
    assert latest.conflicts["name",].state == "settled"
    first = view_of("orders", "m", of("merge_non_conflicting"), document)
    assert first.fields == {"name": "first"}
    assert first.conflicts["name",].state == "open"


def test_two_writers_of_different_fields_have_no_conflict() -> None:
    view = view_of("orders", "m", of(), document_of(write(("a",), 1, 1), write(("b",), 2, 2)))
    assert (view.fields, view.conflicts) == ({"a": 1, "b": 2}, {})


def test_the_whole_entity_is_one_value_under_manual_resolution() -> None:
    document = document_of(write(WHOLE, {"a": 1, "b": 1}, 1), write(WHOLE, {"a": 2}, 2))
    view = view_of("orders", "m", of("manual_resolution"), document)
    assert view.fields == {"a": 1, "b": 1}
    assert view.frozen_by() is view.conflicts[WHOLE]


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"manual_resolution"}))
def test_only_manual_resolution_freezes_an_entity(strategy: str) -> None:
    view = view_of("orders", "m", of(strategy), document_of(write(("a",), 1, 1), write(("a",), 2, 2)))
    assert view.conflicts
    assert view.frozen_by() is None


@pytest.mark.parametrize(
    ("strategy", "at", "alive", "conflict"),
    [
        ("last_write_wins", 1, False, "version_conflict"),
        ("last_write_wins", 9, True, "version_conflict"),
        ("merge_changes", 1, True, "version_conflict"),
        ("merge_non_conflicting", 1, True, "delete_conflict"),
    ],
)
def test_a_contested_deletion_counts_as_the_strategy_says(strategy: str, at: int, alive: bool, conflict: str) -> None:
    document = document_of(write(("a",), 1, at), write(DELETED_AT, {"at": "noon", "saw": []}, 5))
    view = view_of("orders", "m", of(strategy), document)
    assert (view.alive, view.conflicts[DELETED_AT].type) == (alive, conflict)
    assert view.deleted_at == "noon"
    assert view.fields == {"a": 1}  # kept, for whoever is told of the deletion or of the conflict


@pytest.mark.parametrize("saw", [(["t1/op1"], []), ([], ["t1/op1"])])
def test_a_write_that_one_of_two_deletions_had_seen_is_not_contested(saw: tuple[list[str], list[str]]) -> None:
    deletions = [write(DELETED_AT, {"at": "x", "saw": seen}, at) for seen, at in zip(saw, (5, 6), strict=True)]
    view = view_of("orders", "m", of("merge_changes"), document_of(write(("a",), 1, 1), *deletions))
    assert (view.alive, view.conflicts) == (False, {})


def test_the_latest_deletion_says_when() -> None:
    deletions = [write(DELETED_AT, {"at": at, "saw": ["t1/op1"]}, stamp) for at, stamp in (("late", 8), ("early", 7))]
    view = view_of("orders", "m", of(), document_of(write(("a",), 1, 1), *deletions))
    assert view.deleted_at == "late"
