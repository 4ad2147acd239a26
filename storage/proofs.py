"""Who accepted an operation, proven: one signature for all of a commit's own operations, and for each the way to it.

    leaf    the hash of an operation as links carry it
    root    of the Merkle tree over the leaves of one commit; this is signed

A proof is the signature, and the siblings on the way from the leaf to the root. So each operation is proven alone. It
has to be: a page, a priority class, a comparison, the quarantine and an archive each cut the rows of a commit
elsewhere, and a relay may hold a part of them. Most commits have one operation, whose leaf is the root.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from storage.records import HeadRow, LogRow

HASH = 20
"""Bytes of a hash. Two operations with one leaf take 2^80 tries, and a link carries two hashes an operation."""

SIGNATURE = 64
STEP = 1 + HASH
"""Bytes of one sibling: the side on which it stands, and its hash."""

MOST_STEPS = 32
"""The longest way of a proof: no commit has more than 2^32 operations."""

LEFT, RIGHT = b"\0", b"\1"

_CONTEXT = b"comanda operations\n"
_NONE = b"\xff\xff\xff\xff"


class BadProof(ValueError):
    """Bytes that are no proof of this operation."""


def leaf_hash(
    operation: bytes,
    updates: bytes,
    *,
    stamp: int,
    accepted: int,
    origin: str,
    terminal_id: str,
    user_id: str | None,
    lock_status: str,
) -> bytes:
    """The hash of an operation as links carry it. operation, updates: their JSON texts, as a row has them."""
    parts = []
    for value in (
        operation,
        updates,
        b"%d %d" % (stamp, accepted),
        origin.encode(),
        terminal_id.encode(),
        None if user_id is None else user_id.encode(),
        lock_status.encode(),
    ):
        if value is None:
            parts.append(_NONE)
        else:
            parts += (len(value).to_bytes(4, "big"), value)
    return blake2b(b"".join(parts), digest_size=HASH, person=b"comanda leaf").digest()


def statement_of(leaf: bytes, proof: bytes) -> tuple[bytes, bytes]:
    """The statement that a proof leads to from an operation's leaf, and the signature of it. Raises BadProof."""
    signature, way = proof[:SIGNATURE], proof[SIGNATURE:]
    if len(signature) != SIGNATURE or len(way) % STEP or len(way) > MOST_STEPS * STEP:
        raise BadProof("no proof has this length")
    root = leaf
    for place in range(0, len(way), STEP):
        side, sibling = way[place : place + 1], way[place + 1 : place + STEP]
        root = _node(sibling, root) if side == LEFT else _node(root, sibling)
    return _CONTEXT + root, signature


def head_statement(head: HeadRow) -> bytes:
    """The bytes that a node signs to say what its log ends with."""
    named = f"{head.node_id}\n{head.epoch}\n{head.seq}\n{head.at_ms}\n"
    return b"comanda head\n" + named.encode() + head.hash


def prove(rows: Sequence[LogRow], sign: Callable[[bytes], bytes]) -> None:
    """Give each of a commit's operations that was accepted here its proof."""
    own = [row for row in rows if row.link_key is not None and not row.via]
    if own:
        root, ways = _tree([_leaf_of(row) for row in own])
        signature = sign(_CONTEXT + root)
        for row, way in zip(own, ways, strict=True):
            row.proof = b"".join((signature, *way))


def _leaf_of(row: LogRow) -> bytes:
    return leaf_hash(
        row.operation,
        row.updates,
        stamp=row.stamp,
        accepted=row.accepted,
        origin=row.origin,
        terminal_id=row.terminal_id,
        user_id=row.user_id,
        lock_status=row.lock_status,
    )


def _tree(leaves: list[bytes]) -> tuple[bytes, list[list[bytes]]]:
    """The root, and the way from each leaf. A node without a sibling goes up as it is."""
    ways: list[list[bytes]] = [[] for _ in leaves]
    level = [(leaf, [place]) for place, leaf in enumerate(leaves)]
    while len(level) > 1:
        above = []
        for place in range(0, len(level) - 1, 2):
            (left, of_left), (right, of_right) = level[place], level[place + 1]
            for number in of_left:
                ways[number].append(RIGHT + right)
            for number in of_right:
                ways[number].append(LEFT + left)
            above.append((_node(left, right), of_left + of_right))
        level = above + level[len(level) - len(level) % 2 :]
    return level[0][0], ways


def _node(left: bytes, right: bytes) -> bytes:
    return blake2b(left + right, digest_size=HASH, person=b"comanda node").digest()
