"""Packed sets of keys behave as sets, and digests as the XOR of what is in them."""

from __future__ import annotations

from array import array
from functools import reduce

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.core import digests
from node.core.digests import BUCKETS, PARTS, Compared, Digests, KeySet, bucket_of, part_of

KEYS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 1, 2**63 - 1, -(2**63), 255 << 55])


@pytest.fixture(autouse=True, params=[4, digests.MOST_KEYS])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few keys, and as they are."""
    monkeypatch.setattr(digests, "MOST_KEYS", request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(KEYS), st.lists(st.tuples(st.booleans(), KEYS)), st.booleans())
def test_a_key_set_is_a_set(begun: set[int], steps: list[tuple[bool, int]], in_order: bool) -> None:
    keys, model = KeySet(array("q", sorted(begun)) if in_order else begun), set(begun)
    for adds, key in steps:
        if adds:
            assert keys.add(key) == (key not in model)
            model.add(key)
        else:
            keys.discard(key)
            model.discard(key)
        assert (key in keys) == (key in model)
    assert set(keys) == model
    assert len(keys) == len(model)
    for number in range(BUCKETS):
        assert list(keys.bucket(number)) == sorted(key for key in model if bucket_of(key) == number)
    assert list(keys) == sorted(model)
    for part in set(map(part_of, model)):
        assert list(keys.bucket(part)) == sorted(key for key in model if part_of(key) == part)
    assert max(map(len, keys._blocks)) <= digests.MOST_KEYS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(KEYS))
def test_the_parts_of_a_bucket_are_those_of_its_keys(keys: set[int]) -> None:
    held = Compared(Digests.of({"orders": sorted(keys)}))
    for bucket in {0, 127, 128, 255, *map(bucket_of, keys)}:
        parts = held.parts("orders", bucket)
        for number, part in enumerate(parts, BUCKETS + bucket * PARTS):
            assert part == reduce(lambda a, b: a ^ b, (k & 2**64 - 1 for k in keys if part_of(k) == number), 0)
    assert held.parts("products", 0) == [0] * PARTS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(KEYS), st.sets(KEYS))
def test_digests_read_at_a_start_are_those_that_grew(begun: set[int], more: set[int]) -> None:
    grown, read = Digests.of({"orders": sorted(begun)}), Digests.of({"orders": list(begun | more)})
    for key in more:
        grown.add("orders", key)
    assert grown.roots() == read.roots()
    assert Compared(grown).buckets("orders") == Compared(read).buckets("orders")
    root = reduce(lambda a, b: a ^ b, (key & 2**64 - 1 for key in begun | more), 0)
    if begun | more:
        assert read.roots() == {"orders": f"{len(begun | more)}:{root:016x}"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(KEYS), st.sets(KEYS))
def test_what_is_left_out_of_a_comparison_is_as_if_it_were_not_held(rest: set[int], left_out: set[int]) -> None:
    held, others = (
        Digests.of({"orders": sorted(rest | left_out)}),
        Compared(Digests.of({"orders": sorted(rest - left_out)})),
    )
    compared = Compared(held, {"orders": left_out | {12345}, "products": {1}})
    assert compared.roots() == others.roots()
    assert compared.differing(others.roots()) == []
    assert compared.buckets("orders") == others.buckets("orders")
    for bucket in {0, 127, 128, 255, *map(bucket_of, rest | left_out)}:
        assert compared.parts("orders", bucket) == others.parts("orders", bucket)
    for numbers in ({*map(bucket_of, rest | left_out)}, {*map(part_of, rest | left_out)}):
        assert list(compared.keys_in("orders", numbers)) == list(others.keys_in("orders", numbers))
