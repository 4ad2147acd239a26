"""Which entities are in memory, and which ones exist at all.

Entities are loaded when an operation needs them, and let go when too many are in memory. Which ones exist is known by
a 64-bit hash. So a new entity costs no look-up on disk; a false alarm costs one.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define
from node.core.digests import KeySet
from node.core.entities.entity import NOT_LOADED, Entity
from node.core.ports import Unreadable
from node.core.statistics import Counts
from node.errors import EntityNotFound
from storage.records import Key, entity_key
from strategies.policy import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from storage.records import EntityRow

logger = logging.getLogger("comanda.core")

DAMAGED_SHOWN = 100
"""Most damaged entities that are remembered for `/readyz`."""


@define(eq=False, kw_only=True)
class Residents:
    """The entities in memory, the one used longest ago first.

    writer: the Yjs client id that documents are written under.
    most, most_bytes: how many entities are kept, and how many bytes of documents and views, beside those in use.
    damaged: entities whose stored document cannot be loaded, and why.
    """

    registry: Registry
    engine: str
    writer: int
    most: int
    known: KeySet
    counts: Counts
    most_bytes: int = 2**27
    bytes: int = field(default=0, init=False)
    """Of the documents and views in memory, as they were stored last."""
    entities: dict[Key, Entity] = field(factory=dict, init=False)
    damaged: dict[Key, str] = field(factory=dict, init=False)
    taken: set[Key] = field(factory=set, init=False)
    """Those that an operation has to itself which is decided in several turns. To everybody else they are missing."""
    dropped: int = field(default=0, init=False)
    """How often all were dropped since the start."""
    _in_use: Counter[Key] = field(factory=Counter, init=False)

    def missing(self, keys: Iterable[Key]) -> tuple[Key, ...]:
        """Entities that exist and are not in memory, and those that are taken."""
        entities, known, taken = self.entities, self.known, self.taken
        return tuple(key for key in keys if key in taken or (key not in entities and entity_key(key) in known))

    def entity(self, key: Key) -> Entity:
        """The entity; an empty one where nobody has written it yet.

        Raises EntityNotFound for an unknown entity type. Raises RuntimeError for an entity that is on disk and was
        not
        fetched: a write to an empty document would replace the stored one.
        """
        found = self.entities.pop(key, None)
        if found is None:
            if entity_key(key) in self.known:
                raise RuntimeError(f"{key[0]} {key[1]} is on disk and was not fetched")
            found = self._load(key, None)
        if found is None:
            raise EntityNotFound(f"unknown entity type {key[0]!r}", "$.operation.entity_type")
        self.entities[key] = found  # the one used last is let go last
        return found

    def _load(self, key: Key, row: EntityRow | None) -> Entity | None:
        policy = self.registry.get(key[0])
        if policy is None:
            return None
        entity = Entity.load(key, policy, row, writer=self.writer, engine=self.engine)
        self.bytes += entity.grown()
        self.entities[key] = entity
        return entity

    # ------------------------------------------------------------------ coming and going

    def use(self, keys: Iterable[Key]) -> None:
        """Something that waits needs these entities, so they stay."""
        self._in_use.update(keys)

    def used(self, keys: Iterable[Key]) -> None:
        """What waited for these entities goes on."""
        self._in_use.subtract(keys)
        self._in_use = +self._in_use

    def take(self, keys: Iterable[Key]) -> None:
        """An operation has these entities to itself until `give_back`."""
        self.use(keys)
        self.taken.update(keys)

    def give_back(self, keys: Iterable[Key]) -> None:
        self.used(keys)
        self.taken.difference_update(keys)

    def provide(self, keys: Iterable[Key], found: Mapping[Key, EntityRow]) -> Unreadable | None:
        """Take entities that were read. One that is not in `found` was never written.

        Returns why an entity cannot be loaded, if one cannot.
        """
        unreadable = None
        for key in keys:
            self.counts.cache_misses += 1
            if key not in self.entities:
                try:
                    self._load(key, found.get(key))
                    self.damaged.pop(key, None)
                except NOT_LOADED as error:
                    unreadable = self._is_damaged(key, error)
        return unreadable

    def _is_damaged(self, key: Key, error: Exception) -> Unreadable:
        reason = f"{key[0]} {key[1]} is damaged in the database ({error}); see `comanda verify`"
        if key not in self.damaged:
            logger.error("an entity cannot be read: %(reason)s", {"reason": reason})
        if len(self.damaged) < DAMAGED_SHOWN:
            self.damaged[key] = reason
        return Unreadable(reason)

    def stored(self, entities: Iterable[Entity]) -> None:
        """These entities are stored as they are now."""
        self.bytes += sum(entity.grown() for entity in entities if self.entities.get(entity.key) is entity)

    def let_go(self, committed: int, touched: Mapping[Key, Entity]) -> None:
        """Drop the entities used longest ago once too many are held, or too many bytes of them; a tenth more than
        that, so that not every commit has to. One that is in use, or not stored yet, is passed over.

        They are read from disk when next needed.
        """
        if len(self.entities) <= self.most and self.bytes <= self.most_bytes:
            return
        most, most_bytes = self.most - self.most // 10, self.most_bytes - self.most_bytes // 10
        for key, entity in list(self.entities.items()):
            if len(self.entities) <= most and self.bytes <= most_bytes:
                break
            if entity.seq <= committed and key not in touched and key not in self._in_use:
                del self.entities[key]
                self.bytes -= entity.counted

    def write_as(self, writer: int) -> None:
        """Write under another Yjs client id from now on."""
        self.writer = writer
        for entity in self.entities.values():
            entity.document.under(writer)

    def drop_all(self, writer: int) -> None:
        """A commit failed, so documents in memory may hold what was never stored: read all again, under `writer`."""
        self.writer = writer
        self.entities.clear()
        self.dropped += 1
        self.bytes = 0
