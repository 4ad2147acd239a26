"""The rows of the log that one answer reads: each is read and taken apart once, however many entities it wrote.

A BULK_UPDATE may stand behind hundreds of the conflicts of one answer, and holds all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define
from node.core.history.steps import OpenedRow
from storage.sqlite.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from node.core.history.steps import Step
    from storage.records import Key, LogRow

EARLIER = 16
LOOKED_BACK = 128
"""Rows of an entity looked for at a time, and read at most, for who wrote what there was before a conflict."""

KEPT_BYTES = 4 * 1024 * 1024
"""Rows that are kept while an answer is made; the one that is above that is the last, and the others are let go."""


@define(eq=False)
class OpenedRows:
    """For the reading thread. Every method may raise StorageError.

    _rows: by seq, those that are kept. _names: the same by the operation's name.
    """

    _reader: Reader
    _rows: dict[int, OpenedRow] = field(factory=dict, init=False)
    _names: dict[str, OpenedRow] = field(factory=dict, init=False)
    _bytes: int = field(default=0, init=False)

    def named(self, names: Iterable[str]) -> dict[str, OpenedRow]:
        """The rows of operations by name, as far as they are here. Each is checked, see `Reader.fetch`."""
        names = list(dict.fromkeys(names))
        found = {name: self._names[name] for name in names if name in self._names}
        read = self._reader.fetch([], [name for name in names if name not in found], []).operations
        for name, rows in read.items():
            found[name] = self._names[name] = self._keep(rows[0])
        return found

    def earlier(self, key: Key, before: int) -> Iterator[Step]:
        """What was done to an entity before row `before`, the latest first."""
        for _ in range(0, LOOKED_BACK, EARLIER):
            seqs = self._reader.earlier(key, before, EARLIER)
            for seq in seqs:
                opened = self._rows.get(seq)
                if opened is None and (row := self._reader.row(seq)) is not None:
                    opened = self._keep(row)
                if opened is not None:
                    yield opened.step(key[1])
            if len(seqs) < EARLIER:
                return
            before = seqs[-1]

    def _keep(self, row: LogRow) -> OpenedRow:
        self._bytes += row.size
        if self._bytes > KEPT_BYTES:
            self._rows.clear()
            self._names.clear()
            self._bytes = row.size
        opened = self._rows[row.seq] = OpenedRow.of(row)
        return opened
