"""What terminals knew of this node's log where they were before, and which of this node's terminals were elsewhere.

A terminal's positions are rows of one node's log, and mean nothing elsewhere. But a node knows how far it held the
log of each linked node at each of its own rows. So "it has seen my log up to here" becomes "it has seen your log up
to there", in the other node's own numbers. What a node hears so it passes on in the numbers of its other neighbours.

The same message says how far the other log was held where the terminal was: what lies behind that it was not shown
there, so a node that had sent it more sends that again. Where it began with an empty screen, that is what it has
confirmed there: it may have left before it was shown the rest.

A node tells this when a terminal leaves and when a link comes up, so it is mostly there before the terminal is. Where
a terminal comes that was not here last, the links are asked, and its first write waits for their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from attrs import evolve, field

from crdt.classes import define
from node.core.latest import keep_latest
from node.core.links.host import Node, Peer
from node.wire.links.terminals import (
    MOST_TERMINALS,
    Visit,
    question_message,
    read_answers,
    read_question,
    read_visits,
    visits_message,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


MOST_VISITS = 10_000
"""Visits of terminals at other nodes that are remembered. One that is forgotten counts as new if it is told again."""

ANSWER_MS = 250
"""How long the first write of a terminal that comes from elsewhere waits for the links. Two nodes of a store answer
each other within some milliseconds, also through a hub; whoever waits longer is away, and a person would notice."""

MOST_QUESTIONS = 1_000
"""Questions that wait for answers, and those that are remembered so that none goes round in a ring."""


class OwnTerminals(Protocol):
    """The terminals that are or were connected to this node."""

    def last_here(self, terminals: Iterable[str] | None, /) -> Mapping[str, tuple[int, Sequence[int], bool]]:
        """When each was last here, how far it has seen this log, and whether it began here with an empty screen.

        terminals: which; None for all.
        """
        ...

    def was_elsewhere(self, terminal_id: str, seen_ms: int, held: Sequence[int], /) -> None:
        """A terminal was at another node, which held this log up to `held` by then, and could show it that."""
        ...


@define(eq=False)
class Question:
    """of: the linked nodes that have not answered. done: called at the end."""

    of: set[str]
    done: Callable[[], None]


@define(eq=False, kw_only=True)
class Travellers:
    """Terminals that come from other nodes, and go to them.

    links: the linked nodes.
    """

    node: Node
    links: Mapping[str, Peer]
    own: OwnTerminals
    _visits: dict[tuple[str, str], Visit] = field(factory=dict, init=False)
    """(terminal, node) -> its last visit there, as that node says, in rows of this log."""
    _questions: dict[str, Question] = field(factory=dict, init=False)
    _taken: dict[str, None] = field(factory=dict, init=False)
    """Questions of other nodes."""
    _gone: dict[str, None] = field(factory=dict, init=False)
    """Terminals that another node asked about since they were here."""
    _number: int = field(default=0, init=False)

    def link_up(self, link: Peer) -> None:
        """A new neighbour is told of all terminals that were here, or at a node behind this one."""
        self._tell(link, [*self._own(link, self.own.last_here(None)), *self._others(link, self._visits.values())])

    def moved(self, terminals: Iterable[str]) -> None:
        """Terminals left, or are heard of elsewhere: the neighbours are told what they knew."""
        names, links = list(terminals), self._up()
        if names and links:
            here = self.own.last_here(names)
            for link in links:
                self._tell(link, self._own(link, here))

    def _up(self) -> list[Peer]:
        return [link for link in self.links.values() if link.state == "up"]

    def _own(self, link: Peer, here: Mapping[str, tuple[int, Sequence[int], bool]]) -> list[Visit]:
        held, visits = link.whole_upto, []
        for terminal, (seen_ms, positions, anew) in islice(here.items(), MOST_TERMINALS):
            knew = link.held_at.translated(positions)
            shown = tuple(map(min, held, knew)) if anew else held
            visits.append(Visit(terminal, self.node.node_id, seen_ms, shown, knew, self._clock(terminal)))
        return visits

    def _others(self, link: Peer, visits: Iterable[Visit]) -> list[Visit]:
        """Visits at other nodes, in rows of a link's log."""
        told = link.held_at.translated
        return [evolve(v, held=told(v.held), knew=told(v.knew)) for v in visits if v.node != link.peer_id]

    def _tell(self, link: Peer, visits: Sequence[Visit], answers: str | None = None) -> None:
        if (visits or answers is not None) and link.hello is not None:
            link.reply(visits_message(link.hello.epoch, visits, answers))

    # ------------------------------------------------------------------ a terminal that comes

    def came(self, terminal_id: str, last_here_ms: int | None, known: Callable[[], None]) -> bool:
        """A terminal connected here. If it may come from elsewhere, the links are asked what they know of it.

        last_here_ms: when it was here last, Unix milliseconds; None for never.
        known: called when all have answered, or after ANSWER_MS.
        Returns whether `known` will be called.
        """
        visits = [visit for visit in self._visits.values() if visit.terminal == terminal_id]
        for visit in visits:
            self._take_clock(visit)
        links, gone = self._up(), terminal_id in self._gone
        self._gone.pop(terminal_id, None)
        if not links or not (gone or last_here_ms is None or any(v.seen_ms > last_here_ms for v in visits)):
            return False
        self._number += 1
        name = f"{self.node.node_id}:{self.node.clock().wall_ms}:{self._number}"
        self._ask(name, terminal_id, links, known)
        return name in self._questions  # a link may have ended as it was asked

    def _take_clock(self, visit: Visit) -> None:
        """Of a terminal that is here: how far its clock is off, as another node measured it."""
        if visit.clock_ms is not None:
            replica = self.node.replica
            offset_ms = visit.clock_ms - replica.clock.offset_ms
            replica.terminal_clocks.brought(visit.terminal, offset_ms, self.node.clock())

    def _ask(self, name: str, terminal_id: str, links: Sequence[Peer], done: Callable[[], None]) -> None:
        while len(self._questions) >= MOST_QUESTIONS:
            self._end(next(iter(self._questions)))
        self._questions[name] = Question({link.peer_id for link in links}, done)
        for link in links:
            link.reply(question_message(terminal_id, name))
        self.node.around.timer.call_later(ANSWER_MS, partial(self._end, name))

    def _end(self, name: str) -> None:
        question = self._questions.pop(name, None)
        if question is not None:
            question.done()

    def _answered(self, link: Peer, name: str) -> None:
        question = self._questions.get(name)
        if question is not None:
            question.of.discard(link.peer_id)
            if not question.of:
                self._end(name)

    def link_down(self, link: Peer) -> None:
        """A link ended: nothing is to be expected from it."""
        for name in list(self._questions):
            self._answered(link, name)

    def asked(self, link: Peer, message: Mapping[str, Any]) -> None:
        """A neighbour asks of a terminal. Raises InvalidMessage."""
        terminal_id, name = read_question(message)
        others = [other for other in self._up() if other is not link]
        self._gone[terminal_id] = None
        keep_latest(self._gone, MOST_VISITS)
        if not others or name in self._taken or name in self._questions:
            self._answer(link, terminal_id, name)
            return
        self._taken[name] = None
        keep_latest(self._taken, MOST_QUESTIONS)
        self._ask(name, terminal_id, others, partial(self._answer, link, terminal_id, name))

    def _answer(self, link: Peer, terminal_id: str, name: str) -> None:
        if link.state == "up":
            own = self._own(link, self.own.last_here([terminal_id]))
            there = [visit for visit in self._visits.values() if visit.terminal == terminal_id]
            self._tell(link, [*own, *self._others(link, there)], name)

    # ------------------------------------------------------------------ what others say

    def _clock(self, terminal_id: str) -> int | None:
        """How far a terminal's clock is off the store's time."""
        replica, now = self.node.replica, self.node.clock()
        measured = replica.terminal_clocks.measured_ms(terminal_id, now)
        return None if measured is None else measured + replica.clock.offset_ms

    def _mono(self, wall_ms: int) -> int:
        now = self.node.clock()
        return now.mono_ms - (now.wall_ms - wall_ms)

    def receive(self, link: Peer, message: Mapping[str, Any]) -> None:
        """Take what a neighbour says of terminals. Raises InvalidMessage."""
        epoch, visits = read_visits(message)
        answers = read_answers(message)
        if epoch == link.host.epoch:  # else it speaks of a log that is no more
            self._learn(link, visits)
        if answers is not None:
            self._answered(link, answers)

    def _learn(self, link: Peer, visits: Iterable[Visit]) -> None:
        head, news, replica = self.node.replica.log.committed, [], self.node.replica
        for visit in visits:
            if visit.node == self.node.node_id or max(*visit.held, *visit.knew) > head:
                continue
            before = self._visits.get((visit.terminal, visit.node))
            new = before is None or before.seen_ms < visit.seen_ms
            more = replica.knowledge.brought(visit.terminal, self._mono(visit.seen_ms), visit.knew)
            if replica.is_online(visit.terminal):
                self._take_clock(visit)
            if new:
                self._visits[visit.terminal, visit.node] = visit
                keep_latest(self._visits, MOST_VISITS)
                self.own.was_elsewhere(visit.terminal, visit.seen_ms, visit.held)
            if new or more:
                news.append(visit)
        for other in self._up():
            if other is not link:
                self._tell(other, self._others(other, news))
