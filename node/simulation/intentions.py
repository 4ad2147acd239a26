"""An independent model of what must come out: sums of movements and sets of items, from what people meant to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from crdt.records import terminal_of
from strategies.kinds.kind import ABSENT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

OPENING = 100
REGISTERS = ("a", "b", "c")
"""Plain fields, of which each write is a value of its own."""


ITEM_STATUSES = ("sent", "preparing", "ready")
"""Of an item of a list: it goes forward and never back."""


@frozen
class Meant:
    """What one operation was meant to do: move stocks by an amount, put an item on a list, take some off, or change
    one."""

    moves: tuple[tuple[str, Decimal], ...] = ()
    relative: bool = False
    """Whether the movement itself was written, and not what is left."""
    opens: str | None = None
    adds: tuple[str, str] | None = None
    quantity: Decimal = Decimal(0)
    """Of the item that it adds, or by how much more there is to be of one that it changes."""
    removes: tuple[str, frozenset[str]] | None = None
    changes: tuple[str, str] | None = None
    status: str | None = None
    """What it makes of the status of an item that it changes."""
    seen: frozenset[str] = frozenset()
    """Of a removal, what its author had seen."""

    @property
    def entities(self) -> list[str]:
        """The stocks and lists of which it wrote more than the change itself: the number that is left, or the whole
        list."""
        names = [] if self.relative else [name for name, _ in self.moves]
        return names + [what[0] for what in (self.adds, self.removes, self.changes) if what is not None]


@frozen
class Deletion:
    """A deletion by somebody of whom the node knows what was on the screen. seen: all operations that had come to it,
    and its author's own that were confirmed."""

    entity: tuple[str, str]
    seen: frozenset[str]


@frozen
class Restored:
    """Somebody's bringing back of a deleted entity as it was. seen: the operations that its author had read of it."""

    entity: tuple[str, str]
    data: Mapping[str, Any]
    seen: frozenset[str]


