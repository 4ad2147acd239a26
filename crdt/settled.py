"""The stored bytes of a document, held against operations that it contains already, without a document made of them.

Behind a first synchronisation each operation comes once more, as history. A live record that has the text which the
operation's update gives it is the operation's, and was read when the document came. So it is not read again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

import orjson

from crdt.classes import define
from crdt.document import check_entry
from crdt.records import PLAIN_HEADERS, Header, parse_record
from crdt.update_format import decode_operation, live_records

_HEADER = '["h",'

_STRING = r'"([^"\\\x00-\x1f]*)"'
_NUMBER = r"(0|[1-9][0-9]{0,17})"
_STEP = r'"[^"\\\x00-\x1f]*"'

PLAIN = re.compile(
    rf'\["f",(\["[^"\\\x00-\x1f@][^"\\\x00-\x1f]*"(?:,{_STEP}){{0,2}}\]),'
    rf"(?:{_STEP}|true|false|null|-?(?:0|[1-9][0-9]{{0,14}})),"
    rf"{_NUMBER},{_STRING},{_STRING},{_NUMBER},{_NUMBER},{_NUMBER}\]\Z"
)
"""A field record whose value is no list and no object, as `parse_record` takes it: path, stamp, terminal, operation,
version, acceptance, rank. Its texts have no escapes, so they are what they say."""

_PATH = re.compile(r'\["f",(\[(?:"[^"\\]*"(?:,"[^"\\]*"){0,2})?\]),')
"""A field record whose path has one possible text."""


@define
class Wrote:
    """Who wrote an operation, and when, as its records say it. stamp, accepted: HLCs."""

    terminal: str
    operation: str
    stamp: int
    accepted: int


@define(eq=False)
class Settled:
    """A document as its snapshot says it. version, vector: as of a Document.

    live: (writer, clock) -> the text of the live record.
    """

    live: Mapping[tuple[int, int], str]
    vector: Mapping[int, int]
    version: int

    @classmethod
    def of(cls, snapshot: bytes) -> Self:
        """snapshot: of a document that was loaded before. Raises UpdateError or DocumentError where it is none."""
        inserts, vector = live_records(snapshot)
        version = 0
        for _, clock, text in inserts:
            if text.startswith(_HEADER):
                header = parse_record(0, clock, text)
                assert isinstance(header, Header)
                version += header.n
        return cls({(writer, clock): text for writer, clock, text in inserts}, vector, version)

    def contains(self, update: bytes, before: Mapping[int, int], entry: tuple[int, int, int], wrote: Wrote) -> bool:
        """Whether an update is part of the document, and does what its operation may, as far as a glance tells.

        before, entry: as of `Document.compare`, which has to say where this is False. Raises UpdateError or
        DocumentError.
        """
        writer, first, end = entry
        if self.vector.get(writer, 0) < end:
            return False
        decoded = decode_operation(update, writer, first, end)
        check_entry(decoded, before, *entry)
        author, accepted = (str(wrote.stamp), wrote.terminal, wrote.operation), str(wrote.accepted)
        live, paths, versions = self.live, list[str](), set[str]()
        for _, clock, text in decoded.inserts:
            held = live.get((writer, clock))
            if held is not None and held != text:
                return False
            if text in PLAIN_HEADERS:
                continue
            plain = PLAIN.match(text)
            if plain is not None:
                path, *said, version, at, _ = plain.groups()
                if at != accepted or tuple(said) != author:
                    return False
            else:
                if held is None:
                    parse_record(writer, clock, text)
                found = _otherwise(text, wrote)
                if found is None:
                    if not text.startswith(_HEADER):
                        return False
                    continue
                path, version, at = found
                if at != accepted:
                    return False
            paths.append(path)
            versions.add(version)
        return len(set(paths)) == len(paths) == len(decoded.inserts) - 1 and len(versions) <= 1


def _otherwise(text: str, wrote: Wrote) -> tuple[str, str, str] | None:
    """Path, version and acceptance of a field record that is not plain, empty where it is of another operation.

    None where it is no field record.
    """
    path = _PATH.match(text)
    if path is None:
        return None
    author = orjson.dumps((wrote.stamp, wrote.terminal, wrote.operation)).decode()
    # After the last of these three stand three numbers and no text, so they are the record's own.
    numbers = text.rpartition(f",{author[1:-1]},")[2].split(",")
    return (path[1], numbers[0], numbers[1]) if len(numbers) == 3 else ("", "", "")
