"""What a document's arrays hold: the records of its writers, as values and as JSON text.

["h", n, {counter: total}]                                          the header, one live per writer
["f", path, value, stamp, terminal, operation, version, accepted, rank]     a field record
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from crdt.classes import define
from crdt.decimals import Total, is_total

if TYPE_CHECKING:
    from collections.abc import Mapping

Path = tuple[str, ...]
"""Where in an entity a register lives: ("status",) for a top-level field, () for the whole entity."""

PATH_LIMIT = 3
"""Deepest path a record may name: a field, an element of it, and a field of that."""

INTERNAL = "@"
"""What the first step of an internal register begins with. No field has such a name, so the two never meet."""

INTERNAL_STEPS = {"@counted": 1, "@group": 2, "@settled": 2}
"""The internal registers there are (strategies/paths.py), and how many steps the path of each has."""

COUNTERS = 1_000
"""Most counters of one entity."""

MOST_NUMBER = 2**63
"""Stamps, times and versions of a record stay below this."""

CANONICAL = orjson.OPT_SORT_KEYS

_DEEPER = "@["

PLAIN_HEADERS = {f'["h",{n},{{}}]': n for n in range(1_024)}
"""The text of a header that counts nothing -> its share of the version: nearly every header is one of these."""


def counter_name(path: Path) -> str:
    """The name under which a header counts: the field's, or for one deeper in an entity its path as JSON."""
    return path[0] if len(path) == 1 else "@" + orjson.dumps(path).decode()


def counter_path(name: str) -> Path:
    """The path of a counter that is deeper in an entity; () for one that is a top-level field."""
    if not name.startswith(_DEEPER):
        return ()
    try:
        path = orjson.loads(name[1:])
    except orjson.JSONDecodeError:
        return ()
    whole = len(path) == PATH_LIMIT and all(isinstance(step, str) for step in path)
    return tuple(path) if whole and not path[0].startswith(INTERNAL) else ()


def counted_at(name: str) -> Path:
    """The register that a counter shows in."""
    return counter_path(name) or (name,)


def terminal_of(name: str) -> str:
    """The terminal that an operation's name begins with."""
    return name.partition("/")[0]


def name_of(terminal: str, operation: str) -> str:
    """What names an operation: its author and the id that the author gave it. No terminal id has a slash."""
    return f"{terminal}/{operation}"


class DocumentError(ValueError):
    """An update that is well-formed Yjs but not something our own nodes write. Nothing was applied."""

    code = 4006


class Contradiction(DocumentError):
    """Clocks of one writer that the document holds, with other content: two replicas hold two versions of them."""


class ForkError(DocumentError):
    """A foreign update claims our own writer with clocks we never issued: two live nodes share a writer."""


@define(eq=False)
class FieldRecord:
    """One write to one register, never changed. `writer` and `clock` are its identity (the id of the Yjs item).

    stamp, accepted, rank: HLCs (crdt.hlc). version: the entity's version when it was accepted.
    """

    writer: int
    clock: int
    path: Path
    value: object
    stamp: int
    terminal: str
    operation: str
    version: int
    accepted: int
    rank: int

    @property
    def id(self) -> tuple[int, int]:
        return (self.writer, self.clock)

    def says(self, other: FieldRecord) -> bool:
        """Whether another record says the same."""
        return (
            self.path == other.path
            and self.accepted == other.accepted
            and self.stamp == other.stamp
            and self.operation == other.operation
            and self.terminal == other.terminal
            and self.version == other.version
            and self.rank == other.rank
            and self.value == other.value
        )

    @property
    def name(self) -> str:
        """Of the operation that wrote it. Copies of one operation under several writers have one name."""
        return name_of(self.terminal, self.operation)


@define(eq=False)
class NewField:
    """A field record about to be appended; the document gives it its identity."""

    path: Path
    value: object
    stamp: int
    terminal: str
    operation: str
    version: int
    accepted: int
    rank: int


class Header(NamedTuple):
    """A writer's live header record: its share of the version and its counter totals (crdt.decimals)."""

    clock: int
    n: int
    counters: Mapping[str, Total]


def _is_path(path: list[object]) -> bool:
    """Whether a register of our own nodes may have this path: they write no other shapes."""
    if len(path) > PATH_LIMIT:
        return False
    for step in path:
        if type(step) is not str:
            return False
    first = path[0] if path else ""
    if isinstance(first, str) and first.startswith(INTERNAL):
        return INTERNAL_STEPS.get(first) == len(path)
    return True


def parse_record(writer: int, clock: int, text: str) -> FieldRecord | Header:
    """A record from its JSON text. Raises DocumentError unless it is one our own nodes could have written."""
    share = PLAIN_HEADERS.get(text)
    if share is not None:
        return Header(clock, share, {})
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DocumentError(f"record {writer}:{clock} is not JSON: {error}") from None
    # Types are compared and not matched: this reads every record of every update, and `match` takes twice the time.
    if type(record) is list and len(record) == 3 and record[0] == "h":
        _, n, counters = record
        if type(n) is int and type(counters) is dict and 0 <= n < 2**53:
            if len(counters) > COUNTERS or not all(map(is_total, counters.values())):
                raise DocumentError(f"record {writer}:{clock} counts what is no number, or too much")
            return Header(clock, n, counters)
    elif type(record) is list and len(record) == 9 and record[0] == "f":
        _, path, value, stamp, terminal, operation, version, accepted, rank = record
        if (
            type(terminal) is type(operation) is str
            and type(path) is list
            and (
                (len(path) == 1 and type(path[0]) is str and path[0][:1] != INTERNAL)  # nearly all are
                or _is_path(path)
            )
        ):
            if not (
                type(stamp) is type(version) is type(accepted) is type(rank) is int
                and 0 <= stamp | version | accepted | rank < MOST_NUMBER  # a power of two: so is each of them
            ):
                raise DocumentError(f"record {writer}:{clock} has a number out of range")
            if not path and type(value) is not dict:
                raise DocumentError(f"record {writer}:{clock} writes a whole entity that is no object")
            return FieldRecord(writer, clock, tuple(path), value, stamp, terminal, operation, version, accepted, rank)
    raise DocumentError(f"record {writer}:{clock} is neither a header nor a field record")


def writable(value: object) -> bool:
    """Whether a value can go out again, inside the objects of a message (orjson writes 254 levels)."""
    if type(value) is not dict and type(value) is not list:
        return True
    try:
        orjson.dumps([[[[[[[[value]]]]]]]])
    except orjson.JSONEncodeError:
        return False
    return True
