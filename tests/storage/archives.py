"""Archives of databases, for the tests of storage."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from storage.audit.archiving import make_archive
from storage.records import key64
from storage.sqlite.reader import Reader
from tests.storage.rows import entity, rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.records import ArchiveRow, Commit
    from storage.sqlite.store import Store


def make(store: Store, reader: Reader, target: Path, last: int) -> ArchiveRow:
    return make_archive(reader, target, last, store.node_id, store.epoch, "2026-01-15T03:00:00.000Z")


def archive(store: Store, target: Path, last: int, batch: int = 7) -> None:
    with closing(Reader(store.path)) as reader:
        made = make(store, reader, target, last)
        store.note_archive(made)
        while store.anchor.seq < last:
            store.prune(last, batch)


def group(first: int, last: int) -> Commit:
    """Rows of ten orders in turn, with the entities' states."""
    commit = rows(first, last)
    for one in commit.rows:
        one.entity_id, one.link_key = f"order-{one.seq % 10}", key64(f"link-{one.seq}")
    names = {one.entity_id: one.seq for one in commit.rows}
    commit.entities = [entity(name, seq=seq) for name, seq in names.items() if name is not None]
    return commit


def fill(store: Store) -> Store:
    for first in (1, 21, 41, 61, 81):
        store.commit(group(first, first + 19))
    return store
