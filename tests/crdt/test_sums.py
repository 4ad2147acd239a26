"""What many writers add up stays a number that can be stored and shown, also where each part of it is one."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest

from crdt.absorb import absorbed
from crdt.decimals import shown
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
