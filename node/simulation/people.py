"""What the people of a simulated store do: orders, stock, customers, the drawer, locks, decisions, and mistakes."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from crdt.records import name_of
from node.errors import InvalidMessage, LockTimeout, NotStored
from node.simulation.intentions import (
    OPENING,
    REGISTERS,
    Deletion,
    Meant,
)
from node.simulation.invariants import Violation
from node.simulation.restaurant import Restaurant
from node.simulation.terminal import Data, Terminal
from node.wire.subject import ABOUT

if TYPE_CHECKING:
    from node.simulation.machine import Machine

TYPES = ("orders", "products", "customers", "cashier_operations")
STATUSES = ("pending", "preparing", "ready", "delivered", "paid", "lost")
STOCKS = ("s-0", "s-1")
LISTS = ("mesa-0", "mesa-1")
BILLS = ("conta-0", "conta-1")
"""Orders that are paid, or deleted and opened again."""
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
    """Draws what somebody does next. operations: how many were written."""

    restaurant: Restaurant
    rng: random.Random = field(init=False)
    absolutes: bool = field(init=False)
    """Whether stock is sold by writing what is left, as documented clients do, or by `$inc`."""
    versions: bool = field(init=False)
    """Whether stocks and lists are written with the version that they are made from."""
    entities: int = field(init=False)
    """How many of each type people write at random: the fewer, the more they meet."""
    tables: tuple[str, ...] = field(init=False)
    operations: int = 0
    _sent: dict[str, tuple[Terminal, Data]] = field(factory=dict)
    """Every operation by its name, in order, and whose it is."""
    _items: int = 0
    _decisions: int = 0
    _habits: dict[Callable[[Terminal], None], float] = field(factory=dict)
    """How often somebody does each thing; other people do other things more."""
    _refused: set[str] = field(factory=set)
    """Operations that a node refused at first, and that were sent again."""
    _to_try: dict[tuple[str, str | None], Callable[[], None]] = field(factory=dict)
    """By terminal and what it is written to, what was refused for a lock."""

    def __attrs_post_init__(self) -> None:
        self.rng = self.restaurant.rng
        self.absolutes = self.rng.random() < 0.5
        self.versions = self.rng.random() < 0.5
        self.entities = self.rng.choice([1, 2, 4])
        self.tables = LISTS[: self.rng.choice([1, 2])]
        often: dict[Callable[[Terminal], None], int] = {
            self._any_write: 28,
            self._react: 14,
            self._sell: 14,
            self._list: 20,
            self._lock: 8,
            self._decide: 6,
            self._bill: 7,
            self._resend: 4,
            self._nonsense: 3,
            self._ping: 2,
        }
        self._habits = {act: times * self.rng.choice([0.3, 1, 3]) for act, times in often.items()}

    def open_store(self) -> None:
        """The stocks that are counted, by the first terminal of the first node."""
        terminal = self.restaurant.terminals[0]
        for name in STOCKS:
            operation = self._write(terminal, "products", name, "CREATE", {"stock": OPENING, "name": name})
            self.restaurant.ledger.meant[operation] = Meant(opens=name)

    def something(self) -> None:
        """One terminal does one thing."""
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

    def _write(
        self, terminal: Terminal, entity_type: str, entity_id: str | None, kind: str, data: Data, **extra: Any
    ) -> str:
        """Returns the operation's name."""
        operation_id = terminal.write(entity_type, entity_id, kind, data, **extra)
        self.operations += 1
        name = name_of(terminal.name, operation_id)
        self._sent[name] = (terminal, terminal.unanswered[operation_id])
        return name

    def _may_write(self, terminal: Terminal, entity_type: str) -> bool:
        return self.restaurant.machines[0].config.permissions()[terminal.kind].may_write(entity_type)

    def _any_write(self, terminal: Terminal) -> None:
        rng = self.rng
        entity_type, entity_id = rng.choice(TYPES), f"e-{rng.randrange(self.entities)}"
        if not self._may_write(terminal, entity_type):
            return
        data: Data = {name: rng.randrange(4) for name in rng.sample(REGISTERS, rng.randrange(1, 3))}
        if rng.random() < 0.3 and entity_type == "orders":
            data |= rng.choice(
                [{"total": rng.randrange(9)}, {"discount": 1, "total": 3}, {"status": rng.choice(STATUSES)}]
            )
        shown = terminal.screen.get((entity_type, entity_id), {})
        if rng.random() < 0.3:
            data["version"] = rng.choice([shown.get("version", 0) + 1, 1, rng.randrange(30), 2**53])
        kind = rng.choices(["CREATE", "UPDATE", "DELETE", "BULK_UPDATE"], [3, 8, 1, 1])[0]
        if kind == "BULK_UPDATE":
            updates = [{"entity_id": f"e-{n}", "data": dict(data)} for n in range(rng.randrange(1, 3))]
            self._write(terminal, entity_type, None, kind, {"updates": updates})
        else:
            known = self._knows(terminal)
            operation = self._write(terminal, entity_type, entity_id, kind, {} if kind == "DELETE" else data)
            if kind == "DELETE" and known:
                self.restaurant.ledger.deletions[operation] = Deletion((entity_type, entity_id), self._seen(terminal))

    def _react(self, terminal: Terminal) -> None:
        """Write to what was just shown, as the kitchen does when an order comes."""
        shown = terminal.latest
        if shown is None or shown["operation"] not in ("CREATE", "UPDATE"):
            return
        names = [name for name in REGISTERS if name in shown["data"]]
        if names and self._may_write(terminal, shown["entity_type"]):
            data: Data = {self.rng.choice(names): self.rng.randrange(4)}
            self._write(terminal, shown["entity_type"], shown["entity_id"], "UPDATE", data)

    def _sell(self, terminal: Terminal) -> None:
        """Move a stock by an amount."""
        rng, name = self.rng, self.rng.choice(STOCKS)
        on_screen = terminal.screen.get(("products", name), {}).get("stock")
        if not self._may_write(terminal, "products") or on_screen is None:
            return
        amount = Decimal(rng.choice(["-1", "-2", "-3", "5", "-0.5"]))
        if not self.absolutes:
            value: object = {"$inc": _number(amount)}
        elif self._knows(terminal) and not self._flickers(terminal, ("products", name), "stock"):
            value = _number(Decimal(str(on_screen)) + amount)
        else:
            return
        data: Data = {"stock": value, **self._version(terminal, ("products", name))}
        operation = self._write(terminal, "products", name, "UPDATE", data)
        self.restaurant.ledger.meant[operation] = Meant(moves=(name, amount), relative=not self.absolutes)

    def _version(self, terminal: Terminal, key: tuple[str, str]) -> Data:
        """The documented version, where people send it: one more than what is on the screen, own writes counted."""
        shown = terminal.screen.get(key, {}).get("version")
        return {"version": shown + 1} if self.versions and isinstance(shown, int) else {}

    def _knows(self, terminal: Terminal) -> bool:
        """Whether the node knows what is on this screen: a person works from a screen at rest, not in the moment in
        which it is shown the past again. Terminals that say nothing of what arrived are never known that well."""
        if not terminal.manner.confirms or terminal.lazy:
            return False
        return terminal.at_rest or (terminal.session is None and not terminal.blank)

    def _seen(self, terminal: Terminal) -> frozenset[str]:
        """Operations that came to this terminal at its node, and its own that it was confirmed there."""
        here = f"{terminal.name} by {terminal.machine.node_id}"
        own = (o for o, told in self.restaurant.checks.confirmed.items() if told == here)
        return frozenset([*(r for r in terminal.received[terminal.came :] if isinstance(r, str)), *own])

    def _flickers(self, terminal: Terminal, key: tuple[str, str], name: str) -> bool:
        """Whether what this terminal just wrote is not on its screen, for what was on its way to it meanwhile, or is
        there once more, as it is tried again: nobody reads and writes that fast."""
        own = [o for o in terminal.unanswered.values() if (o["entity_type"], o.get("entity_id")) == key]
        if any(_name(o) in self._refused for o in own):
            return True
        return bool(own) and own[-1]["data"].get(name) != terminal.screen.get(key, {}).get(name)

    def _list(self, terminal: Terminal) -> None:
        """Put an item on a table's order, or take some off, by writing the whole list."""
        rng, name = self.rng, self.rng.choice(self.tables)
        if not self._may_write(terminal, "orders") or not self._knows(terminal):
            return
        if self._flickers(terminal, ("orders", name), "items"):
            return
        items = terminal.screen.get(("orders", name), {}).get("items")
        listed = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        if listed and rng.random() < 0.4:
            gone = frozenset(item["id"] for item in listed if rng.random() < 0.4)
            listed = [item for item in listed if item["id"] not in gone]
            meant = Meant(removes=(name, gone))
        else:
            self._items += 1
            listed = [*listed]
            listed.insert(rng.randrange(len(listed) + 1), {"id": f"i-{self._items}", "qty": rng.randrange(1, 4)})
            meant = Meant(adds=(name, f"i-{self._items}"))
        data: Data = {"items": listed, **self._version(terminal, ("orders", name))}
        operation = self._write(terminal, "orders", name, "UPDATE", data)
        self.restaurant.ledger.meant[operation] = meant

    # ------------------------------------------------------------------ bills

    def _bill(self, terminal: Terminal) -> None:
        """Somebody takes an order on, pays it, deletes it, opens it again, or decides what its status was."""
        rng, name = self.rng, self.rng.choice(BILLS)
        if not self._may_write(terminal, "orders"):
            return
        ledger, till = self.restaurant.ledger, terminal.kind == "pos"
        told = [c for c in terminal.conflicts.values() if c["entity_type"] == "orders" and c["entity_id"] == name]
        if till and rng.random() < 0.8:
            operation = self._write(terminal, "orders", name, "UPDATE", {"status": "paid", "total": rng.randrange(9)})
            ledger.paid.setdefault(name, set()).add(operation)
            return
        choice = rng.random()
        if told and choice < 0.7:
            back = self._decide_bill(terminal, rng.choice(told)["id"])
        elif choice < 0.8:
            back = self._write(terminal, "orders", name, "DELETE", {})
        elif choice < 0.9:
            back = self._write(terminal, "orders", name, "CREATE", {"status": "pending"})
        else:
            back = self._write(terminal, "orders", name, "UPDATE", {"status": rng.choice(STATUSES[:4])})
        if till:
            ledger.taken_back.setdefault(name, set()).add(back)

    def _decide_bill(self, terminal: Terminal, conflict: str) -> str:
        """Settled or not. Returns the id of the decision."""
        self._decisions += 1
        name = f"{terminal.name}.d{self._decisions}"
        side = self.rng.choice(["accept_local", "accept_remote", "merge"])
        message: Data = {"type": "conflict_resolution", "conflict_id": conflict, "resolution": side, "id": name}
        terminal.send(message if side != "merge" else {**message, "resolved_data": {"status": "pending"}})
        return name

    # ------------------------------------------------------------------ the rest

    def _lock(self, terminal: Terminal) -> None:
        rng = self.rng
        entity_type = rng.choice(["orders", "orders", "cashier_operations"])
        entity_id = f"e-{rng.randrange(self.entities)}"
        if entity_type == "orders":
            entity_id = rng.choice([entity_id, *self.tables, *self.tables])
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
            sides = ("accept_local", "accept_remote")
            decision = self.rng.choice([sides[:1], sides[1:], sides])  # alike, or each their own
            others = [t for t in self.restaurant.terminals if conflict["id"] in t.conflicts and t is not terminal]
            for decider in [terminal, *(others if self.rng.random() < 0.3 else ())]:
                side = self.rng.choice(decision)
                decider.send({"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": side})

    def _resend(self, terminal: Terminal) -> None:
        """The same once more; or the same id for something else, which the node has to refuse."""
        confirmed = self.restaurant.checks.confirmed
        own = [o for author, o in list(self._sent.values())[-40:] if author is terminal and _name(o) in confirmed]
        if not own:
            return
        operation = self.rng.choice(own)
        if self.restaurant.checks.set_back:
            return  # it may be gone, and would be written anew, after what its author has written since
        known = confirmed[_name(operation)].endswith(f" by {terminal.machine.node_id}")
        if not known:  # to this node it may be something new, after what its author has written since
            self.restaurant.ledger.forget([_name(operation)])
        if self.rng.random() < 0.2 and known and _name(operation) not in self.restaurant.ledger.meant:
            terminal.send({"type": "data_sync", "operation": {**operation, "data": {"a": "something else"}}})
        else:
            terminal.again(operation)

    def _nonsense(self, terminal: Terminal) -> None:
        """Each has a name in it, by which it can be taken out of a queue."""
        terminal.send_raw(self.rng.choice(NONSENSE))

    def _ping(self, terminal: Terminal) -> None:
        terminal.send({"type": "ping"})

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
        if operation_id not in self._sent:
            return
        _, operation = self._sent[operation_id]
        if message["code"] == LockTimeout.code:
            again = partial(self._try_again, terminal, operation, terminal.machine)
            when = self.rng.random()
            if when < 0.4:  # they try it once more; or when something else goes through; or never
                self._refused.add(_name(operation))
                terminal.clockwork.later(self.rng.randrange(500, 20_000), again)
            elif when < 0.8:
                self._refused.add(_name(operation))
                self._to_try[terminal.name, operation.get("entity_id")] = again
            return
        self._refused.add(_name(operation))
        if operation_id in self.restaurant.ledger.meant and "$inc" not in str(operation["data"]):
            # Sent again it would mean something else, by what came meanwhile: somebody looks again instead,
            # and what its author wrote after it was reckoned from it.
            self.restaurant.ledger.forget([_name(operation)])
            terminal.clockwork.later(0, lambda: self._reload(terminal))
        else:
            terminal.unanswered[operation["id"]] = operation
            terminal.clockwork.later(self.rng.randrange(1_000, 5_000), lambda: self._once_more(terminal, operation))

    def confirmed(self, terminal: Terminal, message: Data) -> None:
        """It was refused and shown again, perhaps over what came after it, and was stored all the same: somebody
        looks again. Or something else was refused before, and is tried again now that this went through."""
        if message["status"] == "duplicate" and name_of(terminal.name, message["operation_id"]) in self._refused:
            terminal.clockwork.later(0, lambda: self._reload(terminal))
            return
        _, operation = self._sent.get(name_of(terminal.name, message["operation_id"]), (terminal, {}))
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
            if self.restaurant.ledger.taken_off(_name(operation)):
                self.restaurant.ledger.forget([_name(operation)])  # is it to be there, or not?
            terminal.again(operation, show=True)

    # ------------------------------------------------------------------ the end

    def go_quiet(self) -> None:
        """Everybody comes back, with a library that answers, and only looks."""
        for terminal in self.restaurant.terminals:
            if not terminal.manner.pongs:
                terminal.leave(unnoticed=False)
                terminal.manner = evolve(terminal.manner, pongs=True)
            if terminal.session is None:
                terminal.leave(unnoticed=True)
            terminal.come_back()

    def confirm_all(self) -> None:
        for terminal in self.restaurant.terminals:
            terminal.confirm_some(1_000_000)


def _number(amount: Decimal) -> int | float:
    return int(amount) if amount == int(amount) else float(amount)


def _name(operation: Data) -> str:
    """Of somebody's own operation."""
    return name_of(operation["terminal_id"], operation["id"])
