"""Which operations each state of an entity holds that a node shows, by the node and the entity's version there.

Who is sent an entity whole has seen them all, though no row of the log names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from node.core.log.group import Group
    from node.simulation.machine import Machine
    from storage.records import LogRow

Entity = tuple[str, str]


@define(eq=False)
class Holdings:
    """_keys: of every operation that ever was in a log, by entity and name, the key by which nodes know it.

    _names: by node and entity, the version of the entity there that was the first to hold an operation.
    """

    _keys: dict[Entity, dict[str, int]] = field(factory=dict)
    _names: dict[tuple[str, Entity], dict[str, int]] = field(factory=dict)

    def committed(self, machine: Machine, group: Group) -> None:
        """A group is durable. What comes as a state of another node has no rows here."""
        self._register(group.rows)
        versions = {(row.entity_type, row.entity_id): row.version for row in group.commit.entities}
        states = any(row.kind == "state" for row in group.rows)
        for key, version in versions.items():
            names = self._names.setdefault((machine.node_id, key), {})
            if states:
                self._take(machine, key, version, {row.name for row in _pending(machine)})
            for row in group.rows:
                if row.kind == "operation" and key in _entities(row):
                    names.setdefault(row.name, version)

    def booted(self, machine: Machine) -> None:
        """A node has started, perhaps from an older database, or with a commit that it knew nothing of."""
        self._register(machine.logged("operation"))
        for key in self._keys:
            row = machine.reader.entity(*key)
            version = 0 if row is None else row.version
            names = self._names.setdefault((machine.node_id, key), {})
            for name in [name for name in names if not self._holds(machine, key, name)]:
                del names[name]
            self._take(machine, key, version, set())

    def of(self, machine: Machine, key: Entity, version: int) -> Iterator[str]:
        """The operations that an entity holds which a node shows with this version."""
        names = self._names.get((machine.node_id, key), {})
        return (name for name, since in names.items() if since <= version)

    def _register(self, rows: Iterable[LogRow]) -> None:
        for row in rows:
            if row.kind == "operation" and row.link_key is not None:
                for key in _entities(row):
                    self._keys.setdefault(key, {})[row.name] = row.link_key

    def _take(self, machine: Machine, key: Entity, version: int, pending: set[str]) -> None:
        """Whatever a node holds of an entity that is not noted yet. pending: what is not durable yet."""
        names = self._names[machine.node_id, key]
        for name in self._keys.get(key, {}):
            if name not in names and name not in pending and self._holds(machine, key, name):
                names[name] = version

    def _holds(self, machine: Machine, key: Entity, name: str) -> bool:
        return machine.core.replica.held.digests.holds(key[0], self._keys[key][name])


def _entities(row: LogRow) -> list[Entity]:
    ids = row.targets if row.entity_id is None else (row.entity_id,)
    return [(row.entity_type, entity_id) for entity_id in ids]


def _pending(machine: Machine) -> list[LogRow]:
    core = machine.core
    return [row for group in (core.replica.log.group, *(g for g, _ in core._in_flight)) for row in group.rows]
