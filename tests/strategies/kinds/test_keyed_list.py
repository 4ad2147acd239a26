"""Keyed lists: what an author changed of the list it knew, and what of several writes is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.records import FieldRecord
from strategies.kinds.keyed_list import ELEMENTS, KeyedList, keyed
from strategies.kinds.kind import ABSENT, After
from tests.strategies.kinds.rig import Known, Planned
from tests.strategies.rig import document_of, of, record, write

if TYPE_CHECKING:
    from crdt.document import Document

ITEMS = ("items",)


def element(key: str, quantity: int = 1) -> dict[str, object]:
    return {"id": key, "quantity": quantity}


def shown(document: Document) -> object:
    return KeyedList().show(document, of(), "items")


def pizza_and_beer() -> Document:
    """`a` and `b` in a list; op2 put `a`, op3 put `b`."""
    return document_of(
        write(ITEMS, [], 1),
        write(("items", "a"), ["U", element("a")], 2),
        write(("items", "b"), ["V", element("b")], 3),
    )


def planned(value: object, **words: object) -> Planned:
    words.setdefault("document", pizza_and_beer())
    plan = Planned(**words)  # type: ignore[arg-type]
    KeyedList().plan(plan, "items", value)
    return plan


@pytest.mark.parametrize(
    "value", [None, 7, "x", {}, [1], [{}], [{"id": None}], [{"id": 1.5}], [{"id": True}], [{"id": "a"}, {"id": "a"}]]
)
def test_what_has_no_ids_each_once_is_no_keyed_list(value: object) -> None:
    assert keyed(value) is None


def test_a_number_and_its_text_are_two_ids() -> None:
    elements = keyed([{"id": 1}, {"id": "1"}])
    assert elements is not None
    assert len(elements) == 2


def test_a_list_that_is_too_long_is_one_value() -> None:
    assert keyed([{"id": number} for number in range(ELEMENTS)]) is not None
    assert keyed([{"id": number} for number in range(ELEMENTS + 1)]) is None


@given(st.permutations("abcd"))
def test_elements_are_shown_in_their_places_in_whatever_order_they_came(keys: list[str]) -> None:
    places = dict(zip("abcd", "WVVU", strict=True))
    writes = [write(("items", key), [places[key], element(key)], ord(key)) for key in keys]
    assert shown(document_of(write(ITEMS, [], 1), *writes)) == [element(key) for key in "dbca"]


def test_an_empty_list_is_there_and_no_list_is_not() -> None:
    assert shown(document_of(write(ITEMS, [], 1))) == []
    assert shown(document_of()) is ABSENT


def test_elements_are_shown_behind_a_list_without_ids_and_instead_of_what_is_no_list() -> None:
    one = write(("items", "a"), ["U", element("a")], 2)
    assert shown(document_of(write(ITEMS, [7], 1), one)) == [7, element("a")]
    assert shown(document_of(write(ITEMS, "gone", 1), one)) == [element("a")]
    assert shown(document_of(write(ITEMS, "gone", 1))) == "gone"
    assert shown(document_of(one)) == [element("a")]


def test_only_what_an_author_changed_is_written() -> None:
    plan = planned([element("a"), element("b", 2)])
    assert plan.added == {("items", "b"): ["V", element("b", 2)], ("items", "b", "quantity"): [2]}
    assert plan.superseded == ["op1", "op3"]


def test_an_added_element_gets_a_place_behind_those_before_it() -> None:
    plan = planned([element("a"), element("b"), element("c")])
    ((path, (place, added)),) = plan.added.items()  # type: ignore[misc]
    assert (path, added) == (("items", "c"), element("c"))
    assert place > "V"


def test_what_an_author_left_out_is_removed_if_it_knew_it() -> None:
    assert planned([element("b")]).superseded == ["op1", "op2"]
    assert planned([element("b")], unseen=frozenset({"op2"})).superseded == ["op1"]
    assert planned([element("b")], elements=Known(later=frozenset({"a"}))).superseded == ["op1"]


def test_an_element_that_somebody_removed_is_not_put_back_by_a_stale_copy() -> None:
    stale = Known(removed={"c": element("c")})
    assert planned([element("a"), element("b"), element("c")], elements=stale).added == {}
    changed = planned([element("a"), element("b"), element("c", 2)], elements=stale)
    assert list(changed.added) == [("items", "c")]


def test_a_list_that_is_written_afresh_is_written_whole() -> None:
    plan = planned([element("a"), element("b")], afresh=True, elements=Known(removed={"b": element("b")}))
    assert list(plan.added) == [("items", "a"), ("items", "b")]
    again = planned([element("c")], afresh=True, elements=Known(removed={"c": element("c")}))
    assert list(again.added) == [("items", "c")]


def test_a_list_without_ids_is_one_value_and_takes_the_elements_out() -> None:
    plan = planned([1, 2])
    assert plan.registers == {ITEMS: [1, 2]}
    assert plan.added == {}
    assert plan.superseded == ["op1", "op2", "op3"]


def test_equal_elements_at_two_places_are_one_value() -> None:
    here, there = (record(("items", "a"), [place, element("a")], at) for place, at in (("U", 1), ("V", 2)))
    other = record(("items", "a"), ["U", element("a", 2)], 3)
    whole = [KeyedList().compared(record(ITEMS, [place, 1], 1), document_of()) for place in "UV"]
    texts = [KeyedList().compared(one, document_of()) for one in (here, there, other)]
    assert texts[0] == texts[1] != texts[2]
    assert whole[0] != whole[1]


def test_a_resolution_keeps_the_place_of_the_chosen_element() -> None:
    chosen = record(("items", "a"), ["U", element("a")], 1)

    def decided(resolved: dict[str, object]) -> object:
        return KeyedList().decided(Planned(), chosen.path, chosen, resolved)

    assert decided({}) == ["U", element("a")]
    assert decided({"items": [element("b"), element("a", 3)]}) == ["U", element("a", 3)]
    assert decided({"items": [element("b")]}) == ["U", element("a")]
    whole = record(ITEMS, [1], 1)
    assert KeyedList().decided(Planned(), ITEMS, whole, {"items": [2]}) == [2]


@pytest.mark.parametrize(
    ("moves", "first"),
    [((0, 1), "b"), ((1, 0), "a"), ((2, 1), "a"), ((1, 1), "a"), ((2**62, 1), "b"), ((-1, 1), "b"), ((True, 1), "b")],
)
def test_of_two_places_the_one_that_was_moved_more_often_counts(moves: tuple[int, int], first: str) -> None:
    """The line `b` is at V. The later write has `a` before it, the other one behind it."""
    later, earlier = moves
    document = document_of(
        write(ITEMS, [], 1),
        write(("items", "b"), ["V", element("b")], 2),
        write(("items", "a"), ["W", element("a"), {}, earlier], 3),
        write(("items", "a"), ["U", element("a"), {}, later], 4),
    )
    found = shown(document)
    assert isinstance(found, list)
    assert found[0] == element(first)


@pytest.mark.parametrize(
    ("data", "shown", "remembered"),
    [
        ({"items": [{"id": "a"}]}, [{"id": "a"}], (["a"], True)),
        ({"items": [1]}, [1], ([], True)),
        ({"status": "paid"}, [{"id": "a"}], (None, True)),
        ({"status": "paid"}, None, None),
    ],
)
def test_of_a_row_the_keys_that_its_author_wrote_are_remembered(
    data: dict, shown: object, remembered: object
) -> None:
    after = After(document_of(), of(), data, {}, {} if shown is None else {"items": shown})
    assert KeyedList().remembered("items", after, None) == remembered


def test_only_an_element_is_remembered_when_its_record_goes() -> None:
    of_a = record(("items", "a"), ["U", element("a")], 1)
    changed = {**element("a"), "note": "no ice"}
    assert KeyedList().removed(of_a, document_of(), [element("b")]) == element("a")
    assert KeyedList().removed(of_a, document_of(), [element("b"), changed]) == changed
    assert KeyedList().removed(record(ITEMS, [], 1), document_of(), [changed]) is ABSENT


@pytest.mark.parametrize("key", [1, "1", "[1]", "[", '["[1]"]', "", "[1", -1, 2**62, "ação", "@group", "a/b"])
def test_each_key_names_an_element_of_its_own(key: str | int) -> None:
    others = [other for other in (1, "1", "[1]", "[", '["[1]"]', "") if (type(other), other) != (type(key), key)]
    elements = keyed([{"id": other} for other in (key, *others)])
    assert elements is not None
    assert len(elements) == len(others) + 1
    step = next(iter(elements))
    changed = FieldRecord(1, 0, ("items", step, "note"), ["x"], 0, "pos-1", "op", 1, 0, 0)
    assert KeyedList().said(changed, "items") == {"id": key, "note": "x"}
