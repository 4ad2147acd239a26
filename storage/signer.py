"""When a node signs the operations that it accepted: together, and before they leave it.

A signature costs as much as the rest of storing an operation, and proves something to other nodes only. So a node
that nobody is linked with signs MOST_UNSIGNED operations at once. A commit that is to be signed (`Commit.sign`), or
that holds operations of other nodes, takes all that wait along.

    the commit of an operation  -> its seal, in its row and in the audit chain
    signed with its own commit  -> its proof, in its row
    signed later                -> its proof, in the table `proofs`

The seal is a hash of the operation under a secret of the node's key. By it a node that starts knows which of the rows
that wait are what it accepted: without the key nobody makes a row that it would sign.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hmac import compare_digest

from attrs import field

from crdt.classes import define, frozen
from storage.proofs import FIRST, leaf_of, prove
from storage.records import LogRow, ProofRow

MOST_UNSIGNED = 64
"""Operations that may wait for a signature. A proof of 64 has a way of six steps, 126 bytes."""


@frozen
class Signed:
    """What a transaction makes of the rows that wait.

    waiting: those that still do, with their leaves. before: what is before the next signature.
    late: rows of earlier transactions, with their proofs.
    """

    waiting: list[tuple[LogRow, bytes]]
    before: bytes
    late: Sequence[tuple[LogRow, bytes]] = ()

    @property
    def proofs(self) -> list[ProofRow]:
        return [ProofRow(row.seq, proof) for row, proof in self.late]


@define(eq=False)
class Signer:
    """Signs as one node.

    sign: (statement) -> signature. seal: (leaf) -> its hash under a secret of the node.
    """

    sign: Callable[[bytes], bytes]
    seal: Callable[[bytes], bytes]
    _waiting: list[tuple[LogRow, bytes]] = field(factory=list)
    _before: bytes = FIRST

    def take(self, rows: Sequence[LogRow], *, now: bool) -> Signed:
        """Seal the rows of a transaction that were accepted here, and sign what waits if it is time.

        now: whether it is, however few wait.
        """
        waiting = list(self._waiting)
        for row in rows:
            if own(row):
                leaf = leaf_of(row)
                row.seal = self.seal(leaf)
                waiting.append((row, leaf))
            now = now or bool(row.via)
        if not waiting or not (now or len(waiting) >= MOST_UNSIGNED):
            return Signed(waiting, self._before)
        proofs, before = prove([leaf for _, leaf in waiting], self.sign, self._before)
        stored = len(self._waiting)
        for (row, _), proof in zip(waiting[stored:], proofs[stored:], strict=True):
            row.proof = proof
        late = [(row, proof) for (row, _), proof in zip(self._waiting, proofs, strict=False)]
        return Signed([], before, late)

    def stored(self, signed: Signed) -> None:
        """The transaction is durable."""
        self._waiting, self._before = signed.waiting, signed.before
        for row, proof in signed.late:
            row.proof = proof

    def found(self, rows: Sequence[LogRow]) -> list[LogRow]:
        """What a database holds without a proof waits, as far as this node sealed it. Returns the others.

        A row that waits already stays the same object: others have it, and send it once it has its proof.
        """
        known = {(row.seq, leaf): row for row, leaf in self._waiting}
        leaves = [(known.get((row.seq, leaf), row), leaf) for row in rows for leaf in (leaf_of(row),)]
        self._waiting = [(row, leaf) for row, leaf in leaves if compare_digest(self.seal(leaf), row.seal)]
        sealed = {row.seq for row, _ in self._waiting}
        return [row for row in rows if row.seq not in sealed]


def own(row: LogRow) -> bool:
    """Whether a row is an operation that was accepted here."""
    return row.link_key is not None and not row.via
