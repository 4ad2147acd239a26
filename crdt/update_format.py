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

What has the usual form is read by `_usual`, which holds the same rules and only knows that one is broken. Whatever it
does not take is read once more by the strict reader, which alone refuses, and says why.

It also reads a document's live records without opening an engine, and gives each update's clock ranges.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeAlias

from crdt.classes import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


NO_DELETIONS = b"\0"
"""A delete set without anything."""

USUAL_BYTES = 64 * 1024
"""Up to here only the bound of bytes can be reached: each struct, string and range takes two or more."""


class Insert(NamedTuple):
    """One live string of an update, with its Yjs id."""

    client: int
    clock: int
    text: str


Ranges: TypeAlias = "Mapping[int, tuple[tuple[int, int], ...]]"
"""By client, in order: (clock, length)."""

Run: TypeAlias = "tuple[int, int, list[str]]"
"""Strings with clocks that follow each other: client, first clock, texts."""


class DecodedUpdate(NamedTuple):
    """What an update holds.

    inserts: its strings, per client in clock order. ranges: client -> [first clock, end clock) of its structs.
    gone: ranges (clock, length) it carries as already deleted. deletes: its delete set, ranges (clock, length).
    """

    inserts: tuple[Insert, ...]
    ranges: Mapping[int, tuple[int, int]]
    gone: Ranges
    deletes: Ranges


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
    if len(update) <= USUAL_BYTES and (limits is DEFAULT_LIMITS or limits is SNAPSHOT_LIMITS):
        usual = _usual(update)
        if usual is not None:
            return usual
    return _strictly(update, limits)


def _strictly(update: bytes, limits: UpdateLimits) -> DecodedUpdate:
    """The update, or UpdateError with what is wrong and where."""
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


def _usual(data: bytes) -> DecodedUpdate | None:
    """The update, or None where it breaks a rule."""
    runs: list[Run] = []
    rest = _read(data, runs)
    if rest is None:
        return None
    new, inserts = tuple.__new__, list[Insert]()
    for client, first, texts in runs:
        inserts += [new(Insert, (client, clock, text)) for clock, text in enumerate(texts, first)]
    return DecodedUpdate(tuple(inserts), *rest)


def _read(data: bytes, runs: list[Run]) -> tuple[Mapping[int, tuple[int, int]], Ranges, Ranges] | None:
    """Read an update whose form is usual: its strings into `runs`, and what a DecodedUpdate has besides. None where
    it breaks a rule. Nearly all numbers have one byte and are read in place."""
    ranges: dict[int, tuple[int, int]] = {}
    gone: dict[int, tuple[tuple[int, int], ...]] = {}
    author, written = 0, b""
    try:
        clients, place = data[0], 1
        if clients > 0x7F:
            clients, place = _number(data, 0)
        for _ in range(clients):
            structs = data[place]
            place += 1
            if structs > 0x7F:
                structs, place = _number(data, place - 1)
            begins = place
            client, place = _number(data, place)
            author = client
            written = data[begins:place]
            first = data[place]
            place += 1
            if first > 0x7F:
                first, place = _number(data, place - 1)
            if client in ranges or not structs or not 0 < client <= MAX_CLIENT:
                return None
            clock, removed = first, []
            for _ in range(structs):
                info = data[place]
                place += 1
                if info in (_ANY_AFTER, _DELETED_AFTER):
                    end = place + len(written)
                    if data[place:end] != written:
                        return None
                    last = data[end]
                    place = end + 1
                    if last > 0x7F:
                        last, place = _number(data, end)
                    if last != clock - 1:
                        return None
                elif info in (_ANY, _DELETED):
                    name = b"\x01" + _name(client)
                    end = place + len(name)
                    if clock or data[place:end] != name:
                        return None
                    place = end
                else:
                    return None
                length = data[place]
                place += 1
                if length > 0x7F:
                    length, place = _number(data, place - 1)
                if not length or clock + length > MAX_CLOCK:
                    return None
                if info & 0x0F == _DELETED:
                    removed.append((clock, length))
                else:
                    texts: list[str] = []
                    place = _texts(data, place, length, texts)
                    runs.append((client, clock, texts))
                clock += length
            ranges[client] = (first, clock)
            if removed:
                gone[client] = tuple(removed)
        deletes = _deletions(data, place, written, author)
    except (IndexError, ValueError):
        return None
    if deletes is None:
        return None
    for client, found in deletes.items():
        if client in ranges and sum(found[-1]) > ranges[client][1]:
            return None
    return ranges, gone, deletes


def _texts(data: bytes, place: int, count: int, texts: list[str]) -> int:
    """Read so many strings, and return the place after them. Raises IndexError or ValueError."""
    append = texts.append
    for _ in range(count):
        if data[place] != _STRING:
            raise ValueError("no string")
        size = data[place + 1]
        place += 2
        if size > 0x7F:
            more = data[place]
            if 0 < more < 0x80:
                size += (more << 7) - 0x80
                place += 1
            else:
                size, place = _number(data, place - 1)
        end = place + size
        text = data[place:end]
        if len(text) < size:
            raise ValueError("it is cut")
        append(text.decode())
        place = end
    return place


