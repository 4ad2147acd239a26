"""What the engines make of bytes that the decoder accepted, in a process of its own: y-py may take its process along.

The child answers each input with an empty text, or with what is wrong. It ends after some thousand inputs, because
y-py never frees a document whose roots were touched.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from crdt.absorb import absorbed
from crdt.document import Document
from crdt.edits import Applied
from crdt.engine import INSTALLED
from crdt.json_values import canonical
from crdt.records import DocumentError, NewField
from crdt.update_format import UpdateError, decode_state_vector, decode_update, encode_state_vector, live_records
from tests.crdt.diffs import diff
from tests.crdt.editors import Editor, open_editor

ROOT = Path(__file__).resolve().parent.parent.parent
INPUTS_OF_A_CHILD = 3_000
WRITERS = (5, 300, 2**32 - 1)
UPDATE, VECTOR = b"u", b"v"


class EngineFailure(AssertionError):
    """An engine died, refused or reads something else than the decoder."""


class Engines:
    """The child, started when it is needed and again when it is worn out."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._left = 0

    def check(self, kind: bytes, data: bytes) -> None:
        """Raises EngineFailure."""
        if self._left == 0:
            self.close()
            command = [sys.executable, "-m", "tests.fuzz.engines"]
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
            self._left = INPUTS_OF_A_CHILD
        child, self._left = self._child, self._left - 1
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(kind + struct.pack("!I", len(data)) + data)
        child.stdin.flush()
        head = child.stdout.read(4)
        if len(head) < 4:
            status, self._left = child.wait(), 0
            raise EngineFailure(f"the engines' process ended with {status}")
        answer = child.stdout.read(*struct.unpack("!I", head))
        if answer:
            raise EngineFailure(answer.decode())

    def close(self) -> None:
        if self._child is not None:
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    pipe.close()
            self._child.wait()
            self._child = None


# ---------------------------------------------------------------------- in the child


def new(path: tuple[str, ...], value: object, operation: str) -> NewField:
    return NewField(path, value, 1, "t", operation, 1, 1, 1)


@lru_cache(maxsize=1)
def bases() -> list[bytes]:
    """A few documents, as what comes from other nodes meets them."""
    five = Document.load(None, writer=5, engine="pycrdt")
    other = Document.load(None, writer=300, engine="pycrdt")
    five.edit(supersede=[], fields=[new(("a",), 1, "op-1"), new(("b",), "ação", "op-1")])
    small = five.encode()
    five.edit(supersede=list(five.siblings(("a",))), fields=[new(("a",), 2, "op-2")])
    other.apply(edit_of(other, five), {})
    other.edit(supersede=list(other.siblings(("b",))), fields=[new(("c",), [1], "op-3")], n=3)
    return [small, five.encode(), other.encode()]


def edit_of(reader: Document, writer: Document) -> bytes:
    return diff("pycrdt", writer.encode(), reader.vector)


def reads(document: Editor) -> tuple[dict[int, list[str]], dict[int, int]]:
    vector = document.state_vector()
    return {writer: document.texts(writer) for writer in vector}, vector


def judge_update(data: bytes) -> str:
    """What is wrong with accepting `data`, or nothing."""
    try:
        records, vector = live_records(data)
    except UpdateError:
        records, vector = [], {}  # no whole document: it must do no harm, and that is all
    whole: dict[int, list[str]] = {writer: [] for writer in vector}
    for writer, _, text in records:
        whole[writer].append(text)
    for engine in INSTALLED:
        document = open_editor(engine, 42)
        document.apply(data)
        read = reads(document)
        if vector and read != (whole, vector):
            return f"{engine} reads {read}, the decoder {(whole, vector)}"
        if vector and live_records(document.encode()) != (records, vector):
            return f"{engine} writes it as something else"
        for number, base in enumerate(bases()):
            wrong = judge_on(Document.load(base, writer=42, engine=engine), data)
            if wrong:
                return f"{engine} on document {number}: {wrong}"
    return ""


def judge_on(document: Document, data: bytes) -> str:
    before = document.encode(), mirrored(document)
    wrong = judge_whole(document, data)
    if wrong or (document.encode(), mirrored(document)) != before:
        return f"as a whole document: {wrong}"
    try:
        result = document.apply(data, {})
    except (DocumentError, UpdateError):
        result = None
    if not isinstance(result, Applied):
        unchanged = (document.encode(), mirrored(document)) == before
        return "" if unchanged else f"{result} changed it"
    again = Document.load(document.encode(), writer=42, engine=document.engine_name)
    if mirrored(again) != mirrored(document):
        return f"mirrored {mirrored(document)}, stored {mirrored(again)}"
    return ""


def judge_whole(document: Document, data: bytes) -> str:
    """As a first synchronisation takes it."""
    try:
        together = absorbed(document, data)
    except (DocumentError, UpdateError):
        return ""
    if together is None:
        return ""
    opened = open_editor(document.engine_name, 42, together.encode())
    if live_records(opened.encode()) != live_records(together.encode()):
        return f"the engine reads {live_records(opened.encode())}, the decoder {live_records(together.encode())}"
    missing = [writer for writer, clock in document.vector.items() if not together.holds(writer, clock)]
    return f"writers {missing} are lost" if missing else ""


def mirrored(document: Document) -> object:
    fields = sorted((record.id, record.path, canonical(record.value)) for record in document.records())
    headers = {writer: (header.clock, header.n) for writer, header in document.headers.items()}
    return fields, headers, document.vector, document.version, {n: a for n, a in document.counters.items() if a}


def judge_vector(data: bytes) -> str:
    """What is wrong with answering the state vector `data`, or nothing."""
    vector = decode_state_vector(data)
    if decode_state_vector(encode_state_vector(vector)) != vector:
        return "it does not survive the round trip"
    for base in bases():
        found = []
        for engine in INSTALLED:
            decoded = decode_update(diff(engine, base, vector))
            found.append((sorted((i.client, i.clock, i.text) for i in decoded.inserts), decoded.ranges))
        if any(other != found[0] for other in found):
            return f"the engines' diffs hold {found}"
    return ""


def serve() -> None:
    take, give = sys.stdin.buffer, sys.stdout.buffer
    while kind := take.read(1):
        data = take.read(*struct.unpack("!I", take.read(4)))
        try:
            answer = judge_update(data) if kind == UPDATE else judge_vector(data)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        encoded = answer.encode(errors="replace")
        give.write(struct.pack("!I", len(encoded)) + encoded)
        give.flush()


if __name__ == "__main__":
    serve()
