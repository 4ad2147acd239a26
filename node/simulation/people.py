"""What the people of a simulated store do: orders, stock, customers, the drawer, locks, decisions, and mistakes."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from crdt.records import name_of
from node.errors import InvalidMessage, LockTimeout, NotStored
from node.simulation.authors import Authors
from node.simulation.counting import Counting
from node.simulation.drawer import Drawer
from node.simulation.forms import FORMS, Forms
from node.simulation.intentions import (
    OPENING,
    REGISTERS,
    Deletion,
    Meant,
)
from node.simulation.invariants import Violation
from node.simulation.restaurant import Restaurant
from node.simulation.restoring import Restoring
from node.simulation.tables import Tables
from node.simulation.terminal import Data, Terminal, own_name
from node.wire.subject import ABOUT

if TYPE_CHECKING:
    from node.simulation.machine import Machine

TYPES = ("orders", "products", "customers", "cashier_operations")
STATUSES = ("pending", "preparing", "ready", "delivered", "paid", "lost")
STOCKS = ("s-0", "s-1")
BILLS = ("conta-0", "conta-1")
"""Orders that are paid, or deleted and opened again."""
MONEY = 0.3
"""Of the evenings: how many have payments, slips and notes; and of what is done in those, how much of it is that."""
TABS = 0.3
"""The same of guests who take what they ordered to another tab."""

PAGE, RESTORES = 0.3, 0.3
"""Of the evenings: how many have somebody who brings things back; of what is done in those, how much is that."""

LARGE, LARGE_MOST = 70_000, 2
"""Characters of a large message, and how many of them an evening has."""

RESEND_CODE = NotStored.code
"""The node could not store an operation: to be sent again."""

NONSENSE = (
    b'{"type": "data_sync", "operation": {"id": "a", "data": {"note": "cut off',
    b'{"type": "data_sync", "operation": {"data": {"n": NaN}, "id": "b"}}',
    b'{"type": "data_sync", "operation": {"id": "c", "data": ' + b"[" * 2_000 + b"]" * 2_000 + b"}}",
    b'{"type": "release_lock", "lock_id": "d", "terminal_id": []}',
    b'{"conflict_id": "e", "type": "conflict_resolution", "resolution": 7}',
    b'{"type": "data_sync", "operation": {"id": "f", "note": "\xff\xfe"}}',
    b'{"type": "data_sync", "id": "g"}',
    b'{"type": "data_sync", "id": "h", "operation": null}',
    b'{"type": "launch", "id": "i"}',
    b'{"type": "sync_confirmation", "operation_id": "never"}',
    b'{"type": "conflict_resolution", "conflict_id": "never", "resolution": "accept_local"}',
    b'{"type": "release_lock", "lock_id": "never"}',
    b'{"type": "acquire_lock", "entity_type": "orders", "entity_id": "e-0", "timeout": -1}',
    b'{"type": "data_sync", "operation": {"id": "x", "entity_type": "dragons", "entity_id": "1", "operation":'
    b' "CREATE", "data": {}}}',
    b'{"type": "data_sync", "operation": {"id": "y", "entity_type": "orders", "entity_id": "1", "operation":'
    b' "UPDATE", "data": {"n": 1e400}}}',
    b'{"type": "data_sync", "operation": {"id": "z", "entity_type": "products", "entity_id": "s-0", "operation":'
    b' "UPDATE", "data": {"stock": {"$inc": "many"}}}}',
)


@define(eq=False)
class People:
    """Draws what somebody does next."""

    restaurant: Restaurant
    authors: Authors = field(init=False)
    rng: random.Random = field(init=False)
    entities: int = field(init=False)
    """How many of each type people write at random: the fewer, the more they meet."""
    _tables: Tables = field(init=False)
    _forms: Forms = field(init=False)
    _counting: Counting = field(init=False)
    _large: int = 0
    _decisions: int = 0
    _habits: dict[Callable[[Terminal], None], float] = field(factory=dict)
    """How often somebody does each thing; other people do other things more."""
    _to_try: dict[tuple[str, str | None], Callable[[], None]] = field(factory=dict)
    """By terminal and what it is written to, what was refused for a lock."""
    _chance: random.Random = field(init=False)
    """A stream of its own for money, so that evenings without any are what they are."""
    _of_money: tuple[Callable[[Terminal, random.Random], None], ...] = field(init=False)
    _tabs: random.Random = field(init=False)
    """The same for guests who change their seats."""
    _has_tabs: bool = field(init=False)
    _restoring: Restoring = field(init=False)
    _pages: random.Random = field(init=False)
    """The same for those who look into what became of something."""
    _has_page: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.rng, self.authors = self.restaurant.rng, Authors(self.restaurant)
        self.entities = self.rng.choice([1, 2, 4])
        of = self.authors
        self._tables, self._forms, self._counting = Tables(of), Forms(of), Counting(of)
        often: dict[Callable[[Terminal], None], int] = {
            self._any_write: 28,
            self._react: 14,
            self._sell: 14,
            self._tables.serve: 20,
            self._forms.fill: 12,
            self._counting.count: 6,
            self._lock: 8,
            self._decide: 6,
            self._bill: 7,
            self._resend: 4,
            self._nonsense: 3,
            self._ping: 2,
        }
        self._chance = self.restaurant.chance("till")
        money = (self._tables.pay, Drawer(of).withdraw, self._tables.note)
        self._of_money = money if self._chance.random() < MONEY else ()
        self._tabs = self.restaurant.chance("tabs")
        self._has_tabs = self._tabs.random() < TABS
        self._pages = self.restaurant.chance("back")
        self._has_page = self._pages.random() < PAGE
        self._restoring = Restoring(of)
        self._habits = {act: times * self.rng.choice([0.3, 1, 3]) for act, times in often.items()}

    def open_store(self) -> None:
        """The stocks that are counted, by the first terminal of the first node."""
        terminal = self.restaurant.terminals[0]
        for name in STOCKS:
            self.authors.write_meant(
                terminal, ("products", name), "CREATE", {"stock": OPENING, "name": name}, Meant(opens=name)
            )

    def something(self) -> None:
        """One terminal does one thing."""
        if self._of_money and self._chance.random() < MONEY:
            self._chance.choice(self._of_money)(self._chance.choice(self.restaurant.terminals), self._chance)
            return
        if self._has_tabs and self._tabs.random() < TABS:
            self._tables.change_seats(self._tabs.choice(self.restaurant.terminals), self._tabs)
            return
        if self._has_page and self._pages.random() < RESTORES:
            self._restoring.restore(self._pages.choice(self.restaurant.terminals), self._pages, self.entities)
            return
        terminal = self.rng.choice(self.restaurant.terminals)
        if not terminal.wants and self.rng.random() < 0.4:  # else it goes on without a connection
            terminal.come_back(full=self.rng.random() < 0.2 and not terminal.unanswered)
            return
        if terminal.lazy and self.rng.random() < 0.3:
            terminal.confirm_some(self.rng.randrange(1, 6))
        act = self.rng.choices(list(self._habits), list(self._habits.values()))[0]
        act(terminal)

    # ------------------------------------------------------------------ writing

    def write(self, terminal: Terminal) -> None:
        """One terminal writes something."""
        self.rng.choice([self._any_write, self._sell, self._sell])(terminal)

    def _any_write(self, terminal: Terminal) -> None:
        rng = self.rng
        entity_type, entity_id = rng.choice(TYPES), f"e-{rng.randrange(self.entities)}"
        if not self.authors.may_write(terminal, entity_type):
            return
        data: Data = {name: rng.randrange(4) for name in rng.sample(REGISTERS, rng.randrange(1, 3))}
        if rng.random() < 0.3 and entity_type == "orders":
            data |= rng.choice(
                [{"total": rng.randrange(9)}, {"discount": 1, "total": 3}, {"status": rng.choice(STATUSES)}]
            )
        shown = terminal.screen.get((entity_type, entity_id), {})
        if rng.random() < 0.3:
            data["version"] = rng.choice([shown.get("version", 0) + 1, 1, rng.randrange(30), 2**53])
        lies = data.get("version", 0) > shown.get("version", 0) + 1
        if rng.random() < 0.02 and self._large < LARGE_MOST:
            self._large += 1
            data["photo"] = f"{self._large}".ljust(LARGE, "x")
        kind = rng.choices(["CREATE", "UPDATE", "DELETE", "BULK_UPDATE"], [3, 8, 1, 1])[0]
        if kind == "BULK_UPDATE":
            updates = [{"entity_id": f"e-{n}", "data": dict(data)} for n in range(rng.randrange(1, 3))]
            operation = self.authors.write(terminal, entity_type, None, kind, {"updates": updates})
        else:
            known = self.authors.knows(terminal)
            key, ledger = (entity_type, entity_id), self.restaurant.ledger
            gone, seen = key not in terminal.screen, self.authors.seen(terminal) if known else frozenset()
            operation = self.authors.write(terminal, *key, kind, {} if kind == "DELETE" else data)
            if kind == "CREATE" and known and gone and "version" not in data:
                ledger.births.setdefault(key, {})[operation] = seen
                self.authors.judged(terminal, operation)
            if kind == "DELETE" and known:
                self.restaurant.ledger.deletions[operation] = Deletion(
                    (entity_type, entity_id), self.authors.seen(terminal)
                )
                self.authors.judged(terminal, operation)
        if lies:
            self.restaurant.ledger.claims.add(operation)

    def _react(self, terminal: Terminal) -> None:
        """Write to what was just shown, as the kitchen does when an order comes."""
        shown = terminal.latest
        if shown is None or shown["operation"] not in ("CREATE", "UPDATE"):
            return
        names = [name for name in REGISTERS if name in shown["data"]]
        key = (shown["entity_type"], shown["entity_id"])
        if names and key not in FORMS and self.authors.may_write(terminal, key[0]):
            data: Data = {self.rng.choice(names): self.rng.randrange(4)}
            self.authors.write(terminal, shown["entity_type"], shown["entity_id"], "UPDATE", data)

    def _sell(self, terminal: Terminal) -> None:
        """Move a stock by an amount, or both at once."""
        rng, names = self.rng, self.rng.choice([STOCKS[:1], STOCKS[1:], STOCKS[:1], STOCKS[1:], STOCKS])
        authors = self.authors
        if not authors.may_write(terminal, "products"):
            return
        if authors.absolutes and not authors.knows(terminal, named=True):
            return
        written: list[Data] = []
        moves: list[tuple[str, Decimal]] = []
        for name in names:
            key = ("products", name)
            on_screen = terminal.screen.get(key, {}).get("stock")
            if on_screen is None or (self.authors.absolutes and self.authors.flickers(terminal, key, "stock")):
                return
            amount = Decimal(rng.choice(["-1", "-2", "-3", "5", "-0.5"]))
            value = _number(Decimal(str(on_screen)) + amount) if self.authors.absolutes else {"$inc": _number(amount)}
            written.append({"entity_id": name, "data": {"stock": value, **self.authors.version(terminal, key)}})
            moves.append((name, amount))
        meant = Meant(moves=tuple(moves), relative=not self.authors.absolutes)
        if len(names) == 1:
            self.authors.write_meant(terminal, ("products", names[0]), "UPDATE", written[0]["data"], meant)
        else:  # some clients put an `entity_id` into every operation
            entity_id = rng.choice([None, names[0]])
            self.authors.write_meant(terminal, ("products", entity_id), "BULK_UPDATE", {"updates": written}, meant)

    # ------------------------------------------------------------------ bills

    def _bill(self, terminal: Terminal) -> None:
        """Somebody takes an order on, pays it, deletes it, opens it again, or decides what its status was."""
        rng, name = self.rng, self.rng.choice(BILLS)
        if not self.authors.may_write(terminal, "orders"):
            return
        ledger, till = self.restaurant.ledger, terminal.kind == "pos"
        told = [c for c in terminal.conflicts.values() if c["entity_type"] == "orders" and c["entity_id"] == name]
        if till and rng.random() < 0.8:
            operation = self.authors.write(
                terminal, "orders", name, "UPDATE", {"status": "paid", "total": rng.randrange(9)}
            )
            ledger.paid.setdefault(name, set()).add(operation)
            return
        choice = rng.random()
        if told and choice < 0.7:
            back = self._decide_bill(terminal, rng.choice(told)["id"])
        elif choice < 0.8:
            back = self.authors.write(terminal, "orders", name, "DELETE", {})
        elif choice < 0.9:
            back = self.authors.write(terminal, "orders", name, "CREATE", {"status": "pending"})
        else:
            back = self.authors.write(terminal, "orders", name, "UPDATE", {"status": rng.choice(STATUSES[:4])})
        if till:
            ledger.taken_back.setdefault(name, set()).add(back)

    def _decide_bill(self, terminal: Terminal, conflict: str) -> str:
        """Settled or not. Returns the name of the decision."""
        self._decisions += 1
        name = f"{terminal.name}.d{self._decisions}"
        side = self.rng.choice(["accept_local", "accept_remote", "merge"])
        message: Data = {"type": "conflict_resolution", "conflict_id": conflict, "resolution": side, "id": name}
        message["reason"] = f"{terminal.name} says so"
        terminal.send(message if side != "merge" else {**message, "resolved_data": {"status": "pending"}})
        return name_of(terminal.name, name)

    # ------------------------------------------------------------------ the rest

    def _lock(self, terminal: Terminal) -> None:
        rng = self.rng
        entity_type = rng.choice(["orders", "orders", "cashier_operations"])
        entity_id = f"e-{rng.randrange(self.entities)}"
        if entity_type == "orders":
            entity_id = rng.choice([entity_id, *self._tables.names, *self._tables.names])
        held = terminal.leases.pop((entity_type, entity_id), None)
        if held is not None and rng.random() < 0.6:
            self.restaurant.checks.given_up.add((entity_type, entity_id, terminal.name))
            terminal.send({"type": "release_lock", "lock_id": held})
            return
        terminal.send(
            {
                "type": "acquire_lock",
                "entity_type": entity_type,
                "entity_id": entity_id,
                "terminal_id": terminal.name,
                "timeout": rng.choice([1_000, 10_000, 30_000, 300_000]),
            }
        )

    def _decide(self, terminal: Terminal) -> None:
        open_ones = [c for c in terminal.conflicts.values() if c.get("state") == "open"]
        if open_ones:
            conflict = self.rng.choice(open_ones)
            if (conflict["entity_type"], conflict["entity_id"]) in FORMS:  # what was replaced may be decided for
                self.restaurant.ledger.vague.add(f"{conflict['entity_type']} {conflict['entity_id']}")
            sides = ("accept_local", "accept_remote")
            decision = self.rng.choice([sides[:1], sides[1:], sides])  # alike, or each their own
            others = [t for t in self.restaurant.terminals if conflict["id"] in t.conflicts and t is not terminal]
            for decider in [terminal, *(others if self.rng.random() < 0.3 else ())]:
                side = self.rng.choice(decision)
                message = {"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": side}
                decider.send({**message, "reason": f"{decider.name} decides"})

    def _resend(self, terminal: Terminal) -> None:
        """The same once more; or the same id for something else, which the node has to refuse."""
        confirmed = self.restaurant.checks.confirmed
        own = [
            o
            for author, o in list(self.authors.sent.values())[-40:]
            if author is terminal and own_name(o) in confirmed
        ]
        if not own:
            return
        operation = self.rng.choice(own)
        if self.restaurant.checks.set_back:
            return  # it may be gone, and would be written anew, after what its author has written since
        known = confirmed[own_name(operation)].endswith(f" by {terminal.machine.node_id}")
        if not known:  # to this node it may be something new, after what its author has written since
            self.restaurant.ledger.forget([own_name(operation)])
        if self.rng.random() < 0.2 and known and own_name(operation) not in self.restaurant.ledger.meant:
            terminal.send({"type": "data_sync", "operation": {**operation, "data": {"a": "something else"}}})
        else:
            terminal.again(operation)

    def _nonsense(self, terminal: Terminal) -> None:
        """Each has a name in it, by which it can be taken out of a queue."""
        terminal.send_raw(self.rng.choice(NONSENSE))

    def _ping(self, terminal: Terminal) -> None:
        terminal.ping()

    def refused(self, terminal: Terminal, message: Data) -> None:
        """An operation was refused. What could not be stored is sent again after a while."""
        operation_id = name_of(terminal.name, message.get("operation_id") or "")
        if message.get("code") == InvalidMessage.code and not any(message.get(name) for name in ABOUT):
            raise Violation(f"{terminal.name} is refused, and not told what: {message['error']}")
        if (
            message.get("code") not in (RESEND_CODE, LockTimeout.code)
            or operation_id in self.restaurant.checks.confirmed
        ):
            return
        if operation_id not in self.authors.sent:
            return
        _, operation = self.authors.sent[operation_id]
        if message["code"] == LockTimeout.code:
            again = partial(self._try_again, terminal, operation, terminal.machine)
            when = self.rng.random()
            if when < 0.4:  # they try it once more; or when something else goes through; or never
                self.authors.refused.add(own_name(operation))
                terminal.clockwork.later(self.rng.randrange(500, 20_000), again)
            elif when < 0.8:
                self.authors.refused.add(own_name(operation))
                self._to_try[terminal.name, operation.get("entity_id")] = again
            return
        self.authors.refused.add(own_name(operation))
        ledger = self.restaurant.ledger
        ledger.claims.update([operation_id, *terminal.names])
        if operation_id in ledger.counts:
            ledger.forget([operation_id])
        if operation_id in ledger.meant and "$inc" not in str(operation["data"]):
            # Sent again it would mean something else, by what came meanwhile: somebody looks again instead,
            # and what its author wrote after it was reckoned from it.
            ledger.forget([operation_id])
            terminal.clockwork.later(0, lambda: self._reload(terminal))
        else:
            terminal.unanswered[operation["id"]] = operation
            terminal.clockwork.later(self.rng.randrange(1_000, 5_000), lambda: self._once_more(terminal, operation))

    def confirmed(self, terminal: Terminal, message: Data) -> None:
        """It was refused and shown again, perhaps over what came after it, and was stored all the same: somebody
        looks again. Or something else was refused before, and is tried again now that this went through."""
        if (
            message["status"] == "duplicate"
            and name_of(terminal.name, message["operation_id"]) in self.authors.refused
        ):
            terminal.clockwork.later(0, lambda: self._reload(terminal))
            return
        _, operation = self.authors.sent.get(name_of(terminal.name, message["operation_id"]), (terminal, {}))
        again = self._to_try.pop((terminal.name, operation.get("entity_id")), None)
        if again is not None:
            terminal.clockwork.later(0, again)

    def _reload(self, terminal: Terminal) -> None:
        if terminal.wants:
            terminal.leave(unnoticed=False)
            terminal.come_back(full=True)

    def _once_more(self, terminal: Terminal, operation: Data) -> None:
        if operation["id"] in terminal.unanswered:
            terminal.again(operation, show=True)

    def _try_again(self, terminal: Terminal, operation: Data, machine: Machine) -> None:
        """The same at the node that refused it, if that still knows that it did."""
        if (
            terminal.session is not None
            and terminal.machine is machine
            and machine.node_id not in self.restaurant.checks.set_back
        ):
            if self.restaurant.ledger.taken_off(own_name(operation)):
                self.restaurant.ledger.forget([own_name(operation)])  # is it to be there, or not?
            terminal.again(operation, show=True)

    # ------------------------------------------------------------------ the end

    def go_quiet(self) -> None:
        """Everybody comes back, with a library that answers, sends what waits, and only looks."""
        for terminal in self.restaurant.terminals:
            terminal.hold_back_no_more()
            if terminal.hid or (terminal.strayed and not self.restaurant.remembers_visits):
                self._load_again(terminal)
            if not terminal.manner.pongs:
                terminal.leave(unnoticed=False)
                terminal.manner = evolve(terminal.manner, pongs=True)
            if terminal.session is None:
                terminal.leave(unnoticed=True)
            terminal.come_back()

    def confirm_all(self) -> None:
        for terminal in self.restaurant.terminals:
            terminal.confirm_some(1_000_000)
            if terminal.hid:  # it came back last, read, and sent what waited only then
                self._load_again(terminal)

    def _load_again(self, terminal: Terminal) -> None:
        """A page that keeps what it has had no answer to."""
        terminal.leave(unnoticed=False)
        terminal.come_back(full=True, queue=True)


def _number(amount: Decimal) -> int | float:
    return int(amount) if amount == int(amount) else float(amount)
