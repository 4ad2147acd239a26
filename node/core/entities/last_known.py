"""What an author last knew of a counter or a list, so that a number becomes a difference and a list a change.

An author knows what came last on its connection: its own last write, or a row that it confirmed after that write. The
order of the log does not tell this: a row may be accepted before a terminal's write and reach the terminal after it.
The latest movements of each counter and list are kept with the entity. Older ones of a counter are read from the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from attrs import evolve, field

from crdt.classes import define, frozen
from crdt.decimals import amount_of, total_of
from crdt.json_values import canonical
from crdt.records import Path, counter_name, counter_path
from node.core.entities.again import Again, sent_again, shown_since
from node.core.entities.past import needless
from storage.records import key64
from strategies.kinds.counter import Opening, count_after, count_from, stored
from strategies.kinds.keyed_list import KeyedList
from strategies.kinds.kind import ABSENT, NOTHING_COUNTED, Count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from crdt.document import Document
    from crdt.records import FieldRecord
    from storage.records import LogRow
    from strategies.kinds.kind import After, Kind
    from strategies.kinds.kinds import FieldKinds
    from strategies.policy import EntityPolicy

MOST_MOVEMENTS = 32
"""Movements kept of each counter and each list."""


@define
class Movement:
    """What one log row did to a counter or a list. The fields are stored in this order.

    version: the entity's version after the row.
    author: None unless the row was accepted on this node: only then does its author know it without being sent it.
    written: of a counter, what its author takes it to be after its write. Of a list, the keys that its author wrote;
        true where the same author wrote the list again since, as only the latest keys are kept.
    shown: of a counter, what it is after the row. Of a list, true. Counters are as `counter.stored` gives them.
    acked: the last row that its author had seen when it wrote this one.
    echo: whether its author is sent the row.
    """

    seq: int
    version: int
    author: str | None
    written: object
    shown: object
    acked: int
    echo: bool
    text: bytes = field(init=False, eq=False, repr=False)
    """As it is stored: a write encodes what it did, and nothing that was before."""

    @text.default
    def _encoded(self) -> bytes:
        row = (self.seq, self.version, self.author, self.written, self.shown, self.acked, self.echo)
        return bytes(memoryview(orjson.dumps(row)))  # as node.wire.outgoing.compact_json has it, in one step less


@define
class AuthorView:
    """Log positions that tell what a terminal knew when it wrote.

    acknowledged: the last row that it had seen.
    newest: the version of the state that it named; rows after which the entity's version was greater were not seen.
    again: what it was sent once more.
    first_attempt: the last row when this operation was first refused; None where it was not.
    """

    terminal: str
    acknowledged: int
    again: Again
    first_attempt: int | None = None
    newest: int | None = None


@frozen
class Gone:
    """An element that was removed from a list.

    digest: of its value. brought: the row that added it. taken: the row that removed it.
    by: the operation that did, by its name (crdt.records.name_of).
    """

    digest: int
    brought: int
    taken: int
    by: str = ""

    def stored(self) -> tuple[object, ...]:
        return (self.digest, self.brought, self.taken, self.by)


def _nothing(_key: str, _element: object) -> bool:
    return False


def _had_nothing(_key: str, _name: str, _value: object) -> bool:
    return False


def _had_none(_key: str) -> bool:
    return False


def _became_none(_key: str, _seq: int) -> bool:
    return False


def _took_none(_gone: Gone) -> bool:
    return False


def digest_of(element: object) -> int:
    return key64(canonical(element).decode())


MOST_LINES_COUNTED, MOST_OF_A_LINE = 128, 64
"""Counters of lines of which more is kept than the latest movement, and movements kept of each of them."""


@define
class KnownList:
    """A list as its author last knew it. Without `row` and `keys` only what it has confirmed is known.

    row: the row that showed the list so.
    keys: the elements of the author's own last write, if that came later.
    acknowledged: the log position that it had confirmed.
    gone: the elements that were removed last, by key.
    repeats: of a key and an element, whether the list held it so and somebody has changed it since.
    had: of a key, a field and its value, or ABSENT, the same of a field of the element.
    had_line: of a key, whether the list held the element at all before somebody changed it.
    became: of a key and a row, whether the element that it brought is one that it held, and was there ever since.
    took_off: whether the author itself removed an element, and was shown nothing of before since.
    elsewhere: rows that another node accepted. A terminal knows of them only what it confirmed, also of its own
        writes.
    """

    row: int | None
    keys: frozenset[str] | None
    acknowledged: int
    gone: Mapping[str, Gone]
    elsewhere: frozenset[int] = frozenset()
    repeats: Callable[[str, object], bool] = _nothing
    had: Callable[[str, str, object], bool] = _had_nothing
    had_line: Callable[[str], bool] = _had_none
    became: Callable[[str, int], bool] = _became_none
    took_off: Callable[[Gone], bool] = _took_none

    def holds(self, key: str, seq: int) -> bool:
        """Whether the list held the element that row `seq` brought."""
        if self.row is not None:
            return seq <= self.row
        if self.keys is not None:
            return key in self.keys
        return seq <= self.acknowledged or seq not in self.elsewhere

    def carries_over(self, key: str, element: object) -> bool:
        """Whether the list held an element unchanged that somebody has removed or changed meanwhile."""
        if self.repeats(key, element):
            return True
        gone = self.gone.get(key)
        if gone is None or not self.holds(key, gone.brought) or gone.digest != digest_of(element):
            return False
        if self.took_off(gone):
            return False
        if self.row is not None:
            return gone.taken > self.row
        # An element of its own last write was on its author's screen, however long it had been gone by then.
        return self.keys is not None or gone.taken > self.acknowledged


@define(eq=False)
class Movements:
    """The latest movements of an entity's counters and lists, oldest first.

    of: field -> its movements.
    cut: the fields whose older movements were let go.
    gone: by list and key, the elements removed last.
    """

    of: dict[str, list[Movement]] = field(factory=dict)
    cut: set[str] = field(factory=set)
    gone: dict[str, dict[str, Gone]] = field(factory=dict)
    fields_written: list[Path] = field(factory=list, init=False)
    """The fields of lines of which the last row wrote registers."""

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> Movements:
        of = {name: [Movement(*move) for move in moves] for name, moves in stored["movements"].items()}
        gone = {name: {key: Gone(*of_key) for key, of_key in keys.items()} for name, keys in stored["gone"].items()}
        return cls(of, set(stored["cut"]), gone)

    def store(self) -> dict[str, object]:
        return {
            "movements": {name: _as_list(moves) for name, moves in self.of.items()},
            "cut": sorted(self.cut),
            "gone": {name: {key: gone.stored() for key, gone in keys.items()} for name, keys in self.gone.items()},
        }

    def __bool__(self) -> bool:
        return bool(self.of or self.gone)

    def record_removed(
        self, policy: EntityPolicy, document: Document, record: FieldRecord, brought: int, seq: int, before: object
    ) -> None:
        """Row `seq` removed a record that row `brought` had added.

        If it is an element of a list, it is remembered. before: what was shown of the field until then.
        """
        if len(record.path) != 2:
            return
        field, key = record.path
        element = policy.kinds.of(field).removed(record, document, before)
        if element is ABSENT:
            return
        keys = self.gone.setdefault(field, {})
        keys.pop(key, None)
        keys[key] = Gone(digest_of(element), brought, seq)

    def removed_by(self, seq: int, name: str) -> None:
        """Row `seq` is of this operation."""
        for keys in self.gone.values():
            for key, gone in reversed(keys.items()):
                if gone.taken != seq:
                    break
                keys[key] = evolve(gone, by=name)

    def let_go(self, everybody: int) -> None:
        """Forget removed elements, and movements of lines, that nobody needs. everybody: the row up to which all
        terminals have confirmed."""
        for name, keys in self.gone.items():
            last = needless([gone.taken for gone in keys.values()], everybody)
            self.gone[name] = {key: gone for key, gone in keys.items() if gone.taken > last}
        for name, moves in self.of.items():
            if counter_path(name):
                last = needless([move.seq for move in moves], everybody)
                seen = sum(move.seq <= last for move in moves)
                del moves[: max(seen - 1, 0)]  # the last that all have seen is what they count from

    def record_added(self, record: FieldRecord) -> None:
        """A record was added. If it is an element that had been removed, it is not gone any more."""
        if len(record.path) == 3:
            self.fields_written.append(record.path)
        keys = self.gone.get(record.path[0]) if len(record.path) == 2 else None
        if keys is not None and keys.pop(record.path[1], None) is not None and not keys:
            del self.gone[record.path[0]]

    def row_written(
        self, kinds: FieldKinds, after: After, seq: int, author: str | None, acked: int, *, echo: bool
    ) -> None:
        """A row of this entity was written. The rest as in Movement."""
        for name, kind in kinds.remembering:
            moves = self.of.get(name, [])
            remembered: tuple[object, object] | None
            if kind.carried and name not in after.written:  # of most rows
                remembered = None if after.fields.get(name) is None else (None, True)
            else:
                remembered = kind.remembered(name, after, moves[-1].shown if moves else None)
            if remembered is None:
                continue
            written, shown = remembered
            if kind.carried and isinstance(written, list):
                _only_latest_keys(moves, author)
            moves.append(Movement(seq, after.document.version, author, written, shown, acked, echo))
            if len(moves) > MOST_MOVEMENTS:
                del moves[0]
                self.cut.add(name)
            self.of[name] = moves
        counted = map(counter_name, self.fields_written)  # if it is a counter, somebody has counted it
        for name in dict.fromkeys((*after.minds, *after.document.counters, *counted)):
            path = counter_path(name)
            if path:
                self._line_counted(kinds.at(path), name, path, RowOf(seq, author, acked, echo), after)

    def _line_counted(self, kind: Kind, name: str, path: Path, row: RowOf, after: After) -> None:
        """A row was written to an entity that counts fields of elements. Only what has moved is kept."""
        moves, mind = self.of.get(name, []), after.minds.get(name)
        total = after.document.counters.get(name)
        last = moves[-1].shown if moves else None
        same = isinstance(last, list) and total is not None and last[1] == total_of(total)
        if mind is None and same and path[0] not in after.written:
            return
        if not isinstance(kind, KeyedList):
            return
        opening = kind.opening_at(after.document, after.policy, path)
        if opening is None:
            return
        shown = stored(count_after(after.document, name, opening))
        if not moves:  # everybody who has seen the element knows with what it began, before anybody counted it
            began = kind.began_at(after.document, after.policy, path)
            moves = [Movement(0, 0, None, None, stored(begun(began)), 0, True)]
        written = None if mind is None else stored(mind)
        if mind is None and shown == moves[-1].shown and name in self.of:
            return
        version = after.document.version
        moves.append(Movement(row.seq, version, row.author, written, shown, row.acked, row.echo))
        self.of.pop(name, None)
        self.of[name] = moves[-MOST_OF_A_LINE:]
        deeper = [other for other in self.of if counter_path(other)]
        for other in deeper[:-MOST_LINES_COUNTED]:  # without any, the next one would count from the beginning
            del self.of[other][:-1]

    def rows_known(self) -> Iterator[tuple[int, int]]:
        """Rows that moved something, and the entity's version after each."""
        return ((move.seq, move.version) for moves in self.of.values() for move in moves if move.seq)

    def rows_sent_back(self, terminal: str) -> Iterator[int]:
        """The rows by which a terminal's own writes were shown to it, as they came while others were on their way."""
        return (move.seq for moves in self.of.values() for move in moves if move.author == terminal and move.echo)

    def known(self, name: str, author: AuthorView) -> Count | None:
        """What an author last knew of a counter; None where the movements kept here do not tell."""
        return _count(_last(reversed(self.of.get(name, [])), author))

    def at(self, name: str, version: int, elsewhere: int | None) -> Count | None:
        """What a counter was when the entity had a version, or before that; None where the version may name another
        state than the one here.

        elsewhere: the last row that another node holds too; None where there is none.
        """
        found = [move for move in self.of.get(name, ()) if move.version <= version and move.shown is not None]
        if not found or not (elsewhere is None or found[-1].author is None or found[-1].seq <= elsewhere):
            return None
        return count_from(found[-1].shown)

    def known_list(self, name: str, author: AuthorView) -> KnownList:
        """A list as an author last knew it."""
        last = _last(reversed(self.of.get(name, [])), author)
        move, own = last if last is not None else (None, True)
        keys = move.written if own and move is not None and isinstance(move.written, list) else None
        row = move.seq if move is not None and not own else None
        known = frozenset(keys) if keys is not None else None
        elsewhere = frozenset(move.seq for move in self.of.get(name, ()) if move.author is None)
        return KnownList(row, known, author.acknowledged, self.gone.get(name, {}), elsewhere)

    def acknowledged_by(self, name: str, seq: int) -> int:
        """The last row that the author of row `seq` had seen when it wrote that; all before it, where none tells."""
        return next((move.acked for move in reversed(self.of.get(name, [])) if move.seq == seq), seq)

    def tells(self, name: str, author: AuthorView) -> bool:
        """Whether the movements kept here tell what an author last knew of a counter.

        If not, older rows must be read.
        """
        return name not in self.cut or self.known(name, author) is not None


