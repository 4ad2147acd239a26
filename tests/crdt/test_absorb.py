"""A document taken whole is the document its operations make."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from crdt.absorb import absorbed
from crdt.document import Document
from crdt.engine import DEFAULT, INSTALLED, merge
from crdt.records import Contradiction, DocumentError, ForkError
from crdt.update_format import UpdateError
from tests.crdt.test_document import FIELDS, Network, empty, new, state


@pytest.mark.parametrize("engine", INSTALLED)
@pytest.mark.parametrize("seed", range(20))
def test_absorbing_a_document_is_applying_its_operations(engine: str, seed: int) -> None:
    rng = random.Random(seed)
    network = Network(3, engine)
    for _ in range(40):
        place = rng.randrange(3)
        if rng.random() < 0.5 and network.sent:
            network.deliver(place, rng.choice(network.sent)[1])
        else:
            network.write(place, rng.choice(FIELDS), rng.randrange(2))
    one, other = network.documents[0], network.documents[1]
    taken = absorbed(one, other.encode())
    again = absorbed(other, one.encode())
    together = taken if taken is not None else one
    assert state(together) == state(again if again is not None else other)
    assert absorbed(together, one.encode()) is None
    assert absorbed(together, other.encode()) is None
    network.documents[0] = together
    network.settle(rng)
    assert len({str(state(document)) for document in network.documents}) == 1


def test_an_empty_document_takes_another_without_opening_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    there = empty(7)
    there.edit(supersede=(), fields=[new(("a",), 1, "op")])
    with monkeypatch.context() as patch:
        patch.delattr("crdt.document.open_document")
        here = absorbed(empty(8), there.encode())
    assert here is not None
    assert (here.writer, state(here)) == (8, state(there))
    edit = here.edit(supersede=here.siblings(("a",)), fields=[new(("a",), 2, "op2")])
    there.apply(edit.update, edit.before)
    assert state(there) == state(here)


def test_a_document_that_claims_our_own_writer_is_a_fork() -> None:
    there = empty(7)
    there.edit(supersede=(), fields=[new(("a",), 1, "op")])
    with pytest.raises(ForkError, match="own writer 7"):
        absorbed(empty(7), there.encode())


def test_a_document_without_a_header_is_refused() -> None:
    from tests.crdt.editors import open_editor

    bare = open_editor(DEFAULT, 9)
    bare.edit([], ['["f",["a"],1,1,"t","op",1,1,1]'])
    with pytest.raises(DocumentError, match="one live header"):
        absorbed(empty(8), bare.encode())
    twice = open_editor(DEFAULT, 9)
    twice.edit([], ['["h",1,{}]', '["h",2,{}]'])
    with pytest.raises(DocumentError, match="one live header"):
        absorbed(empty(8), twice.encode())


def test_random_damage_is_refused_and_never_dies() -> None:
    rng = random.Random(3)
    there = empty(7)
    for number in range(5):
        there.edit(supersede=there.siblings(("a",)), fields=[new(("a",), "x" * number, f"op{number}")])
    whole = there.encode()
    for _ in range(2_000):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        try:
            absorbed(empty(8), bytes(damaged))
        except (UpdateError, DocumentError):
            continue


def test_merging_documents_needs_no_order() -> None:
    network = Network(2, DEFAULT)
    for number in range(6):
        network.write(number % 2, FIELDS[number % 3], 0)
    one, other = (document.encode() for document in network.documents)
    assert state(Document.load(merge([one, other]), writer=1, engine=DEFAULT)) == state(
        Document.load(merge([other, one]), writer=1, engine=DEFAULT)
    )


@pytest.mark.parametrize("ahead", ["neither", "here", "there", "both"])
@pytest.mark.parametrize("lie", ["value", "removed", "counted"])
def test_two_documents_of_the_same_operations_and_other_records_contradict_each_other(ahead: str, lie: str) -> None:
    """Whichever of them holds more: a false entity was taken whole, and the true one comes."""
    true, false = empty(1), empty(1)
    values = ("a", "b") if lie == "value" else ("a", "a")
    for document, value in zip((true, false), values, strict=True):
        document.edit(fields=[new(("x",), value, "t.1")], supersede=(), n=1)
        document.edit(fields=[new(("y",), "c", "t.1")], supersede=(), n=1)
    for document in (true, false):
        doomed = document.siblings(("x",)) if lie == "removed" and document is false else ()
        counts = {"stock": Decimal(1 if document is true else 9)} if lie == "counted" else {}
        document.edit(fields=[new(("z",), "d", "t.1")], supersede=doomed, n=1, counts=counts)
    here, there = (
        Document.load(true.encode(), writer=5, engine=DEFAULT),
        Document.load(false.encode(), writer=6, engine=DEFAULT),
    )
    if ahead in ("here", "both"):
        here.edit(fields=[new(("here",), "e", "t.1")], supersede=(), n=1)
    if ahead in ("there", "both"):
        there.edit(fields=[new(("there",), "e", "t.1")], supersede=(), n=1)
    for one, other in ((here, there), (there, here)):
        if lie == "removed" and ahead in ("there", "both"):
            absorbed(one, other.encode())  # an operation that the other one lacks may have removed it
            continue
        with pytest.raises(Contradiction):
            absorbed(one, other.encode())
