"""`terminal_status_update` between nodes: who sits at which node.

    {"type": "terminal_status_update", "nodes": {node id: [number, {terminal id: entry}]}}
    entry: {"type", "status", "connected_at"}

The number grows with each statement that a node makes about itself.

`terminals_knew`: what terminals had seen of the receiver's log where they were, and how far their clocks are off.

    {"type": "terminals_knew", "epoch", "visits": [[terminal id, node id, time, held, knew, clock], ...], "answers"}

`terminal_came`: a terminal comes to a node, and was elsewhere before. The node asks what others know of it. Each asks
its other neighbours, and answers with `terminals_knew` once it has heard from them.

    {"type": "terminal_came", "terminal", "question"}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from attrs import astuple

from crdt.classes import frozen
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

LONGEST_QUESTION = 256

MOST_CLOCK_MS = 2**53

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
    held, knew: how far that node held the receiver's log, and how far the terminal had seen it there. Of one that
        began there with an empty screen `held` is no more than that. Rows of the receiver's log, by priority class.
    clock_ms: what is added to its timestamps to get the store's time; None where nothing is known.
    """

    terminal: str
    node: str
    seen_ms: int
    held: tuple[int, ...]
    knew: tuple[int, ...]
    clock_ms: int | None = None


def visits_message(epoch: str, visits: Sequence[Visit], answers: str | None = None) -> bytes:
    """`terminals_knew`. epoch: of the receiver's log. answers: a question of the receiver, if this is the answer."""
    said = [astuple(visit) for visit in visits[:MOST_TERMINALS]]
    message: dict[str, object] = {"type": "terminals_knew", "epoch": epoch, "visits": said}
    return orjson.dumps(message if answers is None else {**message, "answers": answers})


def question_message(terminal: str, question: str) -> bytes:
    """`terminal_came`. question: names it; the node that asks gives each of its questions another name."""
    return orjson.dumps({"type": "terminal_came", "terminal": terminal, "question": question})


def read_question(message: Mapping[str, Any]) -> tuple[str, str]:
    """The terminal and the question. Raises InvalidMessage."""
    terminal, question = message.get("terminal"), message.get("question")
    if type(terminal) is not str or not TERMINAL_ID.match(terminal):
        raise InvalidMessage("expected a terminal id", "$.terminal")
    return terminal, _question(question, "$.question")


def _question(said: object, where: str) -> str:
    if type(said) is not str or not 0 < len(said) <= LONGEST_QUESTION:
        raise InvalidMessage("expected the name of a question", where)
    return said


def read_answers(message: Mapping[str, Any]) -> str | None:
    """The question that a `terminals_knew` answers. Raises InvalidMessage."""
    said = message.get("answers")
    return None if said is None else _question(said, "$.answers")


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
        case [str(terminal), str(node), int(seen_ms), list(held), list(knew), clock_ms] if (
            TERMINAL_ID.match(terminal)
            and TERMINAL_ID.match(node)
            and 0 <= seen_ms < MOST_NUMBER
            and _are_positions(held)
            and _are_positions(knew)
            and (clock_ms is None or (type(clock_ms) is int and abs(clock_ms) <= MOST_CLOCK_MS))
        ):
            return Visit(terminal, node, seen_ms, tuple(held), tuple(knew), clock_ms)
    raise InvalidMessage("expected [terminal, node, time, positions, positions, clock]", where)
