"""Engine documents that make edits in the engine's own way, through its root arrays and an observer.

They are what `encode_edit` is compared with, and make the bytes of hostile and foreign writers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crdt.engine import PycrdtDocument, YPyDocument, unpanicked

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING = b"\x00\x00"
"""The update of a transaction that changed nothing."""


def _by_writer(deletes: Sequence[tuple[int, int]]) -> dict[int, list[int]]:
    """Indices to delete by writer, highest first."""
    by_writer: dict[int, list[int]] = {}
    for writer, index in deletes:
        by_writer.setdefault(writer, []).append(index)
    for indices in by_writer.values():
        indices.sort(reverse=True)
    return by_writer


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring indices as (first, length); both sides are ordered highest first.

    One deletion a run: to cut many strings off a block one by one takes the square of their number.
    """
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and runs[-1][0] == index + 1:
            runs[-1] = (index, runs[-1][1] + 1)
        else:
            runs.append((index, 1))
    return runs


class YPyEditor(YPyDocument):
    """On y-py."""

    def __init__(self, client_id: int, snapshot: bytes | None = None) -> None:
        super().__init__(client_id, snapshot)
        self.client_id = client_id
        self._arrays: dict[int, Any] = {}
        self._update = NOTHING
        self._observed = False

    def _observe(self, event: Any) -> None:
        self._update = bytes(event.get_update())  # the event must not be kept: reading it later segfaults

    def _array(self, writer: int) -> Any:
        array = self._arrays.get(writer)
        if array is None:
            array = self._arrays[writer] = unpanicked(self._doc.get_array, str(writer))
        return array

    def edit(self, deletes: Sequence[tuple[int, int]], appends: Sequence[str]) -> bytes:
        by_writer = _by_writer(deletes)
        own = self._array(self.client_id)
        arrays = [(self._array(writer), indices) for writer, indices in by_writer.items()]
        if not self._observed:
            self._doc.observe_after_transaction(self._observe)
            self._observed = True

        self._update = NOTHING  # no event comes for a transaction that changes nothing

        def transact() -> None:
            with self._doc.begin_transaction() as txn:
                for array, indices in arrays:
                    for first, length in _runs(indices):
                        array.delete_range(txn, first, length)
                if appends:
                    own.extend(txn, list(appends))

        unpanicked(transact)
        return self._update

    def texts(self, writer: int) -> list[str]:
        texts: list[Any] = unpanicked(list, self._array(writer))
        return [str(text) for text in texts]


class PycrdtEditor(PycrdtDocument):
    """On pycrdt."""

    def __init__(self, client_id: int, snapshot: bytes | None = None) -> None:
        import pycrdt

        super().__init__(client_id, snapshot)
        self.client_id = client_id
        self._array_type = pycrdt.Array
        self._arrays: dict[int, Any] = {}
        self._update = NOTHING
        self._whole = pycrdt.Doc(doc=self._doc)
        self._subscription = self._whole.observe(self._observe)

    def _observe(self, event: Any) -> None:
        self._update = bytes(event.update)

    def _array(self, writer: int) -> Any:
        array = self._arrays.get(writer)
        if array is None:
            array = self._arrays[writer] = self._whole.get(str(writer), type=self._array_type)
        return array

    def edit(self, deletes: Sequence[tuple[int, int]], appends: Sequence[str]) -> bytes:
        by_writer = _by_writer(deletes)
        own = self._array(self.client_id)
        arrays = [(self._array(writer), indices) for writer, indices in by_writer.items()]

        self._update = NOTHING  # no event comes for a transaction that changes nothing

        def transact() -> None:
            with self._whole.transaction():
                for array, indices in arrays:
                    for first, length in _runs(indices):
                        del array[first : first + length]
                if appends:
                    own.extend(list(appends))

        unpanicked(transact)
        return self._update

    def texts(self, writer: int) -> list[str]:
        texts: list[Any] = unpanicked(list, self._array(writer))
        return [str(text) for text in texts]


Editor = YPyEditor | PycrdtEditor


def open_editor(engine: str, client_id: int, snapshot: bytes | None = None) -> Editor:
    return {"y_py": YPyEditor, "pycrdt": PycrdtEditor}[engine](client_id, snapshot)
