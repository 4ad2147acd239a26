"""Archiving a `World`'s log, step by step, as the node does it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from storage.audit.archive_file import read_archive
from storage.audit.archiving import (
    Until,
    check_unfinished,
    held_by,
    last_row,
    make_archive,
    unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.records import LogRow
    from tests.harness import World


def archive(world: World, upto: int | None = None, *, force: bool = True, batch: int = 3) -> int:
    """Archive rows up to `upto` (None: all), a few at a time; how many went."""
    before = world.store.anchor.seq
    for _ in steps(world, upto, force=force, batch=batch):
        pass
    return world.store.anchor.seq - before


def steps(world: World, upto: int | None = None, *, force: bool = True, batch: int = 3) -> Iterator[None]:
    """The same, to be broken off anywhere: what is left is done by the next one."""
    store, reader = world.store, world.reader
    world.core.store_positions(every=True)
    world.commit()
    left = unfinished(reader)
    if left is not None:
        check_unfinished(left)
        yield from _prune(world, left.last, batch)
    held = None if force else held_by(reader.followers(), store.epoch)
    last, _ = last_row(reader, Until(upto if upto is not None else 2**62, None), held)
    if last <= store.anchor.seq:
        return
    target = (
        world.directory.parent / f"{world.node_id}-{world.core.links.epoch}-{store.anchor.seq + 1}-{last}.jsonl.gz"
    )
    made = make_archive(reader, target, last, store.node_id, store.epoch, "2026-01-15T10:00:00.000Z")
    yield
    store.note_archive(made)
    yield
    yield from _prune(world, last, batch)


def _prune(world: World, last: int, batch: int) -> Iterator[None]:
    while world.store.anchor.seq < last:
        world.core.replica.held.moved(world.store.prune(last, batch).op_keys)
        yield


def rows_of(paths: list[Path]) -> list[LogRow]:
    """Every row of some archives, in order, each once."""
    found: dict[int, LogRow] = {}
    for path in paths:
        with suppress(FileNotFoundError), read_archive(path) as (_, rows):
            found |= {row.seq: row for row in rows}
    return [found[seq] for seq in sorted(found)]
