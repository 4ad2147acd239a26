"""What an author last knew a counter or a list to be: its absolute value becomes a difference, its list a change.

That is what came last on its connection: its own last write, or a row that it confirmed after having written that.
(By the order of the log alone, a row that reached a terminal after its own write, but was accepted before it, would
be taken for something it had not seen.) The latest movements of each are kept with the entity; what is older of a
counter is read from the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from attrs import asdict, astuple, define, evolve, field, frozen

from crdt.decimals import amount_of, shown
from crdt.records import CANONICAL
from storage.records import key64
from strategies.keyed_list import element_of, keyed
from strategies.kinds import COUNTER, KEYED_LIST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from crdt.records import FieldRecord
    from storage.records import LogRow
    from strategies.policy import EntityPolicy
    from strategies.view import View

KEPT = 32
"""Movements kept of each counter and each list."""


GONE_KEPT = 64
"""Elements taken out of one list that are remembered, so that nobody's stale copy of the list puts them back."""


@frozen
class Movement:
    """One row that wrote or moved a counter, or wrote a list.

    author: None for the node itself, and where another node accepted it: whoever wrote it there is here shown it like
    everybody else, perhaps after what it wrote here since. written: the absolute its author had in mind, shown: what
    is shown after it, as JSON numbers; of a list, the keys it was written with (true where its author wrote it again
    since: they are not kept) and true. acked: what its author had confirmed when it came. echo: whether its author is
    sent it.
    """

    seq: int
    author: str | None
    written: object
    shown: object
    acked: int
    echo: bool


@frozen
class Reader:
    """A terminal, as far as what it knows depends on it. acked: its position now. began, resumed: its position, and
    the last row, when it connected: what lies between is sent to it again, after whatever it wrote before. tried: the
    last row there was when what it writes now was first refused."""

    terminal: str
    acked: int
    began: int
    resumed: int
    tried: int | None = None


@frozen
class Gone:
    """An element that was taken out of a list. digest: of its value. brought, taken: the rows that did it."""

    digest: int
    brought: int
    taken: int


def digest_of(element: object) -> int:
    return key64(orjson.dumps(element, option=CANONICAL).decode())


@frozen
class KnownList:
    """A list as its author last knew it. row: the row that showed it so. keys: the elements of its own last write,
    where that came later. Neither: nothing is known but what it has seen. acked: what it had confirmed."""

    row: int | None
    keys: frozenset[str] | None
    acked: int
    gone: Mapping[str, Gone]
    elsewhere: frozenset[int] = frozenset()
    """Rows that another node accepted: also of what its author wrote there, it shows only what it confirmed."""

    def holds(self, key: str, seq: int) -> bool:
        """Whether an element that row `seq` brought was in it."""
        if self.row is not None:
            return seq <= self.row
        if self.keys is not None:
            return key in self.keys
        return seq <= self.acked or seq not in self.elsewhere

    def carries_over(self, key: str, element: object) -> bool:
        """Whether an element that is not there any more was in it, unchanged: somebody took it out meanwhile."""
        gone = self.gone.get(key)
        if gone is None or not self.holds(key, gone.brought) or gone.digest != digest_of(element):
            return False
        if self.row is not None:
            return gone.taken > self.row
        # In its own last write it was on its author's screen, however long it had been gone by then.
        return self.keys is not None or gone.taken > self.acked


