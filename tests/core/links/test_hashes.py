"""What links remember of the entities that they compare is bounded, and goes by the bytes that are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.content import content_hash
from crdt.document import Document
from crdt.engine import INSTALLED
from crdt.records import NewField
from node.core.links import hashes
from node.core.links.hashes import Hashes

if TYPE_CHECKING:
    import pytest

ENGINE = INSTALLED[0]


def stored(name: str) -> bytes:
    document = Document(7, ENGINE)
    document.edit(supersede=[], fields=[NewField(("status",), name, 1, "t", "op", 1, 1, 1)])
    return document.encode()


def test_entities_in_other_bytes_have_other_hashes_also_when_they_are_asked_for_again() -> None:
    found, sides = Hashes(ENGINE), [stored("ready"), stored("paid")]
    expected = [content_hash(Document.load(side, writer=0, engine=ENGINE)) for side in sides]
    assert [found.of(side) for side in [*sides, *sides]] == [*expected, *expected]
    assert len(set(expected)) == 2
    assert found.of(sides[0][:-1]).startswith("unreadable: ")


def test_an_entity_is_loaded_once_and_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[bytes] = []
    monkeypatch.setattr(hashes, "HASHES", 2)

    def load(snapshot: bytes, engine: str) -> str:
        loaded.append(snapshot)
        return engine

    monkeypatch.setattr(hashes, "_hash", load)
    found = Hashes(ENGINE)
    for snapshot in (b"a", b"b", b"a", b"c", b"a", b"b"):
        found.of(snapshot)
    assert loaded == [b"a", b"b", b"c", b"b"]
