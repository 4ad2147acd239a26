"""The strict decoder: nothing it accepts harms the engine, everything else is an UpdateError."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt import update_format
from crdt.engine import DEFAULT, INSTALLED, EngineError, merge
from crdt.update_encoder import encode_edit
from crdt.update_format import (
    DecodedUpdate,
    UpdateError,
    UpdateLimits,
    decode_operation,
    decode_state_vector,
    decode_update,
    encode_state_vector,
    live_records,
)
from tests.crdt.editors import open_editor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def good_update() -> bytes:
    document = open_editor(DEFAULT, 5)
    document.edit([], ["abc", "de"])
    document.edit([(5, 0)], ["xyz", "ação"])
    return document.encode()


def test_a_snapshot_gives_its_live_records_and_state_vector() -> None:
    records, vector = live_records(good_update())
    assert records == [(5, 1, "de"), (5, 2, "xyz"), (5, 3, "ação")]
    assert vector == {5: 4}


def test_an_edit_gives_its_clock_range_and_what_it_deletes() -> None:
    document = open_editor(DEFAULT, 5)
    document.edit([], ["abc", "de"])
    decoded = decode_update(document.edit([(5, 0)], ["xyz"]))
    assert decoded.ranges == {5: (2, 3)}
    assert decoded.deletes == {5: ((0, 1),)}
    assert [insert.text for insert in decoded.inserts] == ["xyz"]


@pytest.mark.parametrize(
    ("update", "what"),
    [
        (b"", "unexpected end"),
        (b"\x00", "unexpected end"),
        (b"\x00\x00\x00", "trailing bytes"),
        (b"\x01\x01\x00\x00\x08\x01\x010\x01w\x01a\x00", "client id 0"),
        (b"\x01\x01\x05\x00\x08\x01\x016\x01w\x01a\x00", "root array"),
        (b"\x01\x01\x05\x00\x08\x00\x05\x00\x01w\x01a\x00", "nested parent"),
        (b"\x01\x01\x05\x00\x04\x01\x015\x01a\x00", "kind 0x04"),
        (b"\x01\x01\x05\x00\x00\x01\x00", "kind 0x00"),
        (b"\x01\x01\x05\x00\x08\x01\x015\x01}\x01\x00", "no string"),
        (b"\x01\x01\x05\x00\x08\x01\x015\x01w\x02\xc3\x28\x00", "UTF-8"),
        (b"\x01\x01\x05\x02\x88\x06\x01\x01w\x01a\x00", "another client"),
        (b"\x01\x01\x05\x02\x88\x05\x00\x01w\x01a\x00", "at the end"),
        (b"\x01\x01\x85\x00\x00\x08\x01\x015\x01w\x01a\x00", "longer than needed"),
        (b"\x00\x01\x05\x02\x00\x03\x02\x02", "overlap"),
        (b"\x00\x01\x05\x00", "without ranges"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f", "too long"),
    ],
)
def test_what_our_nodes_never_write_is_refused_with_the_reason(update: bytes, what: str) -> None:
    with pytest.raises(UpdateError, match=what):
        decode_update(update)


def _found(read: Callable[[bytes], DecodedUpdate | None], update: bytes) -> DecodedUpdate | None:
    try:
        return read(update)
    except UpdateError:
        return None


def test_the_quick_reader_and_the_strict_one_take_the_same_and_read_the_same() -> None:
    rng = random.Random(20261129)
    taken = 0
    for update in _edits(rng, 400):
        for changes in range(6):
            mutant = bytearray(update)
            for _ in range(changes):
                place = rng.randrange(len(mutant))
                mutant[place : place + rng.randrange(2)] = rng.choice(
                    [b"", b"\0", b"\1", b"\x08", b"w", b"\x80", b"\x88"]
                )
                mutant += b"\0" * (not mutant)
            quick = update_format._usual(bytes(mutant))
            assert quick == _found(_strictly, bytes(mutant)), bytes(mutant)
            taken += quick is not None
            for entry in _entries(rng, quick):
                as_said = _found(lambda update, entry=entry: decode_operation(update, *entry), bytes(mutant))  # type: ignore[misc]
                assert as_said == quick, (bytes(mutant), entry)
    assert taken > 300


def _entries(rng: random.Random, update: DecodedUpdate | None) -> Iterator[tuple[int, int, int]]:
    """What may be said of an update: what is so, and what is not."""
    for writer, (first, end) in update.ranges.items() if update is not None else ():
        yield writer, first, end
        yield writer, first + rng.randrange(-1, 2), end + rng.randrange(-1, 2)
    yield rng.choice([1, 127, 128, 2**32 - 1, 0, -1]), 0, rng.randrange(4)


def _strictly(update: bytes) -> DecodedUpdate:
    return update_format._strictly(update, update_format.DEFAULT_LIMITS)


def _edits(rng: random.Random, count: int) -> Iterator[bytes]:
    """Updates of one writer and of several, with numbers and strings on both sides of a byte's end."""
    for _ in range(count):
        writer, first = rng.choice([1, 127, 128, 2**32 - 1]), rng.choice([0, 1, 127, 128, 70_000])
        deleted = {(rng.choice([writer, 9_000]), rng.randrange(200)) for _ in range(rng.randrange(5))}
        texts = ["ã" * rng.choice([0, 1, 63, 64, 100]) for _ in range(rng.randrange(4))]
        with suppress(EngineError):
            yield encode_edit(writer, first, texts, sorted(deleted))
    yield good_update()
    documents = [open_editor(DEFAULT, writer) for writer in (5, 300)]
    for document in documents:
        document.edit([], ["abc", "de"])
        document.edit([], ["xyz"])
    yield merge([document.encode() for document in documents])


