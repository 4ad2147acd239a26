"""What many writers add up stays a number that can be stored and shown, also where each part of it is one."""

from __future__ import annotations

import random
from decimal import Decimal

import orjson
import pytest

from crdt.absorb import absorbed
from crdt.decimals import decimal_of, shown
from crdt.document import MOST_VERSION, Document
from crdt.edits import Edit, Prepared
from crdt.engine import INSTALLED, merge
from crdt.records import DocumentError


def written(writer: int, engine: str, *, n: int = 1, stock: int = 0) -> tuple[Document, Edit]:
    document = Document(writer, engine)
    return document, document.edit(supersede=(), fields=(), n=n, counts={"stock": Decimal(stock)} if stock else {})


@pytest.mark.parametrize("engine", INSTALLED)
def test_shares_of_the_version_whose_sum_no_document_reaches_are_refused_wherever_they_meet(engine: str) -> None:
    (one, _), (other, second) = (written(writer, engine, n=MOST_VERSION // 2) for writer in (1, 2))
    with pytest.raises(DocumentError):
        one.prepare(second.update, second.before)
    with pytest.raises(DocumentError):
        absorbed(one, other.encode())
    with pytest.raises(DocumentError):
        Document.load(merge([one.encode(), other.encode()]), writer=3, engine=engine)
    assert one.version == MOST_VERSION // 2
    almost, _ = written(4, engine, n=MOST_VERSION // 2 - 1)
    assert isinstance(almost.prepare(second.update, second.before), Prepared)


@pytest.mark.parametrize("engine", INSTALLED)
@pytest.mark.parametrize("amount", [2**62, 10**26 - 1, -(10**26) + 1])
def test_totals_whose_sum_is_past_64_bits_are_shown_all_the_same(engine: str, amount: int) -> None:
    """One node may hold what was added and not yet what was taken, so the sum alone refuses nothing."""
    one, _ = written(1, engine, stock=amount)
    _, second = written(2, engine, stock=amount)
    one.apply(second.update, second.before)
    assert one.counters["stock"] == 2 * amount
    assert orjson.loads(orjson.dumps(shown(one.counters["stock"]))) == pytest.approx(2.0 * amount)
    assert Document.load(one.encode(), writer=3, engine=engine).counters == one.counters


@pytest.mark.parametrize("engine", INSTALLED)
@pytest.mark.parametrize("seed", range(10))
def test_loaded_anew_a_document_counts_what_it_counted(seed: int, engine: str) -> None:
    """Also what came to nothing: two came, two went, and 0 is shown. What a writer forgets was never counted."""
    draw, one, other = random.Random(seed), Document(1, engine), Document(2, engine)
    for _ in range(30):
        here, there = draw.sample([one, other], 2)
        names = draw.sample(["stock", "sold", "guests"], draw.randrange(3))
        counts = {name: Decimal(draw.choice(["1", "-1", "0.5", "-0.5"])) for name in names}
        own = here.headers[here.writer].counters if here.writer in here.headers else {}
        forgotten = [name for name in own if name not in counts and draw.random() < 0.3]
        counts |= {name: -decimal_of(own[name]) for name in forgotten}
        edit = here.edit(supersede=(), fields=(), counts=counts, forgotten=forgotten)
        there.apply(edit.update, edit.before)
        assert one.counters == other.counters
        for document in (one, other):
            assert Document.load(document.encode(), writer=3, engine=engine).counters == document.counters
