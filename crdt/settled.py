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
from crdt.document import check_before
from crdt.records import PLAIN_HEADERS, Header, parse_record
from crdt.update_format import live_texts, operation_texts

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


_NOTHING: Mapping[int, str] = {}


@define(eq=False)
class Settled:
    """A document as its snapshot says it. version, vector: as of a Document.

    live: writer -> clock -> the text of the live record.
    """

    live: Mapping[int, Mapping[int, str]]
    vector: Mapping[int, int]
    version: int

    @classmethod
    def of(cls, snapshot: bytes) -> Self:
        """snapshot: of a document that was loaded before. Raises UpdateError or DocumentError where it is none."""
        live, vector = live_texts(snapshot)
        version = 0
        for texts in live.values():
            for clock, text in texts.items():
                if text.startswith(_HEADER):
                    header = parse_record(0, clock, text)
                    assert isinstance(header, Header)
                    version += header.n
        return cls(live, vector, version)

    def contains(self, update: bytes, before: Mapping[int, int], entry: tuple[int, int, int], wrote: Wrote) -> bool:
        """Whether an update is part of the document, and does what its operation may, as far as a glance tells.

        before, entry: as of `Document.compare`, which has to say where this is False. Raises UpdateError or
        DocumentError.
        """
        writer, first, end = entry
        if self.vector.get(writer, 0) < end:
            return False
        texts, deletes = operation_texts(update, writer, first, end)
        check_before(deletes, before, writer, first)
        author = f",{orjson.dumps((wrote.stamp, wrote.terminal, wrote.operation)).decode()[1:-1]},"
        live, paths, version, ending = self.live.get(writer, _NOTHING), list[str](), "", ""
        for clock, text in enumerate(texts, first):
            held = live.get(clock)
            if held is not None and held != text:
                return False
            if text in PLAIN_HEADERS:
                continue
            path = PLAIN.match(text) if held is None else _PATH.match(text)
            if path is None and held is None:
                parse_record(writer, clock, text)
                path = _PATH.match(text)
            if path is None:
                if not text.startswith(_HEADER):
                    return False
                continue
            if not (ending and text.endswith(ending)):
                # After the last of these three stand three numbers and no text, so they are the record's own.
                numbers = text.rpartition(author)[2]
                said = numbers.split(",")
                if len(said) != 3 or said[1] != str(wrote.accepted) or said[0] != (version or said[0]):
                    return False
                version, ending = said[0], author + numbers
            paths.append(path[1])
        return len(set(paths)) == len(paths) == len(texts) - 1
