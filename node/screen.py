"""What the protocol's plain client shows: operations applied one after the other, and nothing else.

A client shows what it writes at once and applies each `data_sync` in the order in which it comes. It merges nothing,
compares no clocks and skips nothing. What it shows in the end is what its node shows: this promise is tried with the
client that it is made to, because the terminals of the demo, of the simulator and of the tests have this screen.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from crdt import decimals
from strategies.policy import Registry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Key = tuple[str, str]
"""Entity type and entity id."""

Fields = dict[str, Any]

DOCUMENTED_COUNTERS: Mapping[str, Collection[str]] = Registry(()).counters()
"""Entity type -> its fields that are counters where nothing else is configured."""


class Screen(dict[Key, Fields]):
    """The entities one terminal shows: (entity type, entity id) -> fields.

    counters: entity type -> fields in which `{"$inc": n}` is a movement and `{"$set": n}` a count; elsewhere they are
        ordinary objects.
    """

    def __init__(self, counters: Mapping[str, Collection[str]] = DOCUMENTED_COUNTERS) -> None:
        super().__init__()
        self.counters = counters

    def apply(self, operation: Mapping[str, Any]) -> None:
        """Show one operation, own or sent. operation: the `operation` of a `data_sync`, as JSON.

        CREATE replaces the entity, UPDATE merges its fields, DELETE removes it. BULK_UPDATE merges the fields of each
        of its items. Anything else in the operation is of no account, `version` and `seq` included.
        """
        kind, entity_type, data = operation["operation"], operation["entity_type"], operation["data"]
        if kind == "BULK_UPDATE":
            for item in data["updates"]:
                self._merge((entity_type, item["entity_id"]), item["data"])
            return
        key = (entity_type, operation["entity_id"])
        if kind == "CREATE":
            self[key] = dict(data)
        elif kind == "UPDATE":
            self._merge(key, data)
        else:
            self.pop(key, None)

    def _merge(self, key: Key, data: Mapping[str, Any]) -> None:
        fields = self.setdefault(key, {})
        for name, value in data.items():
            if isinstance(value, dict) and name in self.counters.get(key[0], ()):
                fields[name] = _counted(fields.get(name), value)
            else:
                fields[name] = value

    def shown(self, entity_type: str) -> dict[str, Fields]:
        """The entities of a type by id, without `version`: there an own copy holds what its terminal guessed."""
        return without_version({i: fields for (t, i), fields in self.items() if t == entity_type})


def without_version(entities: Mapping[str, Fields]) -> dict[str, Fields]:
    """Entities by id, as a screen and a node must agree on them."""
    return {
        entity_id: {name: value for name, value in fields.items() if name != "version"}
        for entity_id, fields in entities.items()
    }


def _counted(before: object, said: Mapping[str, Any]) -> object:
    """A counter after the movement `{"$inc": n}` or the count `{"$set": n}`, of which nodes send no other shape.

    What is no number counts as 0 before a movement.
    """
    match [*said.items()]:
        case [("$inc", step)] if (amount := decimals.amount_of(step)) is not None:
            return decimals.shown(decimals.plus([decimals.amount_of(before) or Decimal(0), amount]))
        case [("$set", count)] if decimals.amount_of(count) is not None:
            return count
    return said
