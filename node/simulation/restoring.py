"""People who look into what became of something, and bring back what was deleted, or a value that was replaced."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from attrs import define

from crdt.records import name_of
from node.core.history.explain import explain
from node.simulation.authors import Authors
from node.simulation.forms import FORMS
from node.simulation.intentions import REGISTERS, Edit, Restored
from storage.records import UPDATE_KINDS
from storage.sqlite.history_reader import HistoryReader

if TYPE_CHECKING:
    import random

    from node.simulation.terminal import Data, Terminal

LISTED = 20


@define(eq=False)
class Restoring:
    """They write as `comanda explain --restore` does: what they read, and up to which row of their node's log."""

    authors: Authors

    def restore(self, terminal: Terminal, rng: random.Random, entities: int) -> None:
        """entities: how many of each type people write at random."""
        kinds = ("orders", "products", "customers", "cashier_operations")
        key = rng.choice([*FORMS, *((kind, f"e-{rng.randrange(entities)}") for kind in kinds)])
        name = rng.choice(REGISTERS)
        if not self.authors.may_write(terminal, key[0]) or not terminal.machine.alive or terminal.session is None:
            return
        read = self._read(terminal, key, name)
        if read is None:
            return
        told, seen = read
        if any(conflict["freezes"] or conflict["path"] == ["deleted_at"] for conflict in told["conflicts"]):
            return  # that is decided, and not written again
        if told["deleted"]:
            self._revive(terminal, key, told, seen)
        elif key in FORMS:
            self._bring_back(terminal, key, told, seen, rng)

    def _read(self, terminal: Terminal, key: tuple[str, str], name: str) -> tuple[Data, frozenset[str]] | None:
        """What the node says of a field, and the operations that it says it of."""
        machine = terminal.machine
        policy = machine.config.registry().get(key[0])
        assert policy is not None
        with closing(HistoryReader(machine.store.path)) as history:
            rows = list(history.entity_rows(key, (*UPDATE_KINDS, "refused")))
            if not all(row.kind in ("operation", "refused") for row in rows) or machine.archived:
                return None  # nothing tells what it holds
            found = explain(rows, key, policy, name, machine.config.node.engine, history.entity_base(key))
        return None if found is None else (found.report(LISTED), frozenset(row.name for row in rows))

    def _revive(self, terminal: Terminal, key: tuple[str, str], told: Data, seen: frozenset[str]) -> None:
        """The entity as it was before it was deleted."""
        data: Data = dict(told["deletion"]["entity"])
        operation = self._write(terminal, key, "CREATE", data, told, told["deletion"]["by"][0], seen)
        self.authors.restaurant.ledger.restored[operation] = Restored(key, data, seen)

    def _bring_back(
        self, terminal: Terminal, key: tuple[str, str], told: Data, seen: frozenset[str], rng: random.Random
    ) -> None:
        """A value that is not shown."""
        name = told["field"]
        writes = [write for write in told["superseded"] if not write.get("absent") and write["data"].keys() == {name}]
        if not writes:
            return
        write = rng.choice(writes)
        operation = self._write(terminal, key, "UPDATE", write["data"], told, write, seen)
        ledger = self.authors.restaurant.ledger
        ledger.edits[operation] = Edit(key, name, write["data"][name], seen, whole=False)

    def _write(
        self,
        terminal: Terminal,
        key: tuple[str, str],
        kind: str,
        data: Data,
        told: Data,
        what: Data,
        seen: frozenset[str],
    ) -> str:
        """what: the value or the deletion that it is about. Returns the operation's name."""
        name = name_of(what["terminal_id"], what["operation_id"])
        operation = self.authors.write(terminal, *key, kind, data, restores=name, read_upto=told["seq"])
        self.authors.restaurant.ledger.readings[operation] = seen
        return operation