@define(eq=False)
class Movements:
    """The latest movements of an entity's counters and lists, oldest first. cut: those with older ones let go."""

    of: dict[str, list[Movement]] = field(factory=dict)
    cut: set[str] = field(factory=set)
    gone: dict[str, dict[str, Gone]] = field(factory=dict)
    """By list and key, the elements taken out last."""

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> Movements:
        of = {name: [Movement(**move) for move in moves] for name, moves in stored["movements"].items()}
        gone = {name: {key: Gone(*of_key) for key, of_key in keys.items()} for name, keys in stored["gone"].items()}
        return cls(of, set(stored["cut"]), gone)

    def store(self) -> dict[str, object]:
        return {
            "movements": {name: [asdict(move) for move in moves] for name, moves in self.of.items()},
            "cut": sorted(self.cut),
            "gone": {name: {key: astuple(gone) for key, gone in keys.items()} for name, keys in self.gone.items()},
        }

    def __bool__(self) -> bool:
        return bool(self.of or self.gone)

    def took(self, policy: EntityPolicy, record: FieldRecord, brought: int, seq: int) -> None:
        """A record is gone; where it was an element of a list, that is remembered."""
        if len(record.path) != 2 or policy.kinds.of(record.path[0]).kind != KEYED_LIST:
            return
        keys = self.gone.setdefault(record.path[0], {})
        keys.pop(record.path[1], None)
        keys[record.path[1]] = Gone(digest_of(element_of(record)), brought, seq)
        while len(keys) > GONE_KEPT:
            del keys[next(iter(keys))]

    def put(self, record: FieldRecord) -> None:
        """A record came; an element that is there again is not gone."""
        keys = self.gone.get(record.path[0]) if len(record.path) == 2 else None
        if keys is not None and keys.pop(record.path[1], None) is not None and not keys:
            del self.gone[record.path[0]]

    def note(
        self, view: View, seq: int, author: str | None, data: Mapping[str, object], acked: int, *, echo: bool
    ) -> None:
        """A row of this entity. data: what it wrote."""
        for name, kind in view.policy.kinds.kinds.items():
            moves, now, written = self.of.get(name, []), view.fields.get(name), None
            if kind.kind == COUNTER:
                if name not in data and (now is None if not moves else moves[-1].shown == now):
                    continue
                written = self._written(name, author, data.get(name))
            elif kind.kind == KEYED_LIST and now is not None:  # every row of the entity may carry the list
                now, written = True, list(keyed(data[name]) or ()) if name in data else None
                if written is not None:
                    moves = self.of[name] = [_without_keys(move, author) for move in moves]
            else:
                continue
            moves.append(Movement(seq, author, written, now, acked, echo))
            if len(moves) > KEPT:
                del moves[0]
                self.cut.add(name)
            self.of[name] = moves

    def _written(self, name: str, author: str | None, value: object) -> object:
        """The absolute an author has in mind now: the one it wrote, or its last one moved on by `$inc`."""
        if amount_of(value) is not None:
            return value
        step = amount_of(value.get("$inc")) if isinstance(value, dict) else None
        own = (move.written for move in reversed(self.of.get(name, [])) if move.author == author)
        before = amount_of(next((written for written in own if written is not None), None))
        return shown(before + step) if step is not None and before is not None else None

    def known(self, name: str, reader: Reader) -> Decimal | None:
        """What a counter was known to be; None where the movements kept here do not tell."""
        return _amount(_last(reversed(self.of.get(name, [])), reader))

    def known_list(self, name: str, reader: Reader) -> KnownList:
        last = _last(reversed(self.of.get(name, [])), reader)
        move, own = last if last is not None else (None, True)
        keys = move.written if own and move is not None and isinstance(move.written, list) else None
        row = move.seq if move is not None and not own else None
        known = frozenset(keys) if keys is not None else None
        elsewhere = frozenset(move.seq for move in self.of.get(name, ()) if move.author is None)
        return KnownList(row, known, reader.acked, self.gone.get(name, {}), elsewhere)

    def tells(self, name: str, reader: Reader) -> bool:
        """Whether nothing older has to be read."""
        return name not in self.cut or self.known(name, reader) is not None


def _without_keys(move: Movement, author: str | None) -> Movement:
    return evolve(move, written=True) if move.author == author and isinstance(move.written, list) else move


def known_from_log(rows: Sequence[LogRow], entity_id: str, name: str, reader: Reader) -> Decimal | None:
    """The same from an entity's log rows, the latest first."""
    return _amount(_last((_movement(row, entity_id, name) for row in rows), reader))


def _amount(last: tuple[Movement, bool] | None) -> Decimal | None:
    return None if last is None else amount_of(last[0].written if last[1] else last[0].shown)


def _last(movements: Iterable[Movement | None], reader: Reader) -> tuple[Movement, bool] | None:
    """What came last on the reader's connection, and whether it was its own write. movements: the latest first."""
    own: Movement | None = None
    since = -1
    for move in movements:
        if move is None or (reader.tried is not None and move.seq > reader.tried):
            continue
        if own is None and move.author == reader.terminal and move.written is not None:
            own = move
            since = min(move.acked, reader.began) if move.seq <= reader.resumed else move.acked
        if own is not None and move.seq <= since:
            break
        sent = move.author != reader.terminal or move.echo or reader.began < move.seq <= reader.resumed
        if sent and since < move.seq <= reader.acked and move.shown is not None:
            return move, False
    return (own, True) if own is not None else None


def _movement(row: LogRow, entity_id: str, name: str) -> Movement | None:
    data = orjson.loads(row.operation).get("data", {}) if row.operation else {}
    changes = orjson.loads(row.changes) if row.changes else {}
    after = changes.get("after", {})
    if row.entity_id is None:  # a BULK_UPDATE
        items = [item["data"] for item in data.get("updates", ()) if item.get("entity_id") == entity_id]
        data, after = (items or [{}])[-1], after.get(entity_id, {})
    written = data.get(name) if amount_of(data.get(name)) is not None else None
    if name not in after and written is None:
        return None
    author = None if row.via else row.terminal_id
    return Movement(row.seq, author, written, after.get(name), changes.get("acknowledged", row.seq), row.echo)
