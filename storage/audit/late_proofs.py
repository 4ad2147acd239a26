"""Operations whose origin's key was not known when they came (`signed` is "unknown"), against the keys known by now.

What was found when a row was written is part of its hash and stays. So whoever looks at the log asks again, once a
key became known: a false name of an origin shows, and what was signed is proven late.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define
from storage.chain import Finding
from storage.proofs import BadProof, leaf_of, statement_of

if TYPE_CHECKING:
    from storage.records import LogRow


@define(eq=False)
class LateProofs:
    """What came of the rows that were taken.

    unknown: the word for such a row (`LogRow.signed`).
    keys: node -> its public keys, as far as they are known by now.
    verify: (public key, statement, signature) -> whether it is signed so.
    proven: rows that their origin has signed. open: rows whose origin's key is not known yet.
    """

    unknown: str
    keys: Mapping[str, Collection[bytes]]
    verify: Callable[[bytes, bytes, bytes], bool]
    proven: int = 0
    open: int = 0
    findings: list[Finding] = field(factory=list)

    def take(self, row: LogRow) -> None:
        """The next row of the log."""
        if row.signed != self.unknown:
            return
        keys = self.keys.get(row.origin)
        if not keys:
            self.open += 1
        elif self._signed(row, keys):
            self.proven += 1
        else:
            said = f"row {row.seq} says that {row.origin} accepted it, whose key has not signed it"
            self.findings.append(Finding(row.seq, f"{said}; it came over {row.via}"))

    def _signed(self, row: LogRow, keys: Collection[bytes]) -> bool:
        try:
            statement, signature = statement_of(leaf_of(row), row.proof)
        except BadProof:
            return False
        return any(self.verify(key, statement, signature) for key in keys)