def _deletions(data: bytes, place: int, written: bytes, author: int) -> dict[int, tuple[tuple[int, int], ...]] | None:
    """The delete set, with which an update ends; None where it breaks a rule. Raises IndexError or ValueError.

    written: `author` as bytes, who mostly deletes. Whether what is deleted was written is not asked.
    """
    deletes: dict[int, tuple[tuple[int, int], ...]] = {}
    clients = data[place]
    place += 1
    if clients > 0x7F:
        clients, place = _number(data, place - 1)
    for _ in range(clients):
        if author and data.startswith(written, place):
            client, place = author, place + len(written)
        else:
            client, place = _number(data, place)
        count = data[place]
        place += 1
        if count > 0x7F:
            count, place = _number(data, place - 1)
        if client in deletes or not count or not 0 < client <= MAX_CLIENT:
            return None
        found = []
        for _ in range(count):
            clock = data[place]
            place += 1
            if clock > 0x7F:
                clock, place = _number(data, place - 1)
            length = data[place]
            place += 1
            if length > 0x7F:
                length, place = _number(data, place - 1)
            if not length or clock + length > MAX_CLOCK:
                return None
            found.append((clock, length))
        if count > 1:
            found.sort()
            if any(a + n > b for (a, n), (b, _) in itertools.pairwise(found)):
                return None
        deletes[client] = tuple(found)
    return deletes if place == len(data) else None


def decode_operation(update: bytes, writer: int, first: int, end: int) -> DecodedUpdate:
    """The update of one operation of a writer, said to have these clocks. Raises UpdateError."""
    usual = _operation(update, writer, first, end)
    if usual is None:
        return decode_update(update)
    new = tuple.__new__
    inserts = tuple([new(Insert, (writer, clock, text)) for clock, text in enumerate(usual[0], first)])
    return DecodedUpdate(inserts, {writer: (first, end)}, {}, usual[1])


def operation_texts(update: bytes, writer: int, first: int, end: int) -> tuple[list[str], Ranges]:
    """The strings of one operation's update, which has these clocks and no others, and what it deletes.

    Raises UpdateError.
    """
    usual = _operation(update, writer, first, end)
    if usual is not None:
        return usual
    decoded = decode_update(update)
    if decoded.gone or decoded.ranges != {writer: (first, end)}:
        raise UpdateError(f"update is not of clocks {first}..{end} of writer {writer}, as its entry says")
    return [text for _, _, text in decoded.inserts], decoded.deletes


def _operation(update: bytes, writer: int, first: int, end: int) -> tuple[list[str], Ranges] | None:
    """What `operation_texts` returns of an update of the usual form, None of any other."""
    if not (0 < writer <= MAX_CLIENT and 0 <= first < end <= MAX_CLOCK) or len(update) > USUAL_BYTES:
        return None
    head = _head(writer, first, end)
    if not update.startswith(head):
        return None
    try:
        texts: list[str] = []
        place = _texts(update, len(head), end - first, texts)
        if update[place:] == NO_DELETIONS:
            return texts, {}
        deletes = _deletions(update, place, _varint(writer), writer)
    except (IndexError, ValueError):
        return None
    if deletes is None or (writer in deletes and sum(deletes[writer][-1]) > end):
        return None
    return texts, deletes


def _head(writer: int, first: int, end: int) -> bytes:
    """How the update of an operation begins, up to its first string."""
    begins = b"\x01\x01" + _varint(writer) + _varint(first)
    parent = b"\x88" + _varint(writer) + _varint(first - 1) if first else b"\x08\x01" + _name(writer)
    return begins + parent + _varint(end - first)


@lru_cache(maxsize=1_024)
def _name(writer: int) -> bytes:
    """The name of a writer's root array, with its length."""
    return b"%c%d" % (len(str(writer)), writer)


@lru_cache(maxsize=4_096)
def _varint(number: int) -> bytes:
    out = bytearray()
    _put(out, number)
    return bytes(out)


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A canonical number of at most five bytes, and the place after it. Raises IndexError or ValueError."""
    number = data[place]
    place += 1
    if number < 0x80:
        return number, place
    number &= 0x7F
    for shift in (7, 14, 21, 28):
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if not byte:
                break
            return number, place
    raise ValueError("no canonical number")


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


def live_records(snapshot: bytes) -> tuple[list[Insert], dict[int, int]]:
    """A whole document without an engine: live (client, clock, text) in client, then clock order; state vector.

    Raises UpdateError, also when the snapshot does not begin at clock 0 or deletes what it does not hold.
    """
    live, vector = live_texts(snapshot)
    return [Insert(client, clock, text) for client, texts in live.items() for clock, text in texts.items()], vector


def live_texts(snapshot: bytes) -> tuple[dict[int, dict[int, str]], dict[int, int]]:
    """As `live_records`: client -> clock -> text, both in order; state vector."""
    runs: list[Run] = []
    usual = _read(snapshot, runs) if len(snapshot) <= USUAL_BYTES else None
    if usual is None:
        decoded = decode_update(snapshot, SNAPSHOT_LIMITS)
        runs, usual = [(client, clock, [text]) for client, clock, text in decoded.inserts], decoded[1:]
    ranges, gone, deletes = usual
    vector, live = dict[int, int](), dict[int, dict[int, str]]()
    for client, (first, end) in ranges.items():
        if first != 0:
            raise UpdateError(f"snapshot begins at clock {first} of client {client}")
        vector[client] = end
    for client in deletes.keys() - vector.keys():
        raise UpdateError(f"snapshot deletes what it does not hold of client {client}")
    for client, first, texts in sorted(runs) if len(ranges) > 1 else runs:
        if client not in live:
            live[client] = {}
        live[client].update(enumerate(texts, first))
    if deletes != gone:  # else no string is deleted
        for client, ranges_of in deletes.items():
            texts_of = live.get(client, {})
            for clock in [clock for clock in texts_of if within(ranges_of, clock)]:
                del texts_of[clock]
    return live, vector


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
