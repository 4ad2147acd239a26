"""Content hashes of entities that were compared before, by the bytes that are stored of them."""

from __future__ import annotations

from hashlib import blake2b

from attrs import field

from crdt.classes import define
from crdt.content import content_hash
from crdt.document import Document
from crdt.records import DocumentError
from crdt.update_format import UpdateError
from node.core.latest import put_latest

HASHES = 10_000
"""Entities whose hashes are remembered, the latest: about 200 bytes each."""


@define(eq=False)
class Hashes:
    """All links of a node compare the same entities, minute by minute, and few have changed. What is damaged since
    then has other bytes."""

    engine: str
    _known: dict[bytes, str] = field(factory=dict)

    def of(self, snapshot: bytes) -> str:
        """The content hash of a stored document."""
        stored = blake2b(snapshot, digest_size=16).digest()
        found = self._known.get(stored)
        if found is None:
            found = _hash(snapshot, self.engine)
        put_latest(self._known, stored, found, HASHES)
        return found


def _hash(snapshot: bytes, engine: str) -> str:
    try:
        return content_hash(Document.load(snapshot, writer=0, engine=engine))
    except (UpdateError, DocumentError) as error:
        return f"unreadable: {type(error).__name__}"
