"""A document's bytes contain exactly what a document made of them does, seen at a glance."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import orjson
import pytest
from attrs import evolve

from crdt.document import Document
from crdt.engine import INSTALLED
from crdt.records import DocumentError, FieldRecord, NewField, name_of, parse_record
from crdt.settled import PLAIN, Settled, Wrote
from crdt.update_encoder import encode_edit
from crdt.update_format import UpdateError, decode_update

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crdt.edits import Edit

PATHS = [("status",), ("total",), ("items", "1"), ("items", "1", "note"), ("@group", "a+b"), ('a"b',), ("a\\b",), ()]
VALUES = ["aberta", "ção ☕", ',1,"t","o",', 1.5, None, {"a": [1, {"b": ",2]"}]}, [], "x" * 300]


def written(rng: random.Random) -> tuple[Document, list[tuple[Edit, Wrote]]]:
    """A document of two writers, and what each operation wrote."""
    engine = rng.choice(INSTALLED)
    writers = [Document.load(None, writer=writer, engine=engine) for writer in (7, 2**32 - 1)]
    done: list[tuple[Edit, Wrote]] = []
    for number in range(rng.randrange(1, 9)):
        place = rng.randrange(2)
        document, other = writers[place], writers[1 - place]
        wrote = Wrote(
            rng.choice("tu"), rng.choice((f"o-{number}", f"ó,{number}")), number * 2**16, number * 2**16 + 1
        )
        records = list(document.records())
        edit = document.edit(
            supersede=rng.sample(records, rng.randint(0, len(records))),
            fields=[_new(rng, path, wrote, number) for path in rng.sample(PATHS, rng.randint(0, 4))],
        )
        other.apply(edit.update, edit.before)
        done.append((edit, wrote))
    return writers[0], done


def _new(rng: random.Random, path: tuple[str, ...], wrote: Wrote, version: int) -> NewField:
    value = rng.choice(VALUES) if path else {"a": rng.choice(VALUES)}
    rank = rng.choice((wrote.accepted, 1))
    author = (wrote.stamp, wrote.terminal, wrote.operation)
    return NewField(path, value, *author, version, wrote.accepted, rank)


def closely(document: Document, update: bytes, edit: Edit, wrote: Wrote) -> bool:
    """What `Settled.contains` says at a glance."""
    if not document.holds(edit.writer, edit.span[1]):
        return False
    name = name_of(wrote.terminal, wrote.operation)
    try:
        records = document.compare(update, edit.before, (edit.writer, *edit.span), name)
    except (UpdateError, DocumentError):
        return False
    said = {(r.terminal, r.operation, r.stamp, r.accepted) for r in records}
    alone = len({record.path for record in records}) == len(records) and len({r.version for r in records}) <= 1
    return alone and said <= {(wrote.terminal, wrote.operation, wrote.stamp, wrote.accepted)}


def at_a_glance(document: Document, update: bytes, edit: Edit, wrote: Wrote) -> bool:
    try:
        return Settled.of(document.encode()).contains(update, edit.before, (edit.writer, *edit.span), wrote)
    except (UpdateError, DocumentError):
        return False


@pytest.mark.parametrize("seed", range(40))
def test_what_a_document_is_made_of_is_contained(seed: int) -> None:
    document, done = written(random.Random(seed))
    settled = Settled.of(document.encode())
    assert (settled.version, settled.vector) == (document.version, document.vector)
    for edit, wrote in done:
        assert closely(document, edit.update, edit, wrote)
        if not any('"' in step or "\\" in step for record in edit.added for step in record.path):
            assert at_a_glance(document, edit.update, edit, wrote)


def _text(act: Callable[[list[object]], object]) -> Callable[[random.Random, list[str]], None]:
    def change(rng: random.Random, texts: list[str]) -> None:
        place = rng.randrange(len(texts))
        record = orjson.loads(texts[place])
        act(record)
        texts[place] = orjson.dumps(record).decode()

    return change


def _bytes(rng: random.Random, texts: list[str]) -> None:
    place = rng.randrange(len(texts))
    at = rng.randrange(len(texts[place]))
    texts[place] = texts[place][:at] + rng.choice('0"],\\ a') + texts[place][at + 1 :]


def _twice(rng: random.Random, texts: list[str]) -> None:
    texts[rng.randrange(len(texts))] = rng.choice(texts)


def _headless(rng: random.Random, texts: list[str]) -> None:
    texts[0] = '["f",["a\\"b"],1,1,"t","o-1",1,1,1]'


def _spelt(rng: random.Random, texts: list[str]) -> None:
    """The same JSON otherwise written, and perhaps a register twice by that."""
    place = rng.randrange(len(texts))
    texts.insert(
        rng.choice((place, len(texts))), texts[place].replace("status", "st\\u0061tus").replace(",", ", ", 1)
    )


def _last(record: list[object]) -> None:
    record[-1] = [record[-1], 3, 3]


def _within(record: list[object]) -> None:
    """Who wrote it stands in the value, and somebody else in its place."""
    record[2:5] = [[0, *record[3:]], record[3], "somebody"] if len(record) > 3 else record[2:5]


def _numbers(record: list[object]) -> None:
    record[3:] = [number + 1 if isinstance(number, int) else number for number in record[3:]]


CHANGES: Sequence[Callable[[random.Random, list[str]], None]] = (
    _bytes,
    _twice,
    _headless,
    _spelt,
    _text(_last),
    _text(_within),
    _text(_numbers),
    _text(lambda record: record.append(1)),
    _text(lambda record: record.insert(2, ',1,"t","o-1",2,3,4]')),
)


@pytest.mark.parametrize("seed", range(60))
def test_a_record_that_is_plain_says_what_its_json_says(seed: int) -> None:
    rng, found = random.Random(seed), 0
    for _ in range(200):
        wrote = Wrote(rng.choice("tu"), rng.choice(("o-1", "ó,1")), rng.randrange(2**59), rng.randrange(2**59))
        new = _new(rng, rng.choice(PATHS), wrote, rng.randrange(9))
        author = (new.stamp, new.terminal, new.operation, new.version, new.accepted, new.rank)
        text = orjson.dumps(("f", new.path, new.value, *author)).decode()
        if rng.random() < 0.7:
            texts = [text]
            rng.choice((_bytes, _spelt, _text(_last), _text(_numbers)))(rng, texts)
            text = rng.choice(texts)
        plain = PLAIN.match(text)
        if plain is not None:
            found += 1
            record = parse_record(7, 1, text)
            assert isinstance(record, FieldRecord)
            said = (record.stamp, record.terminal, record.operation, record.version, record.accepted, record.rank)
            assert (tuple(orjson.loads(plain[1])), *plain.groups()[1:]) == (record.path, *map(str, said))
    assert found


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_contained_that_is_not_so_when_looked_at_closely(seed: int) -> None:
    rng = random.Random(seed)
    document, done = written(rng)
    before = Document.load(None, writer=1, engine=INSTALLED[0])
    for edit, wrote in done:
        assert not at_a_glance(before, edit.update, edit, wrote)
        before.apply(edit.update, edit.before)
        decoded = decode_update(edit.update)
        deletes = [(w, c) for w, ranges in decoded.deletes.items() for at, n in ranges for c in range(at, at + n)]
        for _ in range(20):
            texts = [insert.text for insert in decoded.inserts]
            rng.choice(CHANGES)(rng, texts)
            by = rng.choice((wrote, wrote, evolve(wrote, accepted=wrote.accepted + 1), evolve(wrote, terminal="t")))
            for update in (encode_edit(edit.writer, edit.span[0], texts, deletes), _flipped(rng, edit.update)):
                if at_a_glance(document, update, edit, by):
                    assert closely(document, update, edit, by)


def _flipped(rng: random.Random, update: bytes) -> bytes:
    place = rng.randrange(len(update))
    return update[:place] + bytes([update[place] ^ 1 << rng.randrange(8)]) + update[place + 1 :]
