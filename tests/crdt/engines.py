"""The other engines of test_against_other_engines.py: pycrdt, and Yjs in one Node process fed by lines of JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pycrdt

from crdt.update_format import decode_state_vector
from tests.patience import PATIENCE_S
from tests.processes import missing, node_modules

if TYPE_CHECKING:
    from collections.abc import Sequence

State = tuple[dict[int, list[str]], dict[int, int]]
"""Live strings by writer, and the state vector."""


class Yjs:
    """Commands are collected and go out as one line; `ask` brings the answers of all of them."""

    def __init__(self) -> None:
        modules = node_modules()
        node = shutil.which("node")
        if node is None:
            missing("Node is needed to compare with yjs")
        self._process = subprocess.Popen(
            [str(node), str(Path(__file__).with_name("yjs_engine.mjs")), str(modules)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._commands: list[dict[str, Any]] = []

    def tell(self, command: str, **words: Any) -> int:
        """Put a command into the next line; the place of its answer."""
        self._commands.append({"do": command, **words})
        return len(self._commands) - 1

    def ask(self) -> list[Any]:
        """Fails on a command that Yjs refused."""
        commands, self._commands = self._commands, []
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(commands) + "\n")
        self._process.stdin.flush()
        answers = json.loads(self._process.stdout.readline())
        for command, answer in zip(commands, answers, strict=True):
            assert "error" not in answer, (command, answer)
        return [answer["answer"] for answer in answers]

    def now(self, command: str, **words: Any) -> Any:
        """One command and its answer."""
        self.tell(command, **words)
        return self.ask()[-1]

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(PATIENCE_S)


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def state_of(answer: dict[str, Any]) -> State:
    """What Yjs says of a document."""
    texts = {int(writer): found for writer, found in answer["texts"].items()}
    return texts, {int(writer): clock for writer, clock in answer["vector"].items()}


def read_of(answer: dict[str, Any]) -> dict[str, Any]:
    """What Yjs's own decoder read, in the shapes of `DecodedUpdate`."""

    def by_writer(found: dict[str, list[list[int]]]) -> dict[int, tuple[tuple[int, int], ...]]:
        return {int(writer): tuple(sorted((clock, length) for clock, length in of)) for writer, of in found.items()}

    return {
        "inserts": sorted(map(tuple, answer["inserts"])),
        "ranges": {int(writer): tuple(of) for writer, of in answer["ranges"].items()},
        "gone": by_writer(answer["gone"]),
        "deletes": by_writer(answer["deletes"]),
    }


class Pycrdt:
    """A pycrdt document that is only applied to: no decoder before it, and no guard against gaps."""

    def __init__(self, updates: Sequence[bytes] = ()) -> None:
        self.doc: Any = pycrdt.Doc()
        for update in updates:
            self.apply(update)

    def apply(self, update: bytes) -> None:
        self.doc.apply_update(update)

    def state(self) -> State:
        vector = decode_state_vector(self.doc.get_state())
        arrays = {writer: self.doc.get(str(writer), type=pycrdt.Array) for writer in vector}
        return {writer: [str(text) for text in array] for writer, array in arrays.items()}, vector


def from_b64(text: str) -> bytes:
    return b64decode(text)
