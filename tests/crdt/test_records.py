"""Which records a document takes: the shapes that nodes of this project write, and no others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.records import INTERNAL, INTERNAL_STEPS, DocumentError, FieldRecord, parse_record
from strategies.kinds.kinds import FieldKinds, kind_at
from strategies.paths import COUNTED, GROUP, SETTLEMENT, group_path


def record(path: Any) -> FieldRecord:
    text = json.dumps(["f", path, {"a": 1}, 1, "pos-1", "op-1", 1, 1, 1])
    found = parse_record(7, 0, text)
    assert isinstance(found, FieldRecord)
    return found


def test_every_internal_register_is_known_with_its_length() -> None:
    assert {COUNTED[0]: 1, GROUP: len(group_path(["a", "b"])), SETTLEMENT: 2} == INTERNAL_STEPS


@pytest.mark.parametrize(
    "path", [[], ["status"], ["items", "i-1"], list(COUNTED), [GROUP, "a+b"], [SETTLEMENT, "op:1"]]
)
def test_a_path_that_nodes_write_is_taken(path: list[str]) -> None:
    assert record(path).path == tuple(path)


@given(
    st.lists(
        st.one_of(st.sampled_from([*INTERNAL_STEPS, INTERNAL, "@x", "status", ""]), st.text(max_size=3)), max_size=4
    )
)
def test_of_any_path_what_is_taken_has_a_kind_that_can_name_its_fields(path: list[str]) -> None:
    try:
        found = record(path)
    except DocumentError:
        return
    kind = kind_at(found.path)
    if found.path and found.path != COUNTED and found.path[0] != SETTLEMENT:
        assert kind.side(found) is not None
    assert list(FieldKinds().names(found.path)) is not None


@given(st.text(max_size=5))
def test_a_field_that_a_terminal_may_write_is_never_an_internal_register(name: str) -> None:
    if not name.startswith(INTERNAL):
        assert record([name]).path == (name,)
