"""Whether memory comes back: ever new entities are written, many more than a node keeps, on each engine.

    python -m bench soak                        20,000 entities on each engine, some minutes
    python -m bench soak --entities 500000      a day at six new entities a second

Caches are small, so that they are full after the first tenth. What grows after it are the keys of operations and
entities, 24 bytes or so each, which are kept for ever.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from bench.rig.fleet import new_table
from bench.rig.machine import describe
from bench.rig.node_process import UNLIMITED, NodeProcess
from bench.rig.orders import Batch, restaurant, write
from crdt.engine import INSTALLED

SMALL = UNLIMITED + "resident_entities = 500\nring_rows = 1000\nring_bytes = 2000000\n"
PARTS = 10


def soak(engine: str, entities: int) -> list[float]:
    """Resident memory in MB after each tenth."""
    written = restaurant("pos-1", entities).messages
    found = []
    with tempfile.TemporaryDirectory(prefix="comanda-soak-") as folder:
        node = NodeProcess(Path(folder), "store", "--engine", engine)
        (Path(folder) / "comanda.toml").write_text(SMALL)
        node.start()
        try:
            for part in track(range(PARTS), engine, console=Console(stderr=True), transient=True):
                first, last = (len(written) * place // PARTS for place in (part, part + 1))
                write(node.url, Batch("pos-1", written[first:last], 0, ("", "")))
                found.append(node.memory_mb()[0])
        finally:
            node.stop()
    return found


@click.command()
@click.option("--entities", default=20_000, show_default=True, help="written once, and orders twice")
def main(entities: int) -> None:
    """Print the memory of each engine."""
    table = new_table(
        f"Memory in MB after each tenth of {entities:,} new entities\n{describe()}",
        "engine",
        *(f"{10 * part + 10}%" for part in range(PARTS)),
        "B an entity since the second",
    )
    for engine in INSTALLED:
        found = soak(engine, entities)
        grown = (found[-1] - found[1]) * 1_048_576 / (entities * (PARTS - 2) / PARTS)
        table.add_row(engine, *(f"{memory:.1f}" for memory in found), f"{grown:.0f}")
    Console(width=None if sys.stdout.isatty() else 180).print(table)


if __name__ == "__main__":
    main()
