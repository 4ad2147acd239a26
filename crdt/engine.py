"""The only file that imports y_py and pycrdt: one Yjs document as our entities use it.

Either engine reads and writes the same bytes, and is imported when a document is opened on it. y-py is taken where it
is installed, pycrdt elsewhere (`pyproject.toml` says which environment gets which).

y-py 0.6.2 is no longer developed and has sharp edges; README.md, "What y-py does to careless callers", lists them.
They are contained here. Bytes that the engine sees went through the strict decoder, or are of our own encoder. A Rust
panic, which is a BaseException, becomes EngineError. Documents stay on one thread, also when the garbage
collector ends them on another. A document is only ever given
updates, and asked for its state: no root is touched and nothing is observed, so that its memory comes back.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from crdt.update_format import (
    MAX_CLIENT,
    SNAPSHOT_LIMITS,
    DecodedUpdate,
    decode_state_vector,
    decode_update,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

ENGINES = ("y_py", "pycrdt")

INSTALLED = tuple(name for name in ENGINES if find_spec(name) is not None)
"""Those of this environment, in the order in which they are preferred."""

DEFAULT = INSTALLED[0] if INSTALLED else ENGINES[0]


class EngineError(Exception):
    """The CRDT engine failed; its document is to be dropped and loaded again."""


class EngineDocument(Protocol):
    """One Yjs document."""

    def apply(self, update: bytes, decoded: DecodedUpdate | None = None) -> DecodedUpdate:
        """Apply an update without a gap. `decoded` vouches that these very bytes were checked."""
        ...

    def integrate(self, update: bytes) -> None:
        """Apply an update without a gap that `encode_edit` made."""
        ...

    def encode(self) -> bytes:
        """The whole document as one update."""
        ...

    def state_vector(self) -> dict[int, int]: ...


def unpanicked(call: Callable[..., T], *arguments: Any) -> T:
    """Call into an engine; a panic or an engine exception becomes EngineError."""
    try:
        return call(*arguments)
    except Exception as error:
        raise EngineError(f"{type(error).__name__}: {error}") from error
    except BaseException as error:
        if type(error).__module__ == "pyo3_runtime":
            raise EngineError(f"panic: {error}") from error
        raise


NOTHING_HELD = b"\0"
"""The state vector of who has nothing yet."""

STRANDED: dict[int, list[Any]] = {}
"""Documents of y-py that were let go on another thread, by the thread that opened them. That thread ends them when it
opens its next one; anywhere else y-py would complain and keep their memory."""


class YPyDocument:
    """An EngineDocument on y-py."""

    def __init__(self, client_id: int, snapshot: bytes | None = None) -> None:
        import y_py

        self._thread = get_ident()
        if self._thread in STRANDED:
            STRANDED[self._thread].clear()
        self._y_py, self._doc = y_py, y_py.YDoc(client_id)
        if snapshot is not None:
            decode_update(snapshot, SNAPSHOT_LIMITS)
            unpanicked(y_py.apply_update, self._doc, snapshot)

    def __del__(self) -> None:
        document = self.__dict__.pop("_doc", None)
        if document is not None and self._thread != get_ident():
            STRANDED.setdefault(self._thread, []).append(document)

    def apply(self, update: bytes, decoded: DecodedUpdate | None = None) -> DecodedUpdate:
        checked = decoded if decoded is not None else decode_update(update)
        self.integrate(update)
        return checked

    def integrate(self, update: bytes) -> None:
        unpanicked(self._y_py.apply_update, self._doc, update)

    def encode(self) -> bytes:
        return bytes(unpanicked(self._y_py.encode_state_as_update, self._doc))

    def state_vector(self) -> dict[int, int]:
        return decode_state_vector(bytes(unpanicked(self._y_py.encode_state_vector, self._doc)))


class PycrdtDocument:
    """The same on pycrdt, which reads and writes the same bytes.

    Its engine is asked as `pycrdt.Doc` asks it. Of what that adds nothing is used here (locks, origins, observers):
    a third of the instructions of an edit, and 1 KB a document.
    """

    def __init__(self, client_id: int, snapshot: bytes | None = None) -> None:
        from pycrdt._pycrdt import Doc

        self._doc: Any = Doc(client_id, None, None)
        if snapshot is not None:
            decode_update(snapshot, SNAPSHOT_LIMITS)
            self.integrate(snapshot)

    def apply(self, update: bytes, decoded: DecodedUpdate | None = None) -> DecodedUpdate:
        checked = decoded if decoded is not None else decode_update(update)
        self.integrate(update)
        return checked

    def integrate(self, update: bytes) -> None:
        unpanicked(self._within, self._doc.apply_update, update)

    def encode(self) -> bytes:
        return bytes(unpanicked(self._within, self._doc.get_update, NOTHING_HELD))

    def state_vector(self) -> dict[int, int]:
        return decode_state_vector(bytes(unpanicked(self._within, self._doc.get_state)))

    def _within(self, call: Callable[..., Any], *arguments: bytes) -> Any:
        """Call with a transaction, which ends with the call, also with one that failed: there is one at a time."""
        transaction = self._doc.create_transaction()
        try:
            return call(transaction, *arguments)
        finally:
            transaction.drop()


def open_document(engine: str, client_id: int, snapshot: bytes | None = None) -> EngineDocument:
    """A document of one of INSTALLED, from a snapshot that the decoder accepts. Raises UpdateError, EngineError.

    client_id: 1 .. 2**32 - 1, or ValueError: with any other, nothing the document writes could be read again.
    """
    if not 1 <= client_id <= MAX_CLIENT:
        raise ValueError(f"client id {client_id} is not in 1 .. {MAX_CLIENT}")
    if engine not in INSTALLED:
        raise ValueError(f"engine {engine!r} is none of {', '.join(INSTALLED)}, which are installed here")
    return (YPyDocument if engine == "y_py" else PycrdtDocument)(client_id, snapshot)


def merge(updates: Sequence[bytes], engine: str = DEFAULT) -> bytes:
    """Several updates as one, through a throw-away document. Its roots are never touched, so its memory comes back.

    Raises UpdateError, EngineError.
    """
    document = open_document(engine, MAX_CLIENT)
    for update in updates:
        decode_update(update, SNAPSHOT_LIMITS)
        document.integrate(update)
    return document.encode()


@cache
def running(engine: str) -> str:
    """An engine with its version, as people read it: `y-py 0.6.2`. Its package's files are read once: every report of
    a node says it."""
    name = engine.replace("_", "-")
    return f"{name} {version(name)}"
