"""`terminal_status_update` between nodes: who sits at which node.

    {"type": "terminal_status_update", "nodes": {node id: [number, {terminal id: entry}]}}
    entry: {"type", "status", "connected_at"}

The number grows with each statement that a node makes about itself.

`terminals_knew`: what terminals had seen of the receiver's log where they were.

    {"type": "terminals_knew", "epoch", "visits": [[terminal id, node id, time, held, knew], ...]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from attrs import astuple, frozen

from node.errors import InvalidMessage
from node.wire.codec import TERMINAL_ID
from node.wire.json_text import is_count, word
from storage.records import CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_TERMINALS = 2_000
"""Terminals of one node."""

MOST_NUMBER = 2**62

LONGEST_WORD = 64

FIELDS = ("type", "status", "connected_at")

Statement = tuple[int, dict[str, Any]]
"""What one node says of itself: (number, its terminals by id)."""


def terminals_message(nodes: Mapping[str, tuple[int, Mapping[str, Any]]]) -> bytes:
    return orjson.dumps({"type": "terminal_status_update", "nodes": nodes})


def read_terminals(message: Mapping[str, Any]) -> dict[str, Statement]:
    """By node id; entries that no node of ours sends are left out. Raises InvalidMessage.

    A node id is checked by who knows it already (`is_node_id`).
    """
    nodes = message.get("nodes")
    if not isinstance(nodes, dict):
        raise InvalidMessage("expected nodes", "$.nodes")
    return {node: _statement(entry) for node, entry in nodes.items()}


def _statement(entry: object) -> Statement:
    match entry:
        case [number, dict(terminals)] if is_count(number, MOST_NUMBER - 1) and len(terminals) <= MOST_TERMINALS:
            return number, terminals
    raise InvalidMessage("expected [number, terminals]", "$.nodes")


def known_terminals(terminals: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of terminals that have a valid id, cut to the fields that travel."""
    return {t: short_entry(e) for t, e in terminals.items() if TERMINAL_ID.match(t) and isinstance(e, dict)}


def short_entry(entry: object) -> object:
    """Drops last_ping and figures, which change every second. Lists from other nodes are cut to the same fields."""
    if not isinstance(entry, dict):
        return {}
    return {name: word(entry[name], LONGEST_WORD) for name in FIELDS if name in entry}


def is_node_id(name: str) -> bool:
    return TERMINAL_ID.match(name) is not None


@frozen
class Visit:
    """A terminal at a node.

    seen_ms: when it was last there, Unix milliseconds.
    held, knew: how far that node held the receiver's log, and how far the terminal had seen it there. Rows of the
        receiver's log, by priority class.
    """

    terminal: str
    node: str
    seen_ms: int
    held: tuple[int, ...]
    knew: tuple[int, ...]


def visits_message(epoch: str, visits: Sequence[Visit]) -> bytes:
    """`terminals_knew`. epoch: of the receiver's log."""
    said = [astuple(visit) for visit in visits[:MOST_TERMINALS]]
    return orjson.dumps({"type": "terminals_knew", "epoch": epoch, "visits": said})


def read_visits(message: Mapping[str, Any]) -> tuple[str, list[Visit]]:
    """The epoch and the visits. Raises InvalidMessage."""
    epoch, visits = message.get("epoch"), message.get("visits")
    if type(epoch) is not str or type(visits) is not list or len(visits) > MOST_TERMINALS:
        raise InvalidMessage("expected an epoch and visits", "$.visits")
    return epoch, [_visit(visit, f"$.visits[{n}]") for n, visit in enumerate(visits)]


def _are_positions(said: list[Any]) -> bool:
    return len(said) == CLASSES and all(type(at) is int and -1 <= at < MOST_NUMBER for at in said)


def _visit(visit: object, where: str) -> Visit:
    match visit:
        case [str(terminal), str(node), int(seen_ms), list(held), list(knew)] if (
            TERMINAL_ID.match(terminal)
            and TERMINAL_ID.match(node)
            and 0 <= seen_ms < MOST_NUMBER
            and _are_positions(held)
            and _are_positions(knew)
        ):
            return Visit(terminal, node, seen_ms, tuple(held), tuple(knew))
    raise InvalidMessage("expected [terminal, node, time, positions, positions]", where)
