"""The audit chain: each log row carries a hash over itself and the row before, so an edit, a removal or a cut shows.

hash = blake2b-256(previous hash | for each part: 4-byte length, bytes)

The parts are spelled out in `chain_hash`, and not taken from the columns: a column that is added must not change the
hashes of rows that are there. Integers are their decimal text. None is the length 0xFFFFFFFF. `origin` and `via` are
parts where there is one of them. The columns in OUTSIDE are no parts. The row before the first has 32 zero bytes for
a hash.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from storage.records import LogRow


GENESIS = bytes(32)
"""The hash before the first row."""

OUTSIDE = ("op_key", "link_key", "hash")
"""Columns of the log that are not hashed: keys that follow from others, the hash itself."""

_NONE = b"\xff\xff\xff\xff"


def chain_hash(previous: bytes, row: LogRow) -> bytes:
    """The hash of `row` after the row whose hash is `previous`."""
    parts = [previous]
    for value in (
        b"%d" % row.seq,
        row.kind.encode(),
        b"%d" % row.priority,
        row.entity_type.encode(),
        None if row.entity_id is None else row.entity_id.encode(),
        row.operation_id.encode(),
        row.terminal_id.encode(),
        None if row.user_id is None else row.user_id.encode(),
        "\n".join(row.targets).encode(),
        b"%d %d %d %d" % (row.monitors, row.stamp, row.accepted, row.version),
        row.status.encode(),
        row.lock_status.encode(),
        b"%d" % row.echo,
        row.operation,
        row.message,
        row.changes,
        row.updates,
        row.origin.encode(),
        row.via.encode(),
        row.proof,
        row.signed.encode(),
    ):
        if value is None:
            parts.append(_NONE)
        else:
            parts.append(len(value).to_bytes(4, "big"))
            parts.append(value)
    return blake2b(b"".join(parts), digest_size=32).digest()


@frozen
class Finding:
    """A fault of the log. seq: the first row that shows it."""

    seq: int
    what: str