@frozen
class Edit:
    """Somebody's change of one field, to a value that nobody else gave it, but for who brought it back.

    entity: its type and id. field: of a line's field the list, the line's id, and the field's name, with slashes.
    seen: what its author had read. whole: the rest of the entity was sent with it, as it was on the screen.
    doubtful: nobody can say what its author had seen, and so what it replaces.
    """

    entity: tuple[str, str]
    field: str
    value: object
    seen: frozenset[str]
    whole: bool
    doubtful: bool = False

    def shown(self, view: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> object:
        """What is shown of its field, ABSENT if the entity or line is not there."""
        entity = view[self.entity[0]].get(self.entity[1], {})
        name, _, within = self.field.partition("/")
        if not within:
            return entity.get(name, ABSENT)
        line, _, name = within.partition("/")
        return next((item.get(name, ABSENT) for item in lines_of(entity) if item["id"] == line), ABSENT)


def lines_of(shown: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The lines or the payments of an order: no simulated order has both."""
    return [*((shown or {}).get("items") or []), *((shown or {}).get("payments") or [])]


@frozen
class Moved:
    """A line that may be in two orders: one terminal moved it while others changed it or moved it elsewhere."""

    mover: str
    line: str
    orders: tuple[str, str]
    others: frozenset[str]


@frozen
class CountEvent:
    """What somebody did to a number that is counted now and then. seen: as of a deletion.

    counted: what was counted, None for "not counted any more", or ABSENT where it was only moved. moved: by how much.
    """

    name: str
    seen: frozenset[str]
    counted: object
    moved: Decimal = Decimal(0)


@define(eq=False)
class Ledger:
    """By operation id. It knows nothing of CRDTs: an operation that is in the log counts once, one that is not does
    not count.

    exact: whether removals count too. They do while each node knows what its terminals have seen; a crash within the
    second after a confirmation, or a restored backup, makes it forget some of that (README, Limits).
    """

    meant: dict[str, Meant] = field(factory=dict)
    deletions: dict[str, Deletion] = field(factory=dict)
    births: dict[tuple[str, str], dict[str, frozenset[str]]] = field(factory=dict)
    """Entity -> the operations by which somebody created it who saw that it was gone, and what each had seen."""
    edits: dict[str, Edit] = field(factory=dict)
    restored: dict[str, Restored] = field(factory=dict)
    readings: dict[str, frozenset[str]] = field(factory=dict)
    """What the author of an operation had read that rests on it and says so itself."""
    counts: dict[str, CountEvent] = field(factory=dict)
    paid: dict[str, set[str]] = field(factory=dict)
    """Order -> the operations that say that it is paid."""
    taken_back: dict[str, set[str]] = field(factory=dict)
    """Order -> what those wrote who may take that back: a lower status, a deletion, a decision."""
    claims: set[str] = field(factory=set)
    """Operations with a version that says that their authors had seen what they had not been shown: a number that was
    made up, one that counts on from a write that was refused and is sent again later, or one of another node's."""
    exact: bool = True
    vague: set[str] = field(factory=set)
    """Stocks and lists of which nobody can say what is right: somebody wrote the whole of one from a screen of which
    the node does not know that it was shown."""

    def forget(self, operations: Iterable[str]) -> None:
        """The node does not know what their authors had seen."""
        for operation in operations:
            self.deletions.pop(operation, None)
            self.restored.pop(operation, None)
            for births in self.births.values():
                births.pop(operation, None)
            self.vague.update(self.meant.get(operation, Meant()).entities)
            edit, count = self.edits.get(operation), self.counts.get(operation)
            if edit is not None:
                self.edits[operation] = evolve(edit, seen=frozenset(), doubtful=True)
                if edit.whole:
                    self.vague.add(" ".join(edit.entity))
            if count is not None:
                self.vague.add(count.name)

    def read(self, operation: str) -> frozenset[str]:
        """What its author had read of the entity, where it knew that by reading what became of it."""
        return self.readings.get(operation, frozenset())

    def moved(self, held: Collection[str]) -> Iterator[Moved]:
        """Lines that somebody moved who had not seen that somebody else changed them, or moved them elsewhere."""
        meant = {operation: m for operation, m in self.meant.items() if operation in held}
        offs = [(o, m.removes[0], line) for o, m in meant.items() if m.removes for line in sorted(m.removes[1])]
        for operation, left, line in offs:
            changed = {o for o, m in meant.items() if m.changes == (left, line)} - meant[operation].seen
            changers = frozenset(terminal_of(o) for o in changed) - {terminal_of(operation)}
            here = self._put(meant, operation, left, line)
            if changers:
                for right in here:
                    yield Moved(terminal_of(operation), line, (left, right), changers)
            for other, its, same in offs:
                apart = other not in meant[operation].seen and operation not in meant[other].seen
                by_two = terminal_of(operation) < terminal_of(other)
                if apart and by_two and (its, same) == (left, line):
                    there = self._put(meant, other, left, line)
                    for pair in ((one, two) for one in here for two in there if one != two):
                        yield Moved(terminal_of(operation), line, pair, frozenset([terminal_of(other)]))

    def changed_among(self, fields: Iterable[str], operation: str, place: tuple[str, ...]) -> list[str]:
        """Those of a line's fields that the author of an operation changed; all where that is not known.

        place: the order, its list, the line's id. Who changes a list sends all of it: its node may take what was on
        the screen for a change, where it does not know what was.
        """
        meant, edit, fields = self.meant.get(operation), self.edits.get(operation), [*fields]
        order, line = place[0], place[2] if len(place) == 3 else None
        if meant is None or line is None or order not in meant.entities or meant.adds == (order, line):
            return fields
        changed = set()
        if meant.changes == (order, line):
            changed |= {"quantity"} if meant.quantity else set()
            changed |= {"status"} if meant.status is not None else set()
            changed |= {edit.field.rpartition("/")[2]} if edit is not None else set()
        return [name for name in fields if name in changed]

    def _put(self, meant: Mapping[str, Meant], removal: str, left: str, line: str) -> list[str]:
        """The orders to which who removed a line from one added it with that, as far as that can be judged."""
        by, number = terminal_of(removal), _number(removal)
        added = [
            m.adds[0]
            for o, m in meant.items()
            if m.adds and m.adds[1] == line and terminal_of(o) == by and abs(_number(o) - number) <= 1
        ]
        return [right for right in added if right != left and not {left, right} & self.vague]

    def taken_off(self, operation: str) -> bool:
        """Whether what this operation adds was taken off by somebody already, who saw it on its author's screen."""
        meant = self.meant.get(operation)
        if meant is None or meant.adds is None:
            return False
        return any(m.removes is not None and meant.adds[1] in m.removes[1] for m in self.meant.values())

    def problems(
        self,
        held: Iterable[str],
        view: Mapping[str, Mapping[str, Mapping[str, Any]]],
        refused: Collection[str],
        open_: Collection[frozenset[str]] = (),
    ) -> list[str]:
        """What one node shows against what the operations it holds were meant to do. view: by entity type and id.
        refused: operations that some node refused at first, and that were perhaps sent again in another order.
        open_: the operations of each conflict that nobody has decided yet."""
        held = list(held)
        stocks: dict[str, Decimal] = {}
        opened: set[str] = set()
        added: dict[str, list[str]] = {}
        removed: dict[str, set[str]] = {}
        doubtful: set[str] = set()
        for operation in held:
            meant = self.meant.get(operation)
            if meant is None:
                continue
            if meant.opens is not None:
                opened.add(meant.opens)
            for name, amount in meant.moves:
                stocks[name] = stocks.get(name, Decimal(0)) + amount
            if meant.adds is not None:
                added.setdefault(meant.adds[0], []).append(meant.adds[1])
                if operation in refused:
                    doubtful.add(meant.adds[1])
            if meant.removes is not None and operation not in refused:
                unseen = {
                    m.changes[1]
                    for other in held
                    if (m := self.meant.get(other)) is not None and m.changes is not None and other not in meant.seen
                    if m.changes[0] == meant.removes[0]
                }
                removed.setdefault(meant.removes[0], set()).update(meant.removes[1] - unseen)
        found = [
            problem
            for name in sorted(opened - self.vague)
            for problem in self._stock(name, OPENING + stocks.get(name, Decimal(0)), view["products"].get(name))
        ]
        found += self._unpaid(set(held), view["orders"])
        found += self._edited(set(held), view, open_)
        found += self._counted(held, view["products"]) if self.exact else []
        for name, items in sorted(added.items()):
            found += self._lines(name, held, view["orders"].get(name))
            found += self._items(name, items, removed.get(name, set()) - doubtful, view["orders"].get(name))
        return found

    def _unpaid(self, held: set[str], orders: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """An order that somebody paid is there and paid, unless somebody took that back who may."""
        return [
            f"orders {name}: it is paid, and shown as {orders.get(name, {}).get('status', 'nothing')}"
            for name, operations in sorted(self.paid.items())
            if operations & held
            and not self.taken_back.get(name, set()) & held
            and orders.get(name, {}).get("status") != "paid"
        ]

    def _taken_off(self, held: set[str], order: str, field: str) -> bool:
        """Whether somebody took the line of a field off. Who had not seen that may have brought it back as it was."""
        removes = (m.removes for o in held if (m := self.meant.get(o)) is not None)
        return any(gone is not None and gone[0] == order and field.split("/")[1] in gone[1] for gone in removes)

    def _edited(
        self,
        held: set[str],
        view: Mapping[str, Mapping[str, Mapping[str, Any]]],
        open_: Collection[frozenset[str]],
    ) -> list[str]:
        """A field shows what somebody made it, and nothing that somebody replaced who had seen it; unless it was
        decided for once more meanwhile, which is a conflict then."""
        edits = {operation: edit for operation, edit in self.edits.items() if operation in held}
        found = []
        for entity, name in sorted({(edit.entity, edit.field) for edit in edits.values()}):
            of = {o: e for o, e in edits.items() if (e.entity, e.field) == (entity, name)}
            shown = next(iter(of.values())).shown(view)
            if "/" in name and (shown is ABSENT or self._taken_off(held, entity[1], name)):
                continue  # the line was taken off, or is lost, which is looked at elsewhere
            authors = [operation for operation, edit in of.items() if edit.value == shown]
            laters = [next((o for o, e in of.items() if author in e.seen), None) for author in authors]
            later = laters[0] if None not in laters and laters else None  # else one who brought it back, perhaps
            # What a database that was set back has lost may come again with a copy from somebody's screen.
            made = [edit.value for edit in self.edits.values() if (edit.entity, edit.field) == (entity, name)]
            if not authors and shown not in made:
                found.append(f"{' '.join(entity)}: {name} is {shown}, which nobody made it")
            elif later is not None and any(
                later in among and not among - {later} <= of[later].seen for among in open_
            ):
                continue
            elif later is not None and self.exact and not {" ".join(entity), entity[1]} & self.vague:
                found.append(
                    f"{' '.join(entity)}: {name} is {shown}, and {later} had replaced that by {of[later].value}"
                )
        return found

    def _counted(self, held: Iterable[str], products: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """What was counted last, and what was moved since, or unseen by who counted. Of two counts that did not know
        of each other either may stand."""
        found = []
        events = {o: self.counts[o] for o in held if o in self.counts}
        for name in sorted({event.name for event in events.values()} - self.vague):
            of = {o: e for o, e in events.items() if e.name == name}
            counts = {o: e for o, e in of.items() if e.counted is not ABSENT}
            last = [o for o in counts if not any(o in e.seen for e in counts.values())]
            moves = [(o, e.moved) for o, e in of.items() if e.counted is ABSENT]
            if len(last) > 1 or (last and counts[last[0]].counted is None and moves):
                continue
            seen = counts[last[0]].seen if last else frozenset()
            counted = counts[last[0]].counted if last else 0
            moved = sum((amount for o, amount in moves if o not in seen), Decimal(0))
            expected = None if counted is None else Decimal(str(counted)) + moved
            stock = products.get(name, {}).get("stock")
            if (None if stock is None else Decimal(str(stock))) != expected:
                found.append(f"products {name}: {stock} are counted, and it is to be {expected}")
        return found

    def _lines(self, name: str, held: Iterable[str], shown: Mapping[str, Any] | None) -> list[str]:
        """Of each item that nobody took off, its quantity and how far it is."""
        off = {i for m in self.meant.values() if m.removes is not None and m.removes[0] == name for i in m.removes[1]}
        added = Counter(
            m.adds[1] for o in held if (m := self.meant.get(o)) is not None and m.adds and m.adds[0] == name
        )
        off |= {key for key, times in added.items() if times > 1}  # two who did not know of each other moved it
        quantities: dict[str, Decimal] = {}
        statuses: dict[str, int] = {}
        for operation in held:
            meant = self.meant.get(operation, Meant())
            for what in (meant.adds, meant.changes):
                if what is not None and what[0] == name:
                    quantities[what[1]] = quantities.get(what[1], Decimal(0)) + meant.quantity
                    if meant.status is not None:
                        rank = ITEM_STATUSES.index(meant.status)
                        statuses[what[1]] = max(statuses.get(what[1], 0), rank)
        found = []
        judged = self.exact and name not in self.vague
        for item in lines_of(shown) if judged else ():
            key = item["id"]
            if key in off or not added[key]:  # what added it was refused, and it came with a later write
                continue
            expected, quantity = quantities.get(key), item.get("quantity", item.get("amount"))
            if expected != Decimal(str(quantity)):
                found.append(f"orders {name}: item {key} has quantity {quantity}, its changes make {expected}")
            if key in statuses and item.get("status") != ITEM_STATUSES[statuses[key]]:
                found.append(
                    f"orders {name}: item {key} is {item.get('status')}, {ITEM_STATUSES[statuses[key]]} before"
                )
        return found

    def _stock(self, name: str, expected: Decimal, shown: Mapping[str, Any] | None) -> list[str]:
        stock = None if shown is None else shown.get("stock")
        if stock is None or Decimal(str(stock)) != expected:
            return [f"products {name}: stock is {stock}, its movements make {expected}"]
        return []

    def _items(self, name: str, added: list[str], removed: set[str], shown: Mapping[str, Any] | None) -> list[str]:
        items = [item["id"] for item in lines_of(shown)]
        found = [f"orders {name}: item {i} is there {items.count(i)} times" for i in set(items) if items.count(i) > 1]
        if name not in self.vague:  # a removal that was lost with a restored backup is still what its author shows
            taken = {
                i for m in self.meant.values() if m.removes is not None and m.removes[0] == name for i in m.removes[1]
            }
            found += [f"orders {name}: item {i} is lost" for i in sorted({*added} - taken - {*items})]
        ever = {meant.adds[1] for meant in self.meant.values() if meant.adds is not None}
        found += [f"orders {name}: item {i} came from nowhere" for i in sorted({*items} - ever)]
        if self.exact and name not in self.vague:
            found += [f"orders {name}: item {i} was removed and is there" for i in sorted({*items} & removed)]
        return found


def _number(operation: str) -> int:
    """The how manieth of its terminal: who moves a line writes one operation, or two in a row."""
    return int(operation.rpartition("/")[2].removeprefix("op-"))
