"""Strict decoder of the Yjs v1 update format: only what our own nodes write gets past it.

Theory of operation. y-py aborts the process on malformed bytes, so every foreign update, snapshot and state vector is
read here first, in plain Python, and refused unless it consists of

    struct section   varint clients; per client: varint structs, varint client, varint first clock; per struct:
                     0x08 | 0x88   ContentAny: [parent or left origin] varint n, then n strings (0x77 varint bytes)
                     0x01 | 0x81   ContentDeleted: [parent or left origin] varint n
    delete set       varint clients; per client: varint client, varint ranges; per range: varint clock, varint length

where bit 0x80 means "left origin follows" (client, clock) and its absence means that a parent follows: 0x01 and the
root array's name, which must be the client's own id in decimal. Our writers append to their own root array and to
nothing else, so a left origin is an earlier item of the same client. Right origins, nested parents, garbage-collected
structs, skips, other content kinds and trailing bytes do not occur and are refused.

It also reads a document's live records without opening an engine, and gives each update's clock ranges.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from attrs import frozen

MAX_CLIENT = 2**32 - 1
MAX_CLOCK = 2**31 - 1

_ANY = 0x08
_ANY_AFTER = 0x88
_DELETED = 0x01
_DELETED_AFTER = 0x81
_STRING = 0x77


class UpdateError(ValueError):
    """Bytes that are no update (or state vector) as our nodes write them; says what is wrong, and where."""

    code = 4006


@frozen
class UpdateLimits:
    """Bounds of one update. Lengths in bytes, the rest are counts; `structs` bounds structs, strings and ranges each.

    A message of 1 MiB can become an update of nearly 4 MiB and its records besides: JSON writes `1e15` as
    `1000000000000000.0`. Whatever an engine document's `edit` accepts lies within the default bounds.
    """

    update_bytes: int = 8 * 1024 * 1024
    string_bytes: int = 8 * 1024 * 1024
    structs: int = 200_000
    clients: int = 100_000


DEFAULT_LIMITS = UpdateLimits()

SNAPSHOT_LIMITS = UpdateLimits(update_bytes=1_000_000_000, structs=100_000_000, clients=10_000_000)
"""Bounds of a stored snapshot: many updates' worth, up to what SQLite keeps in one blob. Only for our own disk."""


class Insert(NamedTuple):
    """One live string of an update, with its Yjs id."""

    client: int
    clock: int
    text: str


@frozen
class DecodedUpdate:
    """What an update holds.

    inserts: its strings, per client in clock order. ranges: client -> [first clock, end clock) of its structs.
    gone: ranges (clock, length) it carries as already deleted. deletes: its delete set, ranges (clock, length).
    """

    inserts: tuple[Insert, ...]
    ranges: Mapping[int, tuple[int, int]]
    gone: Mapping[int, tuple[tuple[int, int], ...]]
    deletes: Mapping[int, tuple[tuple[int, int], ...]]


class _Reader:
    __slots__ = ("bytes", "end", "place")

    def __init__(self, update: bytes) -> None:
        self.bytes = update
        self.end = len(update)
        self.place = 0

    def fail(self, what: str) -> NoReturn:
        raise UpdateError(f"{what} at byte {self.place}")

    def varint(self, highest: int) -> int:
        """A canonical (shortest) LEB128 number up to `highest`."""
        place = self.place
        if place >= self.end:
            self.fail("unexpected end")
        byte = self.bytes[place]
        place += 1
        if byte <= 0x7F and byte <= highest:  # most numbers are one byte
            self.place = place
            return byte
        number = byte & 0x7F
        shift = 7
        while byte & 0x80:
            if place >= self.end:
                self.fail("unexpected end")
            byte = self.bytes[place]
            place += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if shift > 42:
                self.fail("number too long")
        if shift > 7 and byte == 0:
            self.fail("number longer than needed")
        if number > highest:
            self.fail(f"number {number} above {highest}")
        self.place = place
        return number

    def text(self, longest: int) -> str:
        length = self.varint(longest)
        first = self.place
        if first + length > self.end:
            self.fail("string runs past the end")
        try:
            text = str(self.bytes[first : first + length], "utf-8")
        except UnicodeDecodeError:
            self.fail("string is not UTF-8")
        self.place = first + length
        return text

    def client(self) -> int:
        client = self.varint(MAX_CLIENT)
        if client == 0:
            self.fail("client id 0")
        return client


def decode_update(update: bytes, limits: UpdateLimits = DEFAULT_LIMITS) -> DecodedUpdate:
    """Read a Yjs v1 update. Raises UpdateError; never anything else, whatever the bytes."""
    if len(update) > limits.update_bytes:
        raise UpdateError(f"update of {len(update)} bytes, at most {limits.update_bytes} are taken")
    reader = _Reader(update)
    inserts: list[Insert] = []
    ranges: dict[int, tuple[int, int]] = {}
    gone: dict[int, tuple[tuple[int, int], ...]] = {}
    budget = limits.structs
    for _ in range(reader.varint(limits.clients)):
        structs = reader.varint(budget)
        budget -= structs
        client = reader.client()
        if client in ranges:
            reader.fail(f"client {client} twice")
        if structs == 0:
            reader.fail(f"client {client} without structs")
        first = reader.varint(MAX_CLOCK)
        end, deleted = _structs(reader, structs, client, first, inserts, limits)
        ranges[client] = (first, end)
        if deleted:
            gone[client] = tuple(deleted)
    deletes = _delete_set(reader, limits)
    for client, (_, end) in ranges.items():
        last_clock, length = deletes.get(client, ((0, 0),))[-1]
        if last_clock + length > end:
            reader.fail(f"client {client} is deleted beyond its end")
    if reader.place != reader.end:
        reader.fail("trailing bytes")
    return DecodedUpdate(tuple(inserts), ranges, gone, deletes)


