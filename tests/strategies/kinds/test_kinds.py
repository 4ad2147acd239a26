"""The table of kinds, and which kind a field or a register is of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.kinds.kind import ABSENT, After, FieldKind
from strategies.kinds.kinds import KINDS, FieldKinds, kind_at
from strategies.paths import COUNTED, DELETED_AT, SETTLEMENT, WHOLE, group_path, may_hold
from tests.strategies.rig import document_of, of, record

POLICY = of()


@pytest.mark.parametrize(
    ("path", "declared", "by_shape"),
    [
        (("name",), "register", "register"),
        (("status",), "progress", "register"),
        (("stock",), "counter", "register"),
        (("items",), "keyed_list", "register"),
        (("total",), "register", "register"),
        (("items", "a"), "keyed_list", "keyed_list"),
        (("status", "a"), "keyed_list", "keyed_list"),  # of an earlier configuration
        (group_path(["total", "discount"]), "group", "group"),
        (WHOLE, "group", "group"),
        (COUNTED, "counter", "counter"),
        ((SETTLEMENT, "op:7"), "counter", "counter"),
        (DELETED_AT, "register", "register"),
    ],
)
def test_a_register_is_of_one_kind(path: tuple[str, ...], declared: str, by_shape: str) -> None:
    assert POLICY.kinds.at(path).name == declared
    assert kind_at(path).name == by_shape


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (("name",), ["name"]),
        (("items", "a"), ["items"]),
        (group_path(["total", "discount"]), ["total", "discount"]),
        ((SETTLEMENT, "op:7"), ["stock"]),
        (COUNTED, []),
        (WHOLE, []),
    ],
)
def test_a_register_shows_in_its_fields(path: tuple[str, ...], names: list[str]) -> None:
    assert list(POLICY.kinds.names(path)) == names
    assert all(may_hold(path, name) for name in names)


def test_only_fields_of_kinds_that_remember_are_asked_of_each_row() -> None:
    assert [name for name, _ in POLICY.kinds.remembering] == ["stock", "items"]
    assert POLICY.kinds.counting == ["stock"]


def test_a_word_that_is_no_kind_cannot_be_declared() -> None:
    with pytest.raises(KeyError):
        FieldKinds({"a": FieldKind("set")})


PATHS = [("a",), ("a", "b"), WHOLE, COUNTED, (SETTLEMENT, "op:7"), group_path(["a", "b"])]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@given(st.sampled_from(sorted(KINDS)), st.sampled_from(PATHS), JSON)
def test_every_kind_answers_for_every_record_whatever_kind_wrote_it(
    word: str, path: tuple[str, ...], value: object
) -> None:
    kind = KINDS[word](FieldKind(word, ("x",) if word == "progress" else ()))
    kind = kind if len(path) == 1 and path != COUNTED else kind_at(path)
    written = record(path, value, 1)
    assert isinstance(kind.side(written), dict)
    said = kind.said(written, "a")
    assert isinstance(kind.restored(written, "a", None), dict)
    assert said is not ABSENT or path != ("a",)
    for before in (None, value, [value]):
        assert kind.removed(written, document_of(), before) is ABSENT or kind.name == "keyed_list"


@pytest.mark.parametrize("word", sorted(KINDS))
def test_a_field_that_nobody_wrote_is_absent(word: str) -> None:
    kind = KINDS[word](FieldKind(word))
    assert kind.name == word
    assert kind.show(document_of(), POLICY, "a") is ABSENT
    after = After(document_of(), POLICY, {}, {}, {})
    remembered = kind.remembered("a", after, None)
    assert remembered == ((None, [None, 0, False]) if word == "counter" else None)
