"""Targets: the decoders of updates and state vectors, against both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.document import Document
from crdt.engine import DEFAULT
from crdt.records import DocumentError
from crdt.update_format import (
    UpdateError,
    UpdateLimits,
    decode_state_vector,
    decode_update,
    encode_state_vector,
    live_records,
)
from tests.crdt.diffs import diff
from tests.crdt.editors import open_editor
from tests.fuzz.engines import UPDATE, VECTOR, Engines, bases, new

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = UpdateLimits(update_bytes=4_096, string_bytes=64, structs=16, clients=4)


class Updates:
    """Whatever `decode_update` accepts, both engines read as it does, and so does a document it is applied to."""

    def __init__(self) -> None:
        self._engines = Engines()
        self._documents = [Document.load(base, writer=5, engine=DEFAULT) for base in bases()]

    def __call__(self, data: bytes) -> None:
        try:
            decoded = decode_update(data)
        except UpdateError:
            decoded = None
        try:
            small = decode_update(data, SMALL)
        except UpdateError:
            small = None
        assert small is None or small == decoded
        for read in (live_records, self._load, *map(self._prepare, self._documents)):
            try:
                read(data)
            except (UpdateError, DocumentError):
                continue
            assert decoded is not None
        if decoded is not None:
            self._engines.check(UPDATE, data)

    @staticmethod
    def _load(data: bytes) -> None:
        Document.load(data, writer=1, engine=DEFAULT).check_whole()

    @staticmethod
    def _prepare(document: Document) -> Callable[[bytes], object]:
        """Changes nothing, and opens no engine: here, so that the fuzzer sees how far it comes."""
        return lambda data: document.prepare(data, {})

    def close(self) -> None:
        self._engines.close()

    @staticmethod
    def seeds() -> list[bytes]:
        seeds = list(bases())
        for base in bases():
            document = Document.load(base, writer=300, engine="pycrdt")
            seeds.append(document.edit(supersede=list(document.records())[:1], fields=[new(("d",), {}, "x")]).update)
            seeds.append(diff("pycrdt", base, {5: 1}))
        text = '["h",1,{"stock":"1.5"}]'
        seeds.append(open_editor("pycrdt", 5).edit([], [text]))
        seeds.append(open_editor("pycrdt", 2**32 - 1).edit([], ["x" * 130, "{}"]))
        return seeds


class Vectors:
    """Whatever `decode_state_vector` accepts, both engines answer with the same."""

    def __init__(self) -> None:
        self._engines = Engines()

    def __call__(self, data: bytes) -> None:
        try:
            decode_state_vector(data)
        except UpdateError:
            return
        self._engines.check(VECTOR, data)

    def close(self) -> None:
        self._engines.close()

    @staticmethod
    def seeds() -> list[bytes]:
        vectors: list[dict[int, int]] = [{}, {5: 1}, {5: 4, 300: 2}, {2**32 - 1: 2**31 - 1}, {5: 3, 300: 0, 7: 2**20}]
        return [encode_state_vector(vector) for vector in vectors]
