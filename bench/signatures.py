"""What signed origins cost: a commit that is signed, an operation that is checked, and a linked operation whole.

    python -m bench.signatures

The CPU time of this process, in pairs that follow each other; a pair differs only in whether the nodes have keys.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from bench.rig.machine import describe
from node.runtime.keys import signatures
from storage.proofs import HEAD, leaf_hash, leaf_of, prove, statement_of
from storage.records import LogRow
from tests.harness import Client
from tests.mesh import Mesh

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 7
TIMES = 200
ORDERS = 150
SIZES = (1, 4, 16, 64)


def cpu_us(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1e6


def rows(count: int) -> list[LogRow]:
    """Operations of one commit, of a size as orders have it."""
    found = []
    for number in range(count):
        row = LogRow(number, "operation", 1, "orders", f"o-{number}", f"op-{number}", "pos-1", link_key=number)
        row.operation, row.updates, row.origin = b"x" * 400, b"y" * 600, "node-a"
        found.append(row)
    return found


def signing(share: int) -> Table:
    """By how many are signed together."""
    table = Table(title=f"Signing and checking, CPU us and bytes an operation\n{describe()}")
    for column in (
        "signed together",
        "signed, all",
        "signed, each",
        "checked, each",
        "proof, bytes each",
    ):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        key = signatures(Path(folder))
        for size in SIZES:
            group = rows(size)

            leaves = list(map(leaf_of, group))

            def sign(group: list[LogRow] = group, leaves: list[bytes] = leaves) -> None:
                for row, proof in zip(group, prove(leaves, key.sign)[0], strict=True):
                    row.proof = proof

            def check(group: list[LogRow] = group) -> None:
                statements = set()
                for row in group:
                    leaf = leaf_hash(
                        row.operation, row.updates, stamp=0, accepted=0, origin=row.origin,
                        terminal_id=row.terminal_id, user_id=None, lock_status="none",
                    )  # fmt: skip
                    statements.add(statement_of(leaf, row.proof))
                for statement, signature in statements:
                    assert key.verify(key.public, statement, signature)

            signed, checked = _each(sign, share), _each(check, share)
            length = sum(len(row.proof) for row in group) / size
            assert length >= HEAD
            table.add_row(str(size), *(f"{n:.0f}" for n in (signed, signed / size, checked / size, length)))
    return table


def _each(act: Callable[[], None], share: int) -> float:
    """CPU us of one call."""
    times, repeats = max(TIMES // share, 1), max(REPEATS // share, 1)
    return median(cpu_us(lambda: [act() for _ in range(times)]) for _ in range(repeats)) / times


def linked_us(folder: Path, *, has_key: bool, together: int, orders: int) -> tuple[float, float]:
    """CPU of one operation at the node that accepts it, with its commit, and at the linked node, with its commit."""
    mesh = Mesh(folder, 2, [(1, 0, True)], has_key=has_key)
    hub, leaf = mesh.worlds
    waiter = Client(leaf, "pos-1", confirms=False).connect()
    mesh.settle(waiter.receive)
    here = there = 0.0
    for first in range(0, orders, together):
        for number in range(first, first + together):
            waiter.write(
                "orders", f"mesa-{number}", "CREATE", {"status": "pending", "total": number, "note": "x" * 200}
            )
        here += cpu_us(leaf.settle)
        there += cpu_us(lambda: _arrive(mesh))
        while mesh.wires[0].step(1):  # its confirmations
            leaf.settle()
    assert len(hub.view("orders")) == orders
    mesh.close()
    return here / orders, there / orders


def _arrive(mesh: Mesh) -> None:
    """What the leaf has sent is taken by the hub, and stored."""
    while mesh.wires[0].step(0):
        mesh.worlds[0].settle()


def linked(share: int) -> Table:
    """In pairs, with keys and without."""
    table = Table(title="One operation between two nodes, CPU us with its commit, medians; ratio pair by pair")
    for column in ("operations of a commit", "side", "without keys", "with keys", "ratio"):
        table.add_column(column, justify="right")
    orders = max(ORDERS // share, 10)
    for together in (1, 10):
        pairs = []
        for _ in range(max(REPEATS // share, 1)):
            with tempfile.TemporaryDirectory() as folder:
                plain = linked_us(Path(folder) / "plain", has_key=False, together=together, orders=orders)
                signed = linked_us(Path(folder) / "signed", has_key=True, together=together, orders=orders)
                pairs.append((plain, signed))
        for side, name in enumerate(("accepts", "is linked")):
            before, after = (median(pair[which][side] for pair in pairs) for which in (0, 1))
            ratio = median(pair[1][side] / pair[0][side] for pair in pairs)
            table.add_row(str(together), name, f"{before:.0f}", f"{after:.0f}", f"{ratio:.2f}")
    return table


@click.command()
@click.option("--smoke", "share", flag_value=1_000, type=int, help="hardly any: whether all of it works")
def main(share: int | None) -> None:
    """Print both tables."""
    console = Console()
    for make in (signing, linked):
        console.print(make(share or 1))


if __name__ == "__main__":
    main()
