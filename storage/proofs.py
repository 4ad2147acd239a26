"""Who accepted an operation, proven: one signature for several operations of a node, and for each the way to it.

    leaf    the hash of an operation as links carry it
    tree    the root of the Merkle tree over the leaves of what is signed together
    root    the hash of what was before, and of the tree; this is signed
    before  the hash of the root that the node signed before, and of that signature

A proof is the signature, what was before, and the siblings on the way from the leaf to the tree. So each operation is
proven alone. It has to be: a page, a priority class, a comparison and the quarantine each cut what was signed
together elsewhere, and a relay may hold a part of it. Where one operation is signed, its leaf is the tree.

As a root holds what was before, a signature is one of everything that was signed before it, since the node's start.
Where signatures are read in order, only the last one is checked (`Run`). It proves those before it as their node made
them, not only what they sign: they are passed on to nodes that check one alone.

When a node signs its rows: `storage/signer.py`.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from storage.records import HeadRow, LogRow

HASH = 20
"""Bytes of a hash. Two operations with one leaf take 2^80 tries, and a link carries two hashes an operation."""

SIGNATURE = 64
HEAD = SIGNATURE + HASH
"""Bytes of a proof without its way: the signature, and what was before."""

STEP = 1 + HASH
"""Bytes of one sibling: the side on which it stands, and its hash."""

MOST_STEPS = 32
"""The longest way of a proof: no more than 2^32 operations are signed together."""

LEFT, RIGHT = b"\0", b"\1"

FIRST = bytes(HASH)
"""What was before the first signature after a start."""

_CONTEXT = b"comanda operations\n"
_LENGTHS = Struct(">7I").pack


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
    texts = origin, terminal_id, user_id or "", lock_status
    rest = b"%d %d %d" % (stamp, accepted, user_id is None), operation, updates
    lengths = _LENGTHS(*map(len, texts), *map(len, rest))
    parts = (lengths, "".join(texts).encode(), *rest)
    return blake2b(b"".join(parts), digest_size=HASH, person=b"comanda leaf").digest()


def statement_of(leaf: bytes, proof: bytes) -> tuple[bytes, bytes]:
    """The statement that a proof leads to from an operation's leaf, and the signature of it. Raises BadProof."""
    return _CONTEXT + _root(proof[SIGNATURE:HEAD], _tree_of(leaf, proof)), proof[:SIGNATURE]


def _tree_of(leaf: bytes, proof: bytes) -> bytes:
    """The tree that a proof leads to from an operation's leaf. Raises BadProof."""
    way = proof[HEAD:]
    if len(proof) < HEAD or len(way) % STEP or len(way) > MOST_STEPS * STEP:
        raise BadProof("no proof has this length")
    return _climb(leaf, way) if way else leaf


@lru_cache(maxsize=256)
def _climb(node: bytes, way: bytes) -> bytes:
    """The tree that a way leads to from a node: operations that are signed together come together, and their ways
    meet."""
    sibling = way[1:STEP]
    above = _node(sibling, node) if way[0] == LEFT[0] else _node(node, sibling)
    return _climb(above, way[STEP:]) if len(way) > STEP else above


@define
class Run:
    """What one node signed, each after the one before: trees and signatures."""

    origin: str
    before: bytes
    signed: list[tuple[bytes, bytes]] = field(factory=list)

    def statements(self) -> list[tuple[bytes, bytes]]:
        """Of each signature, what its node signed, and the signature."""
        before, found = self.before, []
        for tree, signature in self.signed:
            root = _root(before, tree)
            found.append((_CONTEXT + root, signature))
            before = _after(root, signature)
        return found


def runs_of(rows: Iterable[LogRow]) -> list[Run]:
    """The signatures of operations that are in log order, as runs of more than one."""
    runs: list[Run] = []
    latest: dict[str, tuple[Run, bytes]] = {}
    for row in rows:
        if not row.proof:
            continue
        try:
            tree = _tree_of(leaf_of(row), row.proof)
        except BadProof:
            continue
        signature, before = row.proof[:SIGNATURE], row.proof[SIGNATURE:HEAD]
        after = _after(_root(before, tree), signature)
        run, last = latest.get(row.origin, (None, b""))
        if after == last:
            continue
        if run is None or before != last:
            run = Run(row.origin, before)
            runs.append(run)
        run.signed.append((tree, signature))
        latest[row.origin] = run, after
    return [run for run in runs if len(run.signed) > 1]


def head_statement(head: HeadRow) -> bytes:
    """The bytes that a node signs to say what its log ends with."""
    named = f"{head.node_id}\n{head.epoch}\n{head.seq}\n{head.at_ms}\n"
    return b"comanda head\n" + named.encode() + head.hash


def prove(
    leaves: Sequence[bytes], sign: Callable[[bytes], bytes], before: bytes = FIRST
) -> tuple[list[bytes], bytes]:
    """The proofs of operations that are signed together, at least one.

    before: what was signed before. Returns, beside the proofs, what is before the next signature.
    """
    tree, ways = _tree(leaves)
    root = _root(before, tree)
    signature = sign(_CONTEXT + root)
    return [b"".join((signature, before, *way)) for way in ways], _after(root, signature)


def leaf_of(row: LogRow) -> bytes:
    """The leaf of a row's operation."""
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


def _tree(leaves: Sequence[bytes]) -> tuple[bytes, list[list[bytes]]]:
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


def _root(before: bytes, tree: bytes) -> bytes:
    return blake2b(before + tree, digest_size=HASH, person=b"comanda root").digest()


def _after(root: bytes, signature: bytes) -> bytes:
    return blake2b(root + signature, digest_size=HASH, person=b"comanda before").digest()
