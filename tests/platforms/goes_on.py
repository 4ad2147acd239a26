"""A node goes on with a data directory, whoever wrote it: `python -m tests.platforms.goes_on DIRECTORY`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.e2e.test_identity import orders, write
from tests.processes import NodeProcess, comanda


def goes_on(data: Path) -> None:
    """One more order, beside all that were there; what is stored is proven."""
    node = NodeProcess(data).start()
    try:
        there = set(orders(node))
        added = f"o-{len(there)}"
        write(node, f"pos-{len(there)}", added)
        assert set(orders(node)) == {*there, added}
        assert node.stop() == 0
    finally:
        node.end()
    verified = comanda("verify", "--data", data)
    assert verified.returncode == 0, verified.stdout + verified.stderr


if __name__ == "__main__":
    goes_on(Path(sys.argv[1]))
