"""The audit chain: each log row carries a hash over itself and the row before, so an edit, a removal or a cut shows.

hash = blake2b-256(previous hash | the length of each part | the parts)

A length is 4 bytes, big-endian: of a text in characters, of bytes in bytes. The seal of a row that has one comes
last, without a length, and the hash is then personalised as `comanda sealed`.

The parts are spelled out in `chain_hash`, and not taken from the columns: a column that is added must not change the
hashes of rows that are there. Texts come first, as UTF-8. Integers are one decimal text, with a flag for each column
that is None. The columns in OUTSIDE are no parts. The row before the first has 32 zero bytes for a hash.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

from crdt.classes import frozen

if TYPE_CHECKING:
    from storage.records import LogRow


GENESIS = bytes(32)
"""The hash before the first row."""

OUTSIDE = ("op_key", "link_key", "hash")
"""Columns of the log that are not hashed: keys that follow from others, the hash itself."""

_LENGTHS = Struct(">18I").pack


def chain_hash(previous: bytes, row: LogRow) -> bytes:
    """The hash of `row` after the row whose hash is `previous`."""
    texts = (
        row.kind,
        row.entity_type,
        row.entity_id or "",
        row.operation_id,
        row.terminal_id,
        row.user_id or "",
        "\n".join(row.targets),
        row.status,
        row.lock_status,
        row.origin,
        row.via,
        row.signed,
    )
    order = row.seq, row.priority, row.stamp, row.accepted, row.version
    flags = row.monitors, row.echo, row.entity_id is None, row.user_id is None
    numbers = b"%d %d %d %d %d %d %d %d %d" % (*order, *flags)
    rest = numbers, row.operation, row.message, row.changes, row.updates, row.proof
    lengths = _LENGTHS(*map(len, texts), *map(len, rest))
    parts = b"".join((previous, lengths, "".join(texts).encode(), *rest))
    if row.seal:
        return blake2b(parts + row.seal, digest_size=32, person=b"comanda sealed").digest()
    return blake2b(parts, digest_size=32).digest()


@frozen
class Finding:
    """A fault of the log. seq: the first row that shows it."""

    seq: int
    what: str
