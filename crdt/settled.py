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
from crdt.records import Header, parse_record
from crdt.update_format import decode_operation, live_records

_HEADER = '["h",'

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
        for insert in inserts:
            if insert.text.startswith(_HEADER):
                header = parse_record(*insert)
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
        author = orjson.dumps((wrote.stamp, wrote.terminal, wrote.operation)).decode()
        between, accepted = f",{author[1:-1]},", str(wrote.accepted)
        live, paths, versions = self.live, list[str](), set[str]()
        for insert in decoded.inserts:
            _, clock, text = insert
            held = live.get((writer, clock))
            if held is None:
                parse_record(writer, clock, text)
            elif held != text:
                return False
            path = _PATH.match(text)
            if path is None:
                if not text.startswith(_HEADER):
                    return False
                continue
            # After the last of these three stand three numbers and no text, so they are the record's own.
            numbers = text.rpartition(between)[2].split(",")
            if len(numbers) != 3 or numbers[1] != accepted:
                return False
            paths.append(path[1])
            versions.add(numbers[0])
        return len(set(paths)) == len(paths) == len(decoded.inserts) - 1 and len(versions) <= 1
