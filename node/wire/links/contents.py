"""What two nodes say while they compare what came of the same operations (node/core/links/contents.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from crdt.classes import frozen
from node.errors import InvalidMessage

TYPES = ("contents", "contents_compared")

ENTITIES = 32
"""Entities of a part."""

MOST = 2 * ENTITIES
"""Most entities of a message: of an answer, those of both sides may be named."""

LONGEST = 128
"""Characters of an entity type and of an entity id."""


@frozen
class Contents:
    """Some entities of a type, in the order of their ids.

    root: of the operations of the type, as a `digest` has it.
    after: the id after which they come. last: whether there are none behind them.
    hashes: by id, of what each holds (crdt/content.py).
    """

    entity_type: str
    root: str
    after: str
    last: bool
    hashes: Mapping[str, str]

    def within(self, entity_id: str) -> bool:
        """Whether an entity would be among these."""
        return self.after < entity_id and (self.last or entity_id <= max(self.hashes, default=""))

    def differing(self, other: Contents) -> list[str]:
        """Which entities the two, read from the same id on, do not hold alike, as far as both go."""
        there = [one for one in other.hashes if self.within(one)]
        here = [one for one in self.hashes if other.within(one)]
        return sorted(one for one in {*there, *here} if self.hashes.get(one) != other.hashes.get(one))


def contents(found: Contents) -> bytes:
    """`contents`: what the sender holds of some entities."""
    said = {"entity_type": found.entity_type, "root": found.root, "after": found.after, "last": found.last}
    return orjson.dumps({"type": "contents", **said, "hashes": found.hashes})


def compared(differing: Sequence[str] | None) -> bytes:
    """`contents_compared`, the answer: which of them the sender holds otherwise; None: it cannot tell."""
    return orjson.dumps({"type": "contents_compared", "differing": differing})


def read_contents(message: Mapping[str, Any]) -> Contents:
    """Raises InvalidMessage."""
    entity_type, root, after = (message.get(name) for name in ("entity_type", "root", "after"))
    if not all(isinstance(word, str) and len(word) <= LONGEST for word in (entity_type, root, after)):
        raise InvalidMessage("expected which entities these are", "$.entity_type")
    hashes, last = message.get("hashes"), message.get("last")
    if not isinstance(hashes, dict) or not all(isinstance(one, str) for one in hashes.values()):
        raise InvalidMessage("expected hashes by entity", "$.hashes")
    if type(last) is not bool or (not hashes and not last):
        raise InvalidMessage("expected whether these are the last", "$.last")
    _check_ids(list(hashes), "$.hashes")
    return Contents(str(entity_type), str(root), str(after), last, hashes)


def read_compared(message: Mapping[str, Any]) -> Sequence[str] | None:
    """Raises InvalidMessage."""
    differing = message.get("differing")
    if differing is None:
        return None
    if not isinstance(differing, list):
        raise InvalidMessage("expected the entities that differ", "$.differing")
    _check_ids(differing, "$.differing")
    return differing


def _check_ids(ids: Sequence[object], where: str) -> None:
    if len(ids) > MOST or not all(isinstance(one, str) and len(one) <= LONGEST for one in ids):
        raise InvalidMessage("expected entities by id", where)