def _structs(
    reader: _Reader, structs: int, client: int, first: int, inserts: list[Insert], limits: UpdateLimits
) -> tuple[int, list[tuple[int, int]]]:
    """One client's structs from clock `first`; returns the clock after them and what of it is deleted."""
    clock = first
    deleted: list[tuple[int, int]] = []
    budget = limits.structs - len(inserts)
    for _ in range(structs):
        if reader.place >= reader.end:
            reader.fail("unexpected end")
        info = reader.bytes[reader.place]
        reader.place += 1
        if info in (_ANY_AFTER, _DELETED_AFTER):
            if reader.client() != client:
                reader.fail("appended to another client's array")
            if reader.varint(MAX_CLOCK) != clock - 1:
                reader.fail("not appended at the end")
        elif info in (_ANY, _DELETED):
            if clock != 0:
                reader.fail("a second first item")
            if reader.varint(1) != 1:
                reader.fail("nested parent")
            if reader.text(10) != str(client):
                reader.fail("root array is not the client's own")
        else:
            reader.fail(f"struct of kind {info:#04x}")
        if info & 0x0F == _DELETED:
            length = reader.varint(MAX_CLOCK - clock)
            if length == 0:
                reader.fail("empty struct")
            deleted.append((clock, length))
        else:
            length = reader.varint(budget)
            budget -= length
            if length == 0:
                reader.fail("empty struct")
            if clock + length > MAX_CLOCK:
                reader.fail("clock too large")
            for offset in range(length):
                if reader.place >= reader.end or reader.bytes[reader.place] != _STRING:
                    reader.fail("content is no string")
                reader.place += 1
                inserts.append(Insert(client, clock + offset, reader.text(limits.string_bytes)))
        clock += length
    return clock, deleted


def _delete_set(reader: _Reader, limits: UpdateLimits) -> dict[int, tuple[tuple[int, int], ...]]:
    deletes: dict[int, tuple[tuple[int, int], ...]] = {}
    budget = limits.structs
    for _ in range(reader.varint(limits.clients)):
        client = reader.client()
        if client in deletes:
            reader.fail(f"client {client} twice in the delete set")
        count = reader.varint(budget)
        if count == 0:
            reader.fail(f"client {client} without ranges")
        budget -= count
        found = []
        for _ in range(count):
            clock = reader.varint(MAX_CLOCK)
            length = reader.varint(MAX_CLOCK - clock)
            if length == 0:
                reader.fail("empty range")
            found.append((clock, length))
        ordered = sorted(found)
        if any(a + n > b for (a, n), (b, _) in itertools.pairwise(ordered)):
            reader.fail(f"ranges of client {client} overlap")
        deletes[client] = tuple(ordered)
    return deletes


def live_records(snapshot: bytes) -> tuple[list[tuple[int, int, str]], dict[int, int]]:
    """A whole document without an engine: live (client, clock, text) in client, then clock order; state vector.

    Raises UpdateError, also when the snapshot does not begin at clock 0 or deletes what it does not hold.
    """
    decoded = decode_update(snapshot, SNAPSHOT_LIMITS)
    vector: dict[int, int] = {}
    for client, (first, end) in decoded.ranges.items():
        if first != 0:
            raise UpdateError(f"snapshot begins at clock {first} of client {client}")
        vector[client] = end
    for client in decoded.deletes.keys() - vector.keys():
        raise UpdateError(f"snapshot deletes what it does not hold of client {client}")
    deletes = decoded.deletes
    records = [
        (insert.client, insert.clock, insert.text)
        for insert in decoded.inserts
        if not within(deletes.get(insert.client, ()), insert.clock)
    ]
    records.sort(key=lambda record: record[:2])
    return records, vector


def within(ranges: Sequence[tuple[int, int]], clock: int) -> bool:
    """Whether `clock` lies in one of `ranges` (clock, length), which are in order and do not overlap."""
    place = bisect_right(ranges, (clock, MAX_CLOCK)) - 1
    return place >= 0 and clock < ranges[place][0] + ranges[place][1]


def decode_state_vector(vector: bytes, limits: UpdateLimits = DEFAULT_LIMITS) -> dict[int, int]:
    """A Yjs v1 state vector: client -> next clock. Raises UpdateError."""
    reader = _Reader(vector)
    clocks: dict[int, int] = {}
    for _ in range(reader.varint(limits.clients)):
        client = reader.client()
        if client in clocks:
            reader.fail(f"client {client} twice")
        clocks[client] = reader.varint(MAX_CLOCK)
    if reader.place != reader.end:
        reader.fail("trailing bytes")
    return clocks


def encode_state_vector(vector: Mapping[int, int]) -> bytes:
    """The bytes `decode_state_vector` reads, clients in order."""
    out = bytearray()
    _put(out, len(vector))
    for client, clock in sorted(vector.items()):
        _put(out, client)
        _put(out, clock)
    return bytes(out)


def _put(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