def test_an_update_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(UpdateError, match="at most 10"):
        decode_update(good_update(), UpdateLimits(update_bytes=10))


@given(st.binary(max_size=60))
def test_random_bytes_raise_nothing_but_update_errors(noise: bytes) -> None:
    for decode in (decode_update, decode_state_vector, live_records):
        try:
            decode(noise)
        except UpdateError:
            continue


@given(st.dictionaries(st.integers(1, 2**32 - 1), st.integers(0, 2**31 - 1), max_size=20))
def test_state_vectors_survive_the_round_trip(vector: dict[int, int]) -> None:
    assert decode_state_vector(encode_state_vector(vector)) == vector


def _mutants(seed: int, count: int) -> list[bytes]:
    rng = random.Random(seed)
    originals = [good_update(), open_editor(DEFAULT, 300).edit([], ["x" * 200, "{}"])]
    mutants = []
    for _ in range(count):
        update = bytearray(rng.choice(originals))
        match rng.randrange(4):
            case 0:
                update[rng.randrange(len(update))] ^= 1 << rng.randrange(8)
            case 1:
                del update[rng.randrange(len(update)) :]
            case 2:
                update.insert(rng.randrange(len(update)), rng.randrange(256))
            case _:
                update = bytearray(rng.randbytes(rng.randrange(1, 40)))
        mutants.append(bytes(update))
    return mutants


APPLY_ALL = """
import base64, json, sys
import y_py
survived = 0
for text in json.load(sys.stdin):
    document = y_py.YDoc(7)
    document.get_array("7")
    try:
        y_py.apply_update(document, base64.b64decode(text))
        y_py.encode_state_as_update(document)
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime" and not isinstance(error, Exception):
            raise
    survived += 1
print(survived)
"""


def _apply_in_a_process(updates: list[bytes]) -> subprocess.CompletedProcess[str]:
    texts = json.dumps([base64.b64encode(update).decode() for update in updates])
    return subprocess.run([sys.executable, "-c", APPLY_ALL], input=texts, capture_output=True, text=True, check=False)


@pytest.mark.skipif("y_py" not in INSTALLED, reason="y-py has no wheel for this Python")
def test_what_the_decoder_lets_through_never_kills_the_engine() -> None:
    accepted = []
    for mutant in _mutants(seed=20260115, count=20_000):
        try:
            decode_update(mutant)
        except UpdateError:
            continue
        accepted.append(mutant)
    assert len(accepted) > 100, "the mutations are too destructive to prove anything"
    result = _apply_in_a_process(accepted)
    assert result.returncode == 0, result.stderr[-500:]
    assert int(result.stdout) == len(accepted)


@pytest.mark.skipif("y_py" not in INSTALLED, reason="y-py has no wheel for this Python")
def test_without_the_decoder_malformed_bytes_do_kill_the_process() -> None:
    refused = []
    for mutant in _mutants(seed=7, count=3_000):
        try:
            decode_update(mutant)
        except UpdateError:
            refused.append(mutant)
    assert _apply_in_a_process(refused).returncode < 0, "y-py survived: either it is mended, or the test is blind"
