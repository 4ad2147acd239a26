"""The log against signed heads: what others hold of it, and what is kept beside it (`node/core/links/heads.py`).

The chain alone proves only itself: whoever writes the database anew from some row on computes every hash after it. A
head that another node holds was signed before that, and a chain that was written anew does not lead to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.classes import frozen
from storage.answers import ARCHIVED
from storage.chain import Finding
from storage.proofs import head_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from storage.records import HeadRow
    from storage.sqlite.reader import Reader


@frozen
class Compared:
    """What came of it.

    findings: of this log.
    earlier: of logs of this node under an earlier epoch, which were set back or restored, or written anew.
    matching: heads that the log has. archived: heads of rows whose hashes are not kept here.
    """

    findings: list[Finding]
    earlier: list[Finding]
    matching: int
    archived: int


def compare(
    reader: Reader,
    heads: Iterable[HeadRow],
    *,
    epoch: str,
    keys: Collection[bytes],
    verify: Callable[[bytes, bytes, bytes], bool],
    when: Callable[[int], str],
) -> Compared:
    """Look each head of this node up in its log. Raises StorageError.

    epoch, keys: this log's, and the public keys of its node.
    verify: (public key, statement, signature) -> whether it is signed so. when: Unix milliseconds for people.
    """
    findings: list[Finding] = []
    earlier: list[Finding] = []
    matching = archived = 0
    for head in sorted(set(heads), key=lambda one: (one.seq, one.at_ms)):
        if not verify(head.key, head_statement(head), head.signature):
            findings.append(Finding(head.seq, "a head is kept that nobody signed so"))
            continue
        if head.key not in keys:
            said = f"a head of {when(head.at_ms)} is signed with a key that this node does not know as its own"
            findings.append(Finding(head.seq, said))
            continue
        row_hash = reader.row_hash(head.seq)
        if row_hash == ARCHIVED:
            archived += 1
        elif row_hash == head.hash:
            matching += 1
        else:
            what = "is not there, and" if row_hash is None else "is another one than"
            said = f"row {head.seq} {what} this node signed at {when(head.at_ms)}: the log was cut or written anew"
            (findings if head.epoch == epoch else earlier).append(Finding(head.seq, said))
    return Compared(findings, earlier, matching, archived)
