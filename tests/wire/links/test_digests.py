"""The messages of a comparison go round, and what no node sends is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from node.errors import InvalidMessage
from node.wire.links import digests
from node.wire.links.digests import BUCKETS, PARTS

KEYS = [-(2**63), -1, 0, 1, 2**63 - 1]


def read(message: bytes) -> Any:
    return orjson.loads(message)


def test_roots_go_round() -> None:
    message = read(digests.roots({"orders": "ff"}, 5))
    assert message["type"] == "digest"
    assert digests.read_roots(message) == digests.Roots({"orders": "ff"}, 5)


def test_buckets_travel_in_hex() -> None:
    found = digests.read_buckets(read(digests.buckets({"orders": range(BUCKETS)}, 7, 5)))
    assert (found.count, found.by_type["orders"][255], found.until) == (7, "ff", 5)


def test_parts_travel_in_hex_by_bucket() -> None:
    found = digests.read_buckets(read(digests.parts("orders", {3: range(PARTS)}, 7, None)))
    assert (found.count, found.by_type, found.until) == (7, {}, None)
    assert found.parts["orders"][3][255] == "ff"


def test_keys_of_all_64_bits_go_round() -> None:
    found = digests.read_keys(read(digests.keys("orders", {0: KEYS, 255: [5]}, 2**53)))
    assert found.until == 2**53
    assert (found.entity_type, list(found.buckets), found.keys) == ("orders", [0, 255], frozenset([*KEYS, 5]))


def test_wanted_keys_go_round_in_order() -> None:
    assert list(digests.read_want(read(digests.want(KEYS)))) == KEYS


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (digests.read_roots, {"types": []}),
        (digests.read_roots, {"types": {str(n): "" for n in range(digests.MOST_TYPES + 1)}}),
        (digests.read_buckets, {"buckets": {"orders": ["0"] * BUCKETS}}),
        (digests.read_buckets, {"buckets": {"orders": ["0"] * 255}, "count": 1}),
        (digests.read_buckets, {"buckets": {"orders": 5}, "count": 1}),
        (digests.read_buckets, {"buckets": {}, "count": True}),
        (digests.read_keys, {"entity_type": "orders", "buckets": {str(BUCKETS + BUCKETS * PARTS): ""}}),
        (digests.read_buckets, {"buckets": {}, "count": 1, "parts": 5}),
        (digests.read_buckets, {"buckets": {}, "count": 1, "parts": {"orders": []}}),
        (digests.read_buckets, {"buckets": {}, "count": 1, "parts": {"orders": {"256": ["0"] * PARTS}}}),
        (digests.read_buckets, {"buckets": {}, "count": 1, "parts": {"orders": {"0": ["0"] * 255}}}),
        (digests.read_keys, {"entity_type": "orders", "buckets": {"²": ""}}),
        (digests.read_roots, {"types": {}, "until": -1}),
        (digests.read_roots, {"types": {}, "until": 1.5}),
        (digests.read_buckets, {"buckets": {}, "count": 1, "until": 2**53 + 1}),
        (digests.read_keys, {"entity_type": "orders", "buckets": {}, "until": True}),
        (digests.read_keys, {"entity_type": 5, "buckets": {}}),
        (digests.read_keys, {"entity_type": "orders", "buckets": {"5": "AAAA"}}),
        (digests.read_want, {"keys": 5}),
        (digests.read_want, {"keys": "é"}),
    ],
)
def test_what_no_node_sends_is_refused(reader: Any, message: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        reader(message)
