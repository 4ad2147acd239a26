"""What an operation says, as a node understands it. By this a repeat is told from another operation of its name.

Everything that decides it reads `understood`: of an operation that arrives, of a row of the log, before a row is
archived, and of two copies that came over links.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from crdt.json_values import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping


def understood(authored: Mapping[str, Any]) -> bytes:
    """The canonical JSON of what an operation does. authored: the operation as its author sent it, checked.

    Left out is what does nothing: fields that nobody knows, the `entity_id` of a BULK_UPDATE, the difference between
    no `data` and an empty one. When and by whom it was written is no part of it either.
    """
    kind, entity_id, data = authored.get("operation"), authored.get("entity_id"), authored.get("data") or {}
    if kind == "BULK_UPDATE":
        entity_id, data = None, {item["entity_id"]: item["data"] for item in data.get("updates", ())}
    decision = (authored.get("resolves"), authored.get("resolution"))
    return canonical([authored.get("entity_type"), entity_id, kind, data, *decision])


def content_of(said: bytes) -> int:
    """A check of what an operation says, below 2**23. said: see `understood`."""
    return int.from_bytes(blake2b(said, digest_size=3).digest(), "big") >> 1
