"""A conflict is a function of the records: its id, its order of candidates and its documented body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.conflict import conflict_id, deletion_conflict, sibling_conflict
from strategies.kinds.kind import FieldKind
from strategies.kinds.kinds import FieldKinds
from strategies.paths import COUNTED, DELETED_AT, WHOLE, group_path
from tests.strategies.rig import document_of, record

DOCUMENT = document_of()
KINDS = FieldKinds({"stock": FieldKind("counter")})


def test_an_id_tells_entity_register_and_operations_apart() -> None:
    ids = {
        conflict_id("orders", "m", ("a",), ["x", "y"]),
        conflict_id("order", "sm", ("a",), ["x", "y"]),
        conflict_id("orders", "m", ("a", "b"), ["x", "y"]),
        conflict_id("orders", "m", ("a",), ["xy"]),
        conflict_id("orders", "m", ("a",), ["x"]),
    }
    assert len(ids) == 5


@given(st.permutations([record(("a",), n, n) for n in range(1, 4)]))
def test_the_id_does_not_depend_on_which_sibling_is_shown(ordered: list) -> None:
    found = sibling_conflict("orders", "m", ("a",), ordered, DOCUMENT, KINDS, type="field_conflict", state="open")
    assert found.operations == ("t1/op1", "t2/op2", "t3/op3")
    assert found.id == conflict_id("orders", "m", ("a",), ["t1/op1", "t2/op2", "t3/op3"])
    assert (found.shown, found.challenger) == (ordered[0], ordered[1])


def test_two_terminals_that_give_one_id_are_two_candidates() -> None:
    found = sibling_conflict(
        "orders",
        "m",
        ("a",),
        [record(("a",), n, n, operation="op-1") for n in (1, 2)],
        DOCUMENT,
        KINDS,
        type="version_conflict",
        state="settled",
    )
    assert (found.operations, found.losers()) == (("t1/op-1", "t2/op-1"), ("t2",))
    assert len(found.candidates) == 2


def test_copies_of_one_operation_are_one_candidate() -> None:
    copies = [record(("a",), 1, n, "t", operation="op") for n in (1, 2)]
    ordered = [copies[0], record(("a",), 2, 3), copies[1]]
    found = sibling_conflict("orders", "m", ("a",), ordered, DOCUMENT, KINDS, type="field_conflict", state="open")
    assert found.candidates == tuple(ordered[:2])


def test_who_wrote_the_shown_value_too_has_not_lost() -> None:
    same, shown, lost = record(("a",), 1, 1), record(("a",), 1, 2), record(("a",), 2, 3)
    found = sibling_conflict(
        "orders", "m", ("a",), [shown, lost, same], DOCUMENT, KINDS, type="version_conflict", state="settled"
    )
    assert found.losers() == ("t3",)
    assert found.authors() == ("t1", "t2", "t3")


@pytest.mark.parametrize("alive", [True, False])
def test_the_side_that_prevails_over_a_deletion_comes_first(alive: bool) -> None:
    deletion, written = record(DELETED_AT, {"at": "x", "saw": []}, 5), record(("a",), 1, 6)
    found = deletion_conflict("orders", "m", [deletion], [written], KINDS, alive=alive, state="open")
    assert found.shown is (written if alive else deletion)
    assert found.losers() == (("t5",) if alive else ("t6",))
    assert found.path == DELETED_AT


@pytest.mark.parametrize(("state", "kind"), [("open", "delete_conflict"), ("settled", "version_conflict")])
def test_a_deletion_that_the_rule_settled_is_no_delete_conflict(state: str, kind: str) -> None:
    deletion, written = record(DELETED_AT, {"at": "x", "saw": []}, 5), record(("a",), 1, 6)
    assert deletion_conflict("orders", "m", [deletion], [written], KINDS, alive=True, state=state).type == kind


@given(st.permutations([record(("a",), 1, 6), record(("b",), 1, 7), record(("c",), 1, 7)]))
def test_the_candidates_of_a_contested_deletion_come_in_one_order(unseen: list) -> None:
    deletion = record(DELETED_AT, {"at": "x", "saw": []}, 5)
    found = deletion_conflict("orders", "m", [deletion], unseen, KINDS, alive=True, state="open")
    assert [r.path for r in found.candidates] == [("b",), DELETED_AT, ("c",), ("a",)]


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        (("name",), "Ana", {"name": "Ana"}),
        (("name",), ["a", 1], {"name": ["a", 1]}),
        (("items", "1"), ["V", {"id": "1"}], {"items": [{"id": "1"}]}),
        (group_path(["total", "discount"]), {"total": 9, "discount": 1}, {"total": 9, "discount": 1}),
        (WHOLE, {"amount": 5}, {"amount": 5}),
        (COUNTED, {"stock": -2}, {"stock": -2}),
        (("stock",), 12, {"stock": 12}),
        (("stock",), [30, "-0.5"], {"stock": 30}),
        (("stock",), [None, 4], {"stock": None}),
        (DELETED_AT, {"at": "2026-01-15", "saw": []}, {"deleted_at": "2026-01-15"}),
        (DELETED_AT, None, {"deleted_at": None}),
    ],
)
def test_a_side_shows_the_fields_of_its_record(path: tuple[str, ...], value: object, shown: dict) -> None:
    one, other = record(path, value, 3), record(path, value, 4)
    found = sibling_conflict(
        "orders", "m", path, [one, other], DOCUMENT, KINDS, type="version_conflict", state="settled"
    )
    assert found.side(one) == {**shown, "version": 1}


def test_the_body_names_every_candidate() -> None:
    ordered = [record(("a",), n, n << 16) for n in (3, 1, 2)]
    body = sibling_conflict(
        "orders", "m", ("a",), ordered, DOCUMENT, KINDS, type="field_conflict", state="open"
    ).body()
    assert body["local_data"] == {"a": 3, "version": 1}
    assert body["remote_data"] == {"a": 1, "version": 1}
    assert [candidate["data"]["a"] for candidate in body["candidates"]] == [3, 1, 2]  # type: ignore[attr-defined]
    assert body["created_at"] == "1970-01-01T00:00:00.003Z"  # when the youngest was accepted
