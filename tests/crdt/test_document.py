"""The entity document: shape, gap guard, and convergence under any order of delivery."""

from __future__ import annotations

import random
from decimal import Decimal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.document import Document
from crdt.edits import (
    Applied,
    Edit,
    Gap,
    Known,
    Prepared,
)
from crdt.engine import DEFAULT, INSTALLED
from crdt.json_values import canonical
from crdt.records import DocumentError, ForkError, NewField
from crdt.update_encoder import encode_edit
from crdt.update_format import decode_update
from tests.crdt.editors import open_editor

FIELDS = [("a",), ("b",), ("c",)]


def new(path: tuple[str, ...], value: object, operation: str) -> NewField:
    return NewField(path, value, 1, "t", operation, 1, 1, 1)


def state(document: Document) -> object:
    fields = {
        path: [(r.id, canonical(r.value)) for r in records] for path, records in sorted(document.fields.items())
    }
    return fields, document.version, dict(sorted(document.vector.items()))


def empty(writer: int, engine: str = DEFAULT) -> Document:
    return Document.load(None, writer=writer, engine=engine)


class Network:
    """Replicas of one document and the edits each has yet to get."""

    def __init__(self, count: int, engine: str) -> None:
        self.documents = [empty(100 + n, engine) for n in range(count)]
        self.sent: list[tuple[int, Edit]] = []
        self.waiting: list[list[Edit]] = [[] for _ in range(count)]

    def write(self, place: int, path: tuple[str, ...], keep: int) -> None:
        document = self.documents[place]
        seen = list(document.siblings(path))
        edit = document.edit(supersede=seen[keep:], fields=[new(path, len(self.sent), f"op{len(self.sent)}")])
        self.sent.append((place, edit))

    def deliver(self, place: int, edit: Edit) -> None:
        result = self.documents[place].apply(edit.update, edit.before)
        if isinstance(result, Gap):
            self.waiting[place].append(edit)

    def settle(self, rng: random.Random) -> None:
        """Everything reaches everybody, in any order, some of it twice."""
        for place in range(len(self.documents)):
            edits = [edit for author, edit in self.sent if author != place]
            edits += rng.sample(edits, len(edits) // 3)
            rng.shuffle(edits)
            pending = edits
            while pending:
                self.waiting[place] = []
                for edit in pending:
                    self.deliver(place, edit)
                assert len(self.waiting[place]) < len(pending), "a gap that nothing fills"
                pending = self.waiting[place]


@pytest.mark.parametrize("engine", INSTALLED)
@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 5), seed=st.integers(0, 2**32), steps=st.integers(1, 40))
def test_replicas_agree_whatever_the_order_and_duplication(engine: str, count: int, seed: int, steps: int) -> None:
    rng = random.Random(seed)
    network = Network(count, engine)
    for _ in range(steps):
        if rng.random() < 0.6 or not network.sent:
            network.write(rng.randrange(count), rng.choice(FIELDS), rng.randrange(2))
        else:
            author, edit = rng.choice(network.sent)
            place = rng.randrange(count)
            if place != author:
                network.deliver(place, edit)
    network.settle(rng)
    states = [state(document) for document in network.documents]
    assert all(other == states[0] for other in states)
    assert network.documents[0].version == len(network.sent)
    for document in network.documents:
        again = Document.load(document.encode(), writer=1, engine=engine)
        assert state(again) == state(document)
        for writer in document.vector:
            mirrored = [r for r in document.records() if r.writer == writer]
            assert len(open_editor(engine, 1, document.encode()).texts(writer)) == len(mirrored) + 1


def test_the_snapshot_does_not_grow_with_the_history() -> None:
    writers = [empty(1000 + n) for n in range(10)]
    rng = random.Random(1)
    names = [(f"field-{n}",) for n in range(10)]
    for step in range(600):
        author = rng.choice(writers)
        paths = rng.sample(names, 2)
        doomed = [record for path in paths for record in author.siblings(path)]
        edit = author.edit(supersede=doomed, fields=[new(path, step, f"op{step}") for path in paths])
        for other in writers:
            if other is not author:
                assert isinstance(other.apply(edit.update, edit.before), Applied)
    assert len(writers[0].encode()) < 4_000


def test_an_update_that_comes_twice_changes_nothing() -> None:
    author, follower = empty(1), empty(2)
    edit = author.edit(supersede=[], fields=[new(("a",), 1, "op")])
    assert isinstance(follower.apply(edit.update, edit.before), Applied)
    before = state(follower)
    assert isinstance(follower.apply(edit.update, edit.before), Known)
    assert state(follower) == before


def test_an_update_out_of_order_is_a_gap_and_not_lost() -> None:
    author, follower = empty(1), empty(2)
    first = author.edit(supersede=[], fields=[new(("a",), 1, "op1")])
    second = author.edit(supersede=list(author.siblings(("a",))), fields=[new(("a",), 2, "op2")])
    assert follower.apply(second.update, second.before) == Gap({1: (0, first.span[1])})
    assert state(follower) == state(empty(2))
    follower.apply(first.update, first.before)
    assert isinstance(follower.apply(second.update, second.before), Applied)
    assert state(follower) == state(author)


def test_a_deletion_whose_target_is_missing_waits_for_it() -> None:
    one, two, three = empty(1), empty(2), empty(3)
    write = one.edit(supersede=[], fields=[new(("a",), 1, "op1")])
    two.apply(write.update, write.before)
    over = two.edit(supersede=list(two.siblings(("a",))), fields=[new(("a",), 2, "op2")])
    assert isinstance(three.apply(over.update, {2: 0}), Gap), "the delete set itself names the gap"
    three.apply(write.update, write.before)
    three.apply(over.update, over.before)
    assert [r.value for r in three.siblings(("a",))] == [2]


