"""What a document holds, as one short text: replicas that hold the same live records and counts have the same."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from crdt.json_values import canonical

if TYPE_CHECKING:
    from crdt.document import Document

SIZE = 8
"""Bytes of a content hash."""


def content_hash(document: Document) -> str:
    """Of all live records and headers, in hex. In which order they came makes no difference."""
    records = [
        (r.writer, r.clock, r.path, r.value, r.stamp, r.terminal, r.operation, r.version, r.accepted, r.rank)
        for r in document.records()
    ]
    headers = [(writer, *header) for writer, header in document.headers.items()]
    said = canonical([sorted(records, key=lambda record: record[:2]), sorted(headers, key=lambda header: header[0])])
    return blake2b(said, digest_size=SIZE).hexdigest()
