"""Every document operation against pycrdt and Yjs: the same bytes in, the same records out.

What Yjs and pycrdt write otherwise than y-py, and whether the strict decoder takes it:

    Yjs's delete sets come with the writers in another order               taken: nothing depends on it
    Yjs and pycrdt merge neighbouring deleted items and strings of a transaction into one struct           taken
    `Y.mergeUpdates` leaves neighbouring structs apart                                                    taken
    `Y.mergeUpdates` of updates with a gap between writes a Skip struct (0x0a)            refused: it is no history
    a document that still waits for something encodes it, with Skip structs               refused, as above
    the V2 format                                                                         refused: nobody sends it

A failing history is replayed by its seed: COMANDA_SEED=7 COMANDA_HISTORIES=1 pytest tests/crdt/test_against_...
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import orjson
import pycrdt
import pytest

from crdt.document import Document
from crdt.engine import DEFAULT, INSTALLED
from crdt.update_format import (
    UpdateError,
    decode_state_vector,
    decode_update,
    encode_state_vector,
    live_records,
)
from tests.crdt.editors import open_editor
from tests.crdt.engines import Pycrdt, State, Yjs, b64, from_b64, read_of, state_of
from tests.crdt.histories import History

if TYPE_CHECKING:
    from collections.abc import Iterator

HISTORIES = int(os.environ.get("COMANDA_HISTORIES", "15"))
FIRST_SEED = int(os.environ.get("COMANDA_SEED", "1"))
STEPS = 30


@pytest.fixture(scope="module")
def yjs() -> Iterator[Yjs]:
    engine = Yjs()
    yield engine
    engine.close()


def state_in(snapshot: bytes) -> State:
    """What the strict decoder reads, without an engine."""
    records, vector = live_records(snapshot)
    texts: dict[int, list[str]] = {writer: [] for writer in vector}
    for writer, _, text in records:
        texts[writer].append(text)
    return texts, vector


def version_of(state: State) -> int:
    headers = [orjson.loads(text) for texts in state[0].values() for text in texts]
    return sum(record[1] for record in headers if record[0] == "h")


def check_document(document: Document, state: State) -> None:
    """The mirror, the snapshot, and a document loaded from it are what the other engines hold."""
    snapshot = document.encode()
    assert state_in(snapshot) == state
    assert document.vector == state[1]
    assert document.version == version_of(state)
    mirrored = {(record.writer, record.clock) for record in document.records()}
    again = Document.load(snapshot, writer=1, engine="pycrdt")
    assert {(record.writer, record.clock) for record in again.records()} == mirrored
    assert {n: a for n, a in again.counters.items() if a} == {n: a for n, a in document.counters.items() if a}


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + HISTORIES))
def test_after_each_step_of_a_history_all_engines_hold_the_same(seed: int, yjs: Yjs) -> None:
    others: dict[int, Pycrdt] = {}
    expected: list[tuple[int, State]] = []
    every: list[bytes] = []

    def changed(place: int, update: bytes) -> None:
        others.setdefault(place, Pycrdt()).apply(update)
        yjs.tell("apply", doc=str(place), update=b64(update))
        every.append(update)

    yjs.tell("forget")
    history = History(seed, changed)
    for _ in range(STEPS):
        place = history.step()
        state = others.setdefault(place, Pycrdt()).state()
        check_document(history.replicas[place].document, state)
        expected.append((yjs.tell("state", doc=str(place)), state))
    # All of it at once, in any order and some of it twice: these engines wait for what is missing themselves.
    rng = random.Random(seed)
    every += rng.sample(every, len(every) // 3)
    rng.shuffle(every)
    for update in every:
        yjs.tell("apply", doc="all", update=b64(update))
    expected.append((yjs.tell("state", doc="all"), Pycrdt(every).state()))
    answers = yjs.ask()
    for place, state in expected:
        assert state_of(answers[place]) == state
    final = expected[-1][1]
    assert final == Pycrdt([replica.document.encode() for replica in history.replicas]).state()
    check_encodings(yjs, history, every, final, rng)


def check_encodings(yjs: Yjs, history: History, every: list[bytes], final: State, rng: random.Random) -> None:
    """What Yjs and pycrdt make of it again is taken by the strict decoder, and read as they read it."""
    documents = [replica.document for replica in history.replicas]
    everything = Pycrdt(every).doc
    vector = rng.choice(documents).vector
    wanted = b64(encode_state_vector(vector))
    wholes = [yjs.tell("encode", doc="all"), yjs.tell("merge", updates=[b64(update) for update in every])]
    differences = [yjs.tell("encode", doc="all", vector=wanted)]
    vectors = [yjs.tell("vector", doc="all")]
    updates = rng.sample(every, min(len(every), 8))
    reads = [yjs.tell("read", update=b64(update)) for update in updates]
    answers = yjs.ask()
    for whole in (everything.get_update(), *(from_b64(answers[place]) for place in wholes)):
        assert state_in(whole) == final
        assert Pycrdt([whole]).state() == final
        assert state_in(open_editor(DEFAULT, 3, whole).encode()) == final
    for place in vectors:
        assert decode_state_vector(from_b64(answers[place])) == final[1]
    for update, place in zip(updates, reads, strict=True):
        check_reading(update, read_of(answers[place]))
    whole = from_b64(answers[wholes[0]])
    yjs.tell("difference", update=b64(whole), vector=wanted)
    yjs.tell("vectorOf", update=b64(whole))
    yjs.tell("read", update=b64(whole))
    difference, of_update, read = yjs.ask()
    assert decode_state_vector(from_b64(of_update)) == final[1]
    check_reading(whole, read_of(read))
    lacking = [difference, answers[differences[0]], b64(everything.get_update(encode_state_vector(vector)))]
    holder = next(document for document in documents if document.vector == vector)
    for text in lacking:
        decoded = decode_update(from_b64(text))
        assert all(first >= vector.get(writer, 0) for writer, (first, _) in decoded.ranges.items())
        document = open_editor(DEFAULT, 3, holder.encode())
        document.apply(from_b64(text))
        assert state_in(document.encode()) == final


def check_reading(update: bytes, read: dict[str, object]) -> None:
    decoded = decode_update(update)
    assert sorted((i.client, i.clock, i.text) for i in decoded.inserts) == read["inserts"]
    assert decoded.ranges == read["ranges"]
    assert decoded.deletes == read["deletes"]
    assert decoded.gone == read["gone"]


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + max(HISTORIES // 3, 1)))
def test_what_yjs_itself_writes_is_read_as_yjs_meant_it(seed: int, yjs: Yjs) -> None:
    """Yjs as one of the writers, appending to its own array and deleting from any."""
    rng = random.Random(seed)
    engines = [open_editor(INSTALLED[0], 5), open_editor(INSTALLED[-1], 300)]
    yjs.now("forget")
    for number in range(15):
        texts, vector = state_of(yjs.now("state", doc="w"))
        deletes = [(writer, index) for writer, of in texts.items() for index in range(len(of)) if rng.random() < 0.3]
        deletes.reverse()  # Yjs deletes one after the other
        appends = [f"{number}-{place}-ação" for place in range(rng.randrange(4))]
        update = yjs.now("edit", doc="w", writer=9, deletes=deletes, appends=appends)
        if update is not None:
            check_reading(from_b64(update), read_of(yjs.now("read", update=update)))
            for document in engines:
                document.apply(from_b64(update))
        author = rng.choice(engines)
        own = len(author.texts(author.client_id))
        mine = author.edit(
            [(author.client_id, index) for index in range(own) if rng.random() < 0.3], [f"own {number}"]
        )
        engines[1 - engines.index(author)].apply(mine)
        yjs.now("apply", doc="w", update=b64(mine))
        held = state_of(yjs.now("state", doc="w"))
        assert held[1] != vector
        for document in engines:
            assert state_in(document.encode()) == held
        assert state_in(from_b64(yjs.now("encode", doc="w"))) == held


def test_what_has_a_hole_in_it_is_refused_whoever_wrote_it(yjs: Yjs) -> None:
    author = open_editor(DEFAULT, 9)
    first, _, third = (author.edit([], [text]) for text in "abc")
    yjs.now("forget")
    yjs.now("apply", doc="w", update=b64(first))
    yjs.now("apply", doc="w", update=b64(third))
    waiting = pycrdt.Doc()
    waiting.apply_update(first)
    waiting.apply_update(third)
    merged = (from_b64(yjs.now("merge", updates=[b64(first), b64(third)])), pycrdt.merge_updates(first, third))
    for update in (*merged, from_b64(yjs.now("encode", doc="w"))):
        with pytest.raises(UpdateError, match="kind 0x0a"):
            decode_update(update)
    assert state_in(waiting.get_update()) == ({9: ["a"]}, {9: 1}), "pycrdt leaves out what waits"


def test_the_second_format_of_yjs_is_refused(yjs: Yjs) -> None:
    author = open_editor(DEFAULT, 9)
    yjs.now("forget")
    yjs.now("apply", doc="w", update=b64(author.edit([], ["a", "b"])))
    with pytest.raises(UpdateError):
        decode_update(from_b64(yjs.now("encode2", doc="w")))


@pytest.mark.parametrize(
    "kind",
    [
        *("before the first", "between two", "a number", "a string and an object", "bytes", "a nested array"),
        *("a nested array that is gone", "a map", "a text", "another writer's array", "a subdocument"),
    ],
)
def test_what_yjs_can_write_and_our_nodes_never_do_is_refused(kind: str, yjs: Yjs) -> None:
    with pytest.raises(UpdateError):
        decode_update(from_b64(yjs.now("strange", kind=kind)))
