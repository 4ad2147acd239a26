"""Who sits at which node: lists travel along links, and stop where they are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from node.core.links.neighbours import NODES, Neighbours
from node.core.ports import Instant
from node.errors import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Mapping


class Peer:
    """A link, as far as lists of terminals concern it."""

    def __init__(self, name: str) -> None:
        self.peer_id, self.state = name, "up"
        self.told: list[Any] = []

    def reply(self, *messages: bytes) -> None:
        self.told += [orjson.loads(message)["nodes"] for message in messages]


class Node:
    def __init__(self) -> None:
        self.own: dict[str, object] = {}
        self.links: dict[str, Any] = {"b": Peer("b"), "c": Peer("c")}
        self.changes = 0
        self.neighbours = Neighbours(
            node_id="a",
            clock=lambda: Instant(100, 0),
            links=self.links,
            own_terminals=self.own_terminals,
            changed=self.changed,
        )

    def own_terminals(self) -> Mapping[str, object]:
        return self.own

    def changed(self) -> None:
        self.changes += 1

    def hears(self, link: str, nodes: Mapping[str, object]) -> None:
        self.neighbours.receive(self.links[link], {"nodes": nodes})


ANA = {"type": "pos", "status": "online", "connected_at": "10:00"}


def test_the_own_list_is_told_when_it_changed_and_without_what_always_changes() -> None:
    node = Node()
    node.own = {"ana": {**ANA, "last_ping": "10:01"}}
    node.neighbours.say(force=False)
    assert node.links["b"].told == [{"a": [100, {"ana": ANA}]}]
    node.own = {"ana": {**ANA, "last_ping": "10:02"}}
    node.neighbours.say(force=False)
    assert len(node.links["b"].told) == 1


def test_news_is_passed_on_to_all_links_but_the_one_it_came_from() -> None:
    node = Node()
    node.hears("b", {"d": [7, {"ana": ANA}]})
    assert node.links["b"].told == []
    assert node.links["c"].told == [{"d": [7, {"ana": ANA}]}]
    assert node.neighbours.terminals() == {"ana": {**ANA, "node": "d"}}
    assert node.changes == 1


def test_a_list_that_is_known_stops() -> None:
    node = Node()
    node.hears("b", {"d": [7, {"ana": ANA}]})
    node.hears("c", {"d": [7, {}]})
    node.hears("c", {"a": [9_999, {}]})
    assert len(node.links["c"].told) == 1
    assert node.links["b"].told == []


def test_terminals_behind_a_link_that_ended_are_unreachable_until_they_are_heard_of_again() -> None:
    node = Node()
    node.hears("b", {"d": [7, {"ana": ANA}]})
    node.neighbours.link_down(node.links["b"])
    shown: Any = node.neighbours.terminals()
    assert shown["ana"]["status"] == "unreachable"
    node.hears("c", {"d": [7, {"ana": ANA}]})
    shown = node.neighbours.terminals()
    assert shown["ana"]["status"] == "online"


def test_a_new_neighbour_is_told_all_that_is_known() -> None:
    node = Node()
    node.hears("b", {"d": [7, {"ana": ANA}]})
    node.links["e"] = Peer("e")
    node.neighbours.link_up(node.links["e"])
    assert node.links["e"].told[0] == {"d": [7, {"ana": ANA}]}


def test_the_number_of_remembered_nodes_is_bounded() -> None:
    node = Node()
    node.hears("b", {f"n{number}": [1, {}] for number in range(NODES + 5)})
    assert len(node.neighbours.nodes) == NODES


@pytest.mark.parametrize("entry", [7, [7], [-1, {}], ["7", {}], [2**62, {}], [7, []]])
def test_a_list_that_no_node_sends_is_refused(entry: object) -> None:
    node = Node()
    with pytest.raises(InvalidMessage):
        node.hears("b", {"d": entry})
