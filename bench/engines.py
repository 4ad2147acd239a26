"""What an engine's document costs by the size of what is written: an edit, its snapshot, opening it again.

    python -m bench.engines                  each engine that is installed, 10 s

The CPU time of this thread, the shortest of several rounds, in microseconds: other work on the machine only adds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from bench.rig.machine import describe
from crdt.engine import INSTALLED, open_document
from crdt.update_encoder import encode_edit

if TYPE_CHECKING:
    from collections.abc import Callable

WRITER = 7
BYTES = (60, 600, 3_000)
EDITS, ROUNDS = 200, 9


def edits(size: int, count: int) -> list[bytes]:
    """Updates of one writer, each of which replaces a string of so many bytes."""
    return [encode_edit(WRITER, n, ["x" * size], [(WRITER, n - 1)] if n else []) for n in range(count)]


def each_us(act: Callable[[], object], times: int) -> float:
    began = time.thread_time_ns()
    act()
    return (time.thread_time_ns() - began) / 1_000 / times


def costs(engine: str, updates: list[bytes]) -> list[float]:
    """Of an edit, a snapshot and opening one."""
    document, count = open_document(engine, 1), len(updates)
    edited = each_us(lambda: [document.integrate(update) for update in updates], count)
    encoded = each_us(lambda: [document.encode() for _ in range(count)], count)
    snapshot = document.encode()
    return [edited, encoded, each_us(lambda: [open_document(engine, 1, snapshot) for _ in range(count)], count)]


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True)
def main(rounds: int) -> None:
    """Measure the engines."""
    table = Table(title=f"CPU us\n{describe()}")
    for column in ("engine", "bytes written", "an edit", "a snapshot", "opening it"):
        table.add_column(column, justify="right")
    for size in BYTES:
        updates = edits(size, EDITS)
        for engine in INSTALLED:
            runs = [costs(engine, updates) for _ in range(rounds)]
            table.add_row(engine, str(size), *(f"{min(run):.1f}" for run in zip(*runs, strict=True)))
    Console().print(table)


if __name__ == "__main__":
    main()
