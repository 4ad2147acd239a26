"""Merges a second: remote updates through the gap guard into entity documents, on both engines.

    python -m bench.merge

Compared with what a user would pick instead: the natural Yjs shape (one YMap of fields) on the same engine, applied
without a check of the bytes. Snapshot sizes and load times beside it.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import click
import orjson
import y_py
from rich.console import Console
from rich.table import Table

from bench.rig.machine import describe
from crdt.document import Document
from crdt.edits import Applied
from crdt.engine import ENGINES
from crdt.records import NewField

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS = [f"field-{number}" for number in range(5)]


def script(edits: int, writers: int) -> list[tuple[int, str, int]]:
    """(writer, field, value) by alternating writers, the same for every shape."""
    rng = random.Random(1)
    return [(step % writers, rng.choice(FIELDS), step) for step in range(edits)]


def ours(engine: str, steps: list[tuple[int, str, int]], writers: int) -> tuple[float, float, bytes]:
    """Microseconds an edit and a merge, and the final snapshot."""
    documents = [Document.load(None, writer=1_000 + n, engine=engine) for n in range(writers)]
    follower = Document.load(None, writer=1, engine=engine)
    edit_s = merge_s = 0.0
    for writer, name, value in steps:
        author = documents[writer]
        begun = time.perf_counter()
        field = NewField((name,), value, value, "pos-1", f"op-{value}", value, value, value)
        edit = author.edit(supersede=list(author.siblings((name,))), fields=[field])
        edit_s += time.perf_counter() - begun
        for other in documents:
            if other is not author:
                other.apply(edit.update, edit.before)
        begun = time.perf_counter()
        applied = follower.apply(edit.update, edit.before)
        merge_s += time.perf_counter() - begun
        assert isinstance(applied, Applied)
    return edit_s / len(steps) * 1e6, merge_s / len(steps) * 1e6, follower.encode()


def natural(steps: list[tuple[int, str, int]], writers: int) -> tuple[float, float, bytes]:
    """The same history in one YMap of fields, unchecked bytes, on y-py."""
    documents = [y_py.YDoc(1_000 + n) for n in range(writers)]
    maps = [document.get_map("fields") for document in documents]
    follower = y_py.YDoc(1)
    follower.get_map("fields")
    updates: list[bytes] = []
    for document in documents:
        document.observe_after_transaction(lambda event: updates.append(bytes(event.get_update())))
    edit_s = merge_s = 0.0
    for writer, name, value in steps:
        begun = time.perf_counter()
        with documents[writer].begin_transaction() as transaction:
            maps[writer].set(transaction, name, orjson.dumps([value, "pos-1", f"op-{value}"]).decode())
        edit_s += time.perf_counter() - begun
        update = updates[-1]
        for place, other in enumerate(documents):
            if place != writer:
                y_py.apply_update(other, update)
        begun = time.perf_counter()
        y_py.apply_update(follower, update)
        merge_s += time.perf_counter() - begun
    return edit_s / len(steps) * 1e6, merge_s / len(steps) * 1e6, bytes(y_py.encode_state_as_update(follower))


def best_load(load: Callable[[], Any]) -> float:
    """Microseconds of the fastest of 20 loads."""
    found = []
    for _ in range(20):
        begun = time.perf_counter()
        load()
        found.append(time.perf_counter() - begun)
    return min(found) * 1e6


def load_natural(snapshot: bytes) -> None:
    y_py.apply_update(y_py.YDoc(7), snapshot)


@click.command()
@click.option("--edits", default=4_000)
@click.option("--writers", default=5)
def main(edits: int, writers: int) -> None:
    """Print the table."""
    steps = script(edits, writers)
    table = Table(title=f"{edits:,} edits by {writers} alternating writers on {len(FIELDS)} fields\n{describe()}")
    for name in ("shape", "edit us", "merge us", "merges/s", "snapshot B", "load us"):
        table.add_column(name, justify="right")
    rows: list[tuple[str, float, float, bytes, float]] = []
    for engine in ENGINES:
        edit_us, merge_us, snapshot = ours(engine, steps, writers)

        def load(snapshot: bytes = snapshot, engine: str = engine) -> None:
            Document.load(snapshot, writer=7, engine=engine)

        rows.append((f"Comanda on {engine}, checked", edit_us, merge_us, snapshot, best_load(load)))
    edit_us, merge_us, snapshot = natural(steps, writers)
    rows.append(
        ("a map of fields on y_py, unchecked", edit_us, merge_us, snapshot, best_load(lambda: load_natural(snapshot)))
    )
    for shape, edit_us, merge_us, snapshot, load_us in rows:
        table.add_row(
            shape,
            f"{edit_us:.1f}",
            f"{merge_us:.1f}",
            f"{1e6 / merge_us:,.0f}",
            f"{len(snapshot):,}",
            f"{load_us:.0f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
