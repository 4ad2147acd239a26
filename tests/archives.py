"""Archiving a `World`'s log, step by step, as the node does it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from storage.audit.archive_file import read_archive
from storage.audit.archiving import Until, furthest_behind
from storage.audit.archiving_steps import Job, Read, archiving
from storage.sqlite.prune import Pruned

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
    world.core.store_cursors(every=True)
    world.commit()
    run = archiving(
        Job(
            until=Until(upto if upto is not None else 2**62, None),
            target=lambda first, last: (
                world.directory.parent / f"{world.node_id}-{world.core.links.epoch}-{first}-{last}.jsonl.gz"
            ),
            held=lambda: None if force else furthest_behind(world.core.cursors.nodes.values(), store.epoch),
            force=False,
            node_id=store.node_id,
            epoch=store.epoch,
            made_at="2026-01-15T10:00:00.000Z",
            batch=batch,
        )
    )
    with suppress(StopIteration):
        step = next(run)
        while True:
            result = step.call(reader) if isinstance(step, Read) else step.call(store)
            if isinstance(result, Pruned):
                world.core.pruned(result.op_keys, result.anchor.seq)
            yield
            step = run.send(result)


def rows_of(paths: list[Path]) -> list[LogRow]:
    """Every row of some archives, in order, each once."""
    found: dict[int, LogRow] = {}
    for path in paths:
        with suppress(FileNotFoundError), read_archive(path) as (_, rows):
            found |= {row.seq: row for row in rows}
    return [found[seq] for seq in sorted(found)]
