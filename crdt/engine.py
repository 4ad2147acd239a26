"""The only file that imports y_py (and, chosen by a setting, pycrdt): one Yjs document as our entities use it.

y-py 0.6.2 is no longer developed and has sharp edges; README.md, "What y-py does to careless callers", lists them.
They are contained here. Bytes go through the strict decoder before the engine sees them. Only checked strings are
stored. A Rust panic, which is a BaseException, becomes EngineError. Shared types are root arrays held in variables.
An observer's bytes are copied inside its callback. Documents stay on one thread. Throw-away documents never touch a
root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import y_py

from crdt.update_format import (
    DEFAULT_LIMITS,
    MAX_CLIENT,
    SNAPSHOT_LIMITS,
    DecodedUpdate,
    UpdateLimits,
    decode_state_vector,
    decode_update,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

ENGINES = ("y_py", "pycrdt")

NOTHING = b"\x00\x00"
"""The update of a transaction that changed nothing."""

# Upper bounds of what one update spends beside its strings: on itself, on each string and on each deletion.
_UPDATE_BYTES = 64
_STRING_BYTES = 24
_DELETION_BYTES = 20


class EngineError(Exception):
    """The CRDT engine failed; its document is to be dropped and loaded again."""


class EngineDocument(Protocol):
    """One Yjs document. `client_id` is the writer whose root array `edit` appends to."""

    client_id: int

    def edit(self, deletes: Sequence[tuple[int, int]], appends: Sequence[str]) -> bytes:
        """One transaction. deletes: (writer, index in that writer's array before the transaction); appends: strings
        for this writer's array. Returns exactly what it added, as a Yjs v1 update.

        EngineError before the transaction, and nothing changed, for what would poison the document, for a doubled or
        negative index and for more than one update may hold; so `decode_update` takes whatever this returns."""
        ...

    def apply(self, update: bytes, decoded: DecodedUpdate | None = None) -> DecodedUpdate:
        """Apply an update without a gap. `decoded` vouches that these very bytes were checked."""
        ...

    def encode(self) -> bytes:
        """The whole document as one update."""
        ...

    def state_vector(self) -> dict[int, int]: ...

    def texts(self, writer: int) -> list[str]:
        """The live strings of one writer's array."""
        ...


def _guarded(call: Callable[..., T], *arguments: Any) -> T:
    """Call into an engine; a panic or an engine exception becomes EngineError."""
    try:
        return call(*arguments)
    except Exception as error:
        raise EngineError(f"{type(error).__name__}: {error}") from error
    except BaseException as error:
        if type(error).__module__ == "pyo3_runtime":
            raise EngineError(f"panic: {error}") from error
        raise


def _checked(
    deletes: Sequence[tuple[int, int]], appends: Sequence[str], limits: UpdateLimits = DEFAULT_LIMITS
) -> dict[int, list[int]]:
    """Indices to delete by writer, highest first. EngineError for what must not become an update.

    What the decoder would refuse is refused here: once committed, no peer could apply it and no restart read it.
    """
    size = _UPDATE_BYTES + _STRING_BYTES * len(appends) + _DELETION_BYTES * len(deletes)
    for text in appends:
        if type(text) is not str:
            raise EngineError(f"only strings are stored, not {type(text).__name__}")
        try:
            length = len(text.encode())
        except UnicodeEncodeError:
            raise EngineError("a string with a lone surrogate cannot be stored") from None
        if length > limits.string_bytes:
            raise EngineError(f"a string of {length} bytes, at most {limits.string_bytes} are stored")
        size += length
    if size > limits.update_bytes or max(len(appends), len(deletes)) > limits.structs:
        raise EngineError(f"{len(appends)} strings and {len(deletes)} deletions are too much for one update")
    by_writer: dict[int, list[int]] = {}
    for writer, index in deletes:
        by_writer.setdefault(writer, []).append(index)
    for writer, indices in by_writer.items():
        indices.sort(reverse=True)
        if indices[-1] < 0 or len(set(indices)) != len(indices):
            raise EngineError(f"doubled or negative index in the array of writer {writer}")
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


class YPyDocument:
    """An EngineDocument on y-py."""

    def __init__(self, client_id: int, snapshot: bytes | None = None) -> None:
        self.client_id = client_id
        self._doc: Any = y_py.YDoc(client_id)
        self._arrays: dict[int, Any] = {}
        if snapshot is not None:
            decode_update(snapshot, SNAPSHOT_LIMITS)
            _guarded(y_py.apply_update, self._doc, snapshot)
        self._update = NOTHING
        self._observed = False

    def _observe(self, event: Any) -> None:
        self._update = bytes(event.get_update())  # the event must not be kept: reading it later segfaults

    def _array(self, writer: int) -> Any:
        array = self._arrays.get(writer)
        if array is None:
            array = self._arrays[writer] = _guarded(self._doc.get_array, str(writer))
        return array

    def edit(self, deletes: Sequence[tuple[int, int]], appends: Sequence[str]) -> bytes:
        by_writer = _checked(deletes, appends)
        own = self._array(self.client_id)
        arrays = [(self._array(writer), indices) for writer, indices in by_writer.items()]
        if not self._observed:  # like a touched root, an observer keeps the document from ever being freed
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

        _guarded(transact)
        return self._update

    def apply(self, update: bytes, decoded: DecodedUpdate | None = None) -> DecodedUpdate:
        checked = decoded if decoded is not None else decode_update(update)
        _guarded(y_py.apply_update, self._doc, update)
        return checked

    def encode(self) -> bytes:
        return bytes(_guarded(y_py.encode_state_as_update, self._doc))

    def state_vector(self) -> dict[int, int]:
        return decode_state_vector(bytes(_guarded(y_py.encode_state_vector, self._doc)))

    def texts(self, writer: int) -> list[str]:
        texts: list[Any] = _guarded(list, self._array(writer))
        return [str(text) for text in texts]


class PycrdtDocument:
    """The same on pycrdt, which reads and writes the same bytes."""

    def __init__(self, client_id: int, snapshot: bytes | None = None) -> None:
        import pycrdt

        self.client_id = client_id
        self._array_type = pycrdt.Array
        self._doc: Any = pycrdt.Doc(client_id=client_id)
        self._arrays: dict[int, Any] = {}
        if snapshot is not None:
            decode_update(snapshot, SNAPSHOT_LIMITS)
            _guarded(self._doc.apply_update, snapshot)
        self._update = NOTHING
        self._subscription = self._doc.observe(self._observe)

    def _observe(self, event: Any) -> None:
        self._update = bytes(event.update)

    def _array(self, writer: int) -> Any:
        array = self._arrays.get(writer)
        if array is None:
            array = self._arrays[writer] = self._doc.get(str(writer), type=self._array_type)
        return array

    def edit(self, deletes: Sequence[tuple[int, int]], appends: Sequence[str]) -> bytes:
        by_writer = _checked(deletes, appends)
        own = self._array(self.client_id)
        arrays = [(self._array(writer), indices) for writer, indices in by_writer.items()]

        self._update = NOTHING  # no event comes for a transaction that changes nothing

        def transact() -> None:
            with self._doc.transaction():
                for array, indices in arrays:
                    for first, length in _runs(indices):
                        del array[first : first + length]
                if appends:
                    own.extend(list(appends))

        _guarded(transact)
        return self._update

    def apply(self, update: bytes, decoded: DecodedUpdate | None = None) -> DecodedUpdate:
        checked = decoded if decoded is not None else decode_update(update)
        _guarded(self._doc.apply_update, update)
        return checked

    def encode(self) -> bytes:
        return bytes(_guarded(self._doc.get_update))

    def state_vector(self) -> dict[int, int]:
        return decode_state_vector(bytes(_guarded(self._doc.get_state)))

    def texts(self, writer: int) -> list[str]:
        texts: list[Any] = _guarded(list, self._array(writer))
        return [str(text) for text in texts]


def open_document(engine: str, client_id: int, snapshot: bytes | None = None) -> EngineDocument:
    """A document of one of ENGINES, from a snapshot that the decoder accepts. Raises UpdateError, EngineError.

    client_id: 1 .. 2**32 - 1, or ValueError: with any other, nothing the document writes could be read again.
    """
    if not 1 <= client_id <= MAX_CLIENT:
        raise ValueError(f"client id {client_id} is not in 1 .. {MAX_CLIENT}")
    if engine == "y_py":
        return YPyDocument(client_id, snapshot)
    if engine == "pycrdt":
        return PycrdtDocument(client_id, snapshot)
    raise ValueError(f"engine {engine!r} is none of {', '.join(ENGINES)}")


def merge(updates: Sequence[bytes]) -> bytes:
    """Several updates as one, through a throw-away document. Its roots are never touched, so y-py frees it.

    Raises UpdateError, EngineError.
    """
    doc = y_py.YDoc()
    for update in updates:
        decode_update(update, SNAPSHOT_LIMITS)
        _guarded(y_py.apply_update, doc, update)
    return bytes(_guarded(y_py.encode_state_as_update, doc))
