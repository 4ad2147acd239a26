"""The encoder beside the engines: random edits of each, byte for byte; what is refused; what memory is left."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from bisect import bisect_left

import pytest

from crdt.engine import INSTALLED, EngineError, open_document
from crdt.update_encoder import encode_edit
from crdt.update_format import UpdateLimits, decode_update, live_records
from tests.crdt.editors import open_editor

HISTORIES = int(os.environ.get("COMANDA_HISTORIES", "15"))
WRITERS = (1, 127, 128, 300, 16_384, 2**31, 2**32 - 1)
TEXTS = ("", "a", "ação ☕", "x" * 127, "x" * 128, "y" * 20_000, "\x00", '["h",1,{}]')


class Shared:
    """One document of several writers. Each edit is made by an engine's own means, and encoded."""

    def __init__(self, engine: str, seed: int) -> None:
        self.engine, self.rng = engine, random.Random(seed)
        self.live: dict[int, list[int]] = {writer: [] for writer in self.rng.sample(WRITERS, 3)}
        self.ends = dict.fromkeys(self.live, 0)
        self.document = open_document(engine, 9)

    def edit(self) -> tuple[bytes, bytes]:
        """The update that the engine makes, and the one that is encoded."""
        writer = self.rng.choice(list(self.live))
        texts = [self.rng.choice(TEXTS) for _ in range(self.rng.choice((0, 1, 1, 2, 3, 200)))]
        doomed = [
            (owner, clock)
            for owner, clocks in self.live.items()
            for clock in self.rng.sample(clocks, min(len(clocks), self.rng.choice((0, 0, 1, 2, 50))))
        ]
        self.rng.shuffle(doomed)
        author = open_editor(self.engine, writer, self.document.encode())
        places = [(owner, bisect_left(self.live[owner], clock)) for owner, clock in doomed]
        theirs, ours = author.edit(places, texts), encode_edit(writer, self.ends[writer], texts, doomed)
        self.document.integrate(ours)
        assert live_records(self.document.encode()) == live_records(author.encode())
        for owner, clock in doomed:
            self.live[owner].remove(clock)
        end = self.ends[writer] + len(texts)
        self.live[writer] += range(self.ends[writer], end)
        self.ends[writer] = end
        return theirs, ours


@pytest.mark.parametrize("engine", INSTALLED)
@pytest.mark.parametrize("seed", range(max(HISTORIES // 10, 1)))
def test_an_edit_is_encoded_as_the_engine_would(engine: str, seed: int) -> None:
    shared = Shared(engine, seed)
    for _ in range(30):
        theirs, ours = shared.edit()
        assert decode_update(theirs) == decode_update(ours)
        if len(decode_update(ours).deletes) < 2:
            assert theirs == ours


def test_neighbours_are_deleted_in_one_piece() -> None:
    deletes = decode_update(encode_edit(9, 12, [], [(9, clock) for clock in (9, 5, 8, 7, 2, 1)])).deletes
    assert deletes == {9: ((1, 2), (5, 1), (7, 3))}


@pytest.mark.parametrize("poison", ["\ud800", 5, ("a",), None, 2**64, b"x"])
def test_what_would_poison_a_document_is_not_encoded(poison: object) -> None:
    with pytest.raises(EngineError):
        encode_edit(9, 0, [poison], [])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("texts", "deletes"), [(["x" * 21], []), (["xx"] * 5, []), ([], [(9, n) for n in range(5)]), (["x" * 20] * 4, [])]
)
def test_more_than_an_update_may_hold_is_not_encoded(texts: list[str], deletes: list[tuple[int, int]]) -> None:
    limits = UpdateLimits(update_bytes=200, string_bytes=20, structs=4)
    with pytest.raises(EngineError):
        encode_edit(9, 0, texts, deletes, limits)


def test_nothing_is_deleted_twice() -> None:
    with pytest.raises(EngineError, match="twice"):
        encode_edit(9, 5, [], [(9, 1), (9, 2), (9, 1)])


KEPT = """
import gc, sys
from crdt.document import Document
from crdt.records import NewField
new = NewField(("a",), "x" * 50, 1, "t", "op", 1, 1, 1)
def write(engine):
    document = Document.load(None, writer=9, engine=engine)
    for _ in range(3):
        document.edit(supersede=list(document.siblings(("a",))), fields=[new])
    Document.load(document.encode(), writer=7, engine=engine).edit(supersede=[], fields=[new])
def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4
for _ in range(500):
    write(sys.argv[1])
before = resident()
for _ in range(1_500):
    write(sys.argv[1])
print(resident() - before)
"""


@pytest.mark.parametrize("engine", INSTALLED)
def test_a_document_that_is_let_go_gives_its_memory_back(engine: str) -> None:
    """Two roots touched, or two observers, of each would keep 7 MB and more."""
    done = subprocess.run([sys.executable, "-c", KEPT, engine], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2_000, f"{done.stdout} KB"