def test_a_fork_of_our_own_writer_is_refused() -> None:
    one, twin = empty(1), empty(1)
    edit = twin.edit(supersede=[], fields=[new(("a",), 1, "op")])
    with pytest.raises(ForkError):
        one.apply(edit.update, edit.before)
    assert state(one) == state(empty(1))


def foreign(*texts: str) -> bytes:
    return encode_edit(7, 0, texts, [])


HEADER = '["h",1,{}]'
RECORD = orjson.dumps(["f", ["a"], 1, 1, "t", "op", 1, 1, 1]).decode()


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        (["not json", HEADER], "not JSON"),
        ([RECORD], "one header"),
        ([HEADER, HEADER], "one header"),
        ([HEADER, '["f",["a"],1,1,"t","op",1,1,-1]'], "out of range"),
        ([HEADER, '["f",["a"],1,true,"t","op",1,1,1]'], "out of range"),
        ([HEADER, '["f",[],5,1,"t","op",1,1,1]'], "whole entity"),
        ([HEADER, '["x",1]'], "neither"),
        ([HEADER, '["f",["1","2","3","4","5","6","7","8","9"],1,1,"t","op",1,1,1]'], "neither"),
        (['["h",-1,{}]'], "neither"),
    ],
)
def test_well_formed_yjs_that_is_not_ours_is_refused_whole(texts: list[str], what: str) -> None:
    document = empty(1)
    with pytest.raises(DocumentError, match=what):
        document.apply(foreign(*texts), {7: 0})
    assert state(document) == state(empty(1))


def test_nobody_deletes_another_writers_header() -> None:
    victim, document = empty(1), empty(2)
    edit = victim.edit(supersede=[], fields=[new(("a",), 1, "op")])
    document.apply(edit.update, edit.before)
    attacker = open_editor(DEFAULT, 7, victim.encode())
    update = attacker.edit([(1, 0)], [HEADER])
    with pytest.raises(DocumentError, match="deletes the header"):
        document.apply(update, {7: 0, 1: 1})


def test_a_document_that_is_only_read_opens_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    author = empty(1)
    author.edit(supersede=[], fields=[new(("a",), 1, "op")])
    monkeypatch.delattr("crdt.document.open_document")
    reader = Document.load(author.encode(), writer=2, engine=DEFAULT)
    assert [r.value for r in reader.siblings(("a",))] == [1]
    assert reader.encode() == author.encode()


def test_many_restarts_of_one_writer_do_not_grow_the_document() -> None:
    snapshot = None
    for number in range(1_000):
        document = Document.load(snapshot, writer=42, engine=DEFAULT)
        document.edit(supersede=list(document.siblings(("a",))), fields=[new(("a",), number, f"op{number}")])
        snapshot = document.encode()
    assert snapshot is not None
    assert len(snapshot) < 200


def test_an_update_that_deletes_what_it_adds_is_refused_whole() -> None:
    """The engine would drop the record and the mirror keep it: two readings of one document."""
    doomed = foreign(HEADER, RECORD)[:-1] + numbers(1, 7, 1, 1, 1)
    assert decode_update(doomed).deletes == {7: ((1, 1),)}
    document = empty(1)
    with pytest.raises(DocumentError, match="deletes what it adds"):
        document.apply(doomed, {7: 0})
    assert state(document) == state(empty(1))


def numbers(*values: int) -> bytes:
    """As Yjs writes them."""
    out = bytearray()
    for value in values:
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


def test_as_many_records_as_an_update_may_hold_do_not_hold_up_the_node() -> None:
    """All in one field, and then deleted, one by one or in one piece. With their square it takes hours."""
    count = 100_000
    document = empty(1, "pycrdt")
    assert isinstance(document.apply(foreign(HEADER, *[RECORD] * count), {7: 0}), Applied)
    assert len(document.siblings(("a",))) == count
    second = b'["h",2,{}]'
    edit = numbers(1, 1, 7, count + 1) + b"\x88" + numbers(7, count, 1) + b"w" + numbers(len(second)) + second
    every_other = range(0, count, 2)
    ranges = b"".join(numbers(clock, 1) for clock in every_other)
    prepared = document.prepare(edit + numbers(1, 7, len(every_other)) + ranges, {7: 0})
    assert isinstance(prepared, Prepared)
    assert [clock for _, clock in prepared.doomed] == list(every_other)
    applied = document.apply(edit + numbers(1, 7, 1, 0, count // 2), {7: 0})
    assert isinstance(applied, Applied)
    assert len(applied.removed) == count // 2 - 1, "the first is the header"
    assert len(document.siblings(("a",))) == count // 2 + 1
    assert state(Document.load(document.encode(), writer=1, engine="pycrdt")) == state(document)


@given(st.decimals(min_value=-(10**26) + 1, max_value=10**26 - 1, places=9) | st.integers(-(10**26) + 1, 10**26 - 1))
def test_whatever_was_counted_can_be_read_again(amount: Decimal | int) -> None:
    """One writer's total may be past 64 bits where another's is as far below: the sum shown is in range."""
    document = empty(1, "pycrdt")
    document.edit(supersede=[], fields=[], counts={"stock": Decimal(amount)})
    assert Document.load(document.encode(), writer=2, engine="pycrdt").counters == {"stock": Decimal(amount)}