def begun(opening: object) -> Count:
    """What a counter of a line was when it began. opening: as `KeyedList.opening_at` gives it."""
    found = Opening.of(opening)
    return NOTHING_COUNTED if found is None else Count(found.amount, found.moved)


@frozen
class RowOf:
    """A row as a movement needs it."""

    seq: int
    author: str | None
    acked: int
    echo: bool


def _as_list(moves: Iterable[Movement]) -> orjson.Fragment:
    return orjson.Fragment(b"[" + b",".join([move.text for move in moves]) + b"]")


def _only_latest_keys(moves: list[Movement], author: str | None) -> None:
    """Its author writes a list again: the keys that it wrote last, of which there is one movement, are let go."""
    for number in range(len(moves) - 1, -1, -1):
        move = moves[number]
        if move.author == author and isinstance(move.written, list):
            seq, version, shown, acked = move.seq, move.version, move.shown, move.acked
            moves[number] = Movement(seq, version, author, written=True, shown=shown, acked=acked, echo=move.echo)
            return


def known_from_log(rows: Sequence[LogRow], entity_id: str, name: str, author: AuthorView) -> Count | None:
    """What an author last knew of a counter. rows: the entity's log rows, the latest first."""
    return _count(_last((_movement(row, entity_id, name) for row in rows), author))


