"""What is too large for one turn is decided in several, and everybody else is served between them.

One such operation at a time is under way. Its entities (`Residents.take`) and its name (`InTurns.names`) are its own
until it is done: who needs one of them waits, as for a read from the disk. So it becomes what it would be, decided in
one turn, and so does what comes under its name meanwhile: a repeat of it, or what contradicts it. From when its row
has its number no commit is taken until the row is written, since rows are stored in order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import field

from crdt.classes import define
from node.core.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Mapping


TURN = 160
"""Steps of one turn (node/core/steps.py): it takes some 5 ms, with what is no step of its own."""

LARGE = 120
"""Registers (`Operation.registers`) that an operation writes in one turn."""

OF_AN_ENTITY = 2
"""For how many of them an entity counts."""


def is_large_message(message: Mapping[str, Any]) -> bool:
    """Whether what a linked node sends, which may be anything, is decided in several turns."""
    link, operation = message.get("link"), message.get("operation")
    if type(link) is not dict or type(operation) is not dict or "state" in link:
        return False
    updates, data = link.get("updates"), operation.get("data")
    if type(updates) is not list or type(data) is not dict:
        return False
    items = data.get("updates") if operation.get("operation") == "BULK_UPDATE" else None
    if type(items) is not list:
        return _large(len(updates), len(data))
    of_items = [item.get("data") for item in items if type(item) is dict]
    return _large(len(items), sum(len(of_item) for of_item in of_items if type(of_item) is dict))


def _large(entities: int, registers: int) -> bool:
    return entities * OF_AN_ENTITY + registers > LARGE


class Undone(Exception):
    """A commit failed meanwhile, and what was decided so far is no more.

    numbered: it had a row, and was handed back with the commit (`Refusal`).
    """

    def __init__(self, *, numbered: bool) -> None:
        super().__init__("a commit failed")
        self.numbered = numbered


@define(eq=False)
class Work:
    """steps: what is left of it; at the end, whether the group has to be taken before something else is begun.

    names: the operation's (crdt.records.name_of), and those of what it repairs.
    undone: whether a commit failed since it began. done: told at the end, with what was raised.
    changing: documents are being changed (`Faults.changing`).
    """

    steps: Generator[int, None, bool]
    names: Iterable[str]
    undone: Callable[[], bool]
    done: Callable[[Exception | None], None]
    changing: bool = False


@define(eq=False)
class InTurns:
    """busy: an operation is under way, or is not in the hands of the disk yet."""

    faults: Faults
    later: Callable[[Callable[[], None]], None] = field(default=lambda act: act(), init=False)
    """Calls something in a turn of its own. Set by the core."""
    busy: bool = field(default=False, init=False)
    names: frozenset[str] = field(default=frozenset(), init=False)
    """Of what is under way. What is said of an operation of such a name is decided when that has ended."""
    _work: Work | None = field(default=None, init=False)
    _waiting: list[Callable[[], None]] = field(factory=list, init=False)

    def wait(self, act: Callable[[], None]) -> None:
        """Call this when what is under way is done, in a turn of its own."""
        self._waiting.append(act)

    def begin(self, work: Work) -> None:
        """Begin something: its first step now, the others in turns of their own. Nothing else is under way."""
        self.busy, self._work, self.names = True, work, frozenset(work.names)
        self._turn(work, 1)

    def taken(self) -> None:
        """The disk has the group: what comes next may begin."""
        if self.busy and self._work is None:
            self.busy = False
            self._tell()

    def finish(self) -> None:
        """Take all that is left in this turn: the node stops."""
        while self._work is not None:
            self._turn(self._work)

    def _tell(self) -> None:
        """Who waits looks whether it can go on."""
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            self.later(act)

    def _turn(self, work: Work, most: int | None = None) -> None:
        if work is not self._work:
            return
        left = TURN if most is None else most
        faults, raised, stays = self.faults, None, False
        try:
            if work.undone():
                work.steps.close()
                raise Undone(numbered=work.changing)
            faults.changing = work.changing
            while left > 0:
                left -= next(work.steps)
            work.changing, faults.changing = faults.changing, False
            self.later(partial(self._turn, work))
            return
        except StopIteration as end:
            stays = end.value
        except Exception as error:
            raised = error
        self._work, self.busy, self.names = None, stays, frozenset()
        if stays:
            faults.wake()  # no group was taken meanwhile, also not of others
        self._tell()
        if faults.changing:  # a fault in the middle of a change is reported before anything else is done
            work.done(raised)
        else:
            self.later(partial(work.done, raised))