def _count(last: tuple[Movement, bool] | None) -> Count | None:
    return None if last is None else count_from(last[0].written if last[1] else last[0].shown)


def _last(movements: Iterable[Movement | None], author: AuthorView) -> tuple[Movement, bool] | None:
    """What came last on the author's connection, and whether it was its own write. movements: the latest first."""
    own: Movement | None = None
    since = -1
    for move in movements:
        if move is None or (author.first_attempt is not None and move.seq > author.first_attempt):
            continue
        if own is None and move.author == author.terminal and move.written is not None:
            own = move
            since = shown_since(author.again, move.seq, move.acked)
        if own is not None and move.seq <= since:
            break
        sent = move.author != author.terminal or move.echo or sent_again(author.again, move.seq)
        if author.newest is not None and move.version > author.newest:
            continue
        if sent and since < move.seq <= author.acknowledged and move.shown is not None:
            return move, False
    return (own, True) if own is not None else None


def _movement(row: LogRow, entity_id: str, name: str) -> Movement | None:
    data = orjson.loads(row.operation).get("data", {}) if row.operation else {}
    changes = orjson.loads(row.changes) if row.changes else {}
    after = changes.get("after", {})
    if row.entity_id is None:  # a BULK_UPDATE
        items = [item["data"] for item in data.get("updates", ()) if item.get("entity_id") == entity_id]
        data, after = (items or [{}])[-1], after.get(entity_id, {})
    written = ((changes.get("minds") or {}).get(entity_id) or {}).get(name)
    if name not in after and written is None:
        return None
    amount = amount_of(after.get(name))
    shown = stored(Count(amount, None, amount is None and name in after))
    author = None if row.via else row.terminal_id
    acked = changes.get("acknowledged", row.seq)
    return Movement(row.seq, row.version, author, written, shown, acked, row.echo)
