"""What one operation with 50 terminals costs a node, in user-space instructions, by parts.

    python -m bench.instructions                        silent and confirming terminals, 2 min
    python -m bench.instructions --against ../before    the same of another checkout besides
    python -m bench.instructions --whole                and of a node with its sockets and threads, 8 min
    python -m bench.instructions --whole --no-parts     only that, 3 min; --steps N
    python -m bench.instructions --linked               one that comes over a link, and an update merged, 1 min

Needs valgrind, whose callgrind counts instructions whatever else the machine does: two runs differ by less than 1 %.
So this tells what a change brings where times tell nothing. A part is counted around its calls (rig/counted.py), and
printed is the median, in thousands. What goes by the clock or between tasks is in no part, but in the whole: that is
a node whose clocks go as slowly as everything does there (rig/slow_node.py). A hyphen is what a checkout has not.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import orjson
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.rig.counted import APART, TERMINALS
from bench.rig.crowd import Crowd
from bench.rig.fleet import until
from bench.rig.machine import describe
from bench.rig.node_process import NodeProcess

HOW = ("silent", "each")
OPERATIONS = 12

OTHERS = {"linked": 192, "filled": 384}
"""What else is counted, and of how many operations: of a link, and updates merged; of the node that is filled."""

SLOWER, WARM_UP, STEPS = 60, 20, 10
"""How much slower a counted node's clocks go; operations before it is counted; operations that are."""

PINGS = "pings sent, a number"

Parts = dict[str, float]
"""Thousand instructions of one operation by part, and how many pings it brought."""


def measure(checkout: Path, how: str, operations: int) -> Parts:
    """One run. Raises RuntimeError where it fails."""
    counted = Path(__file__).parent / "rig" / "counted.py"
    with tempfile.TemporaryDirectory(prefix="comanda-callgrind-") as folder:
        dumps = Path(folder, "dump")
        command = [*_callgrind(dumps), sys.executable, str(counted), how, str(operations)]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        said = orjson.loads(done.stdout.splitlines()[-1])
        found: dict[str, list[int]] = {}
        for number, name in enumerate(said["parts"], 1):
            if name != APART:
                found.setdefault(name, []).append(_total(Path(f"{dumps}.{number}").read_text()))
    if "of" in said:
        return {name: sum(counts) / said["of"] / 1000 for name, counts in found.items()}
    parts = {name: statistics.median(counts) / 1000 for name, counts in found.items()}
    return {**parts, "all of these": sum(parts.values()), PINGS: said["pings"]}


def slow_node(folder: Path, checkout: Path, *under: str, times: int = SLOWER) -> NodeProcess:
    """A node whose clocks go slower. under: the command that runs it."""
    node = NodeProcess(folder, "n", checkout=checkout)
    script = Path(__file__).parent / "rig" / "slow_node.py"
    node.command[:3] = [*under, sys.executable, str(script), str(times)]
    return node


def whole(checkout: Path, how: str, steps: int) -> Parts:
    """A node of its own, with 50 terminals over sockets and one operation under way."""
    with tempfile.TemporaryDirectory(prefix="comanda-callgrind-") as folder:
        dumps = Path(folder, "dump")
        node = slow_node(Path(folder), checkout, *_callgrind(dumps))
        node.start()
        try:
            crowd = Crowd(node.port, TERMINALS, how)
            for _ in range(WARM_UP):
                crowd.step(1)
            os.kill(node.pid, signal.SIGUSR1)
            crowd.step(1)  # what valgrind has to translate anew
            _dumped(node.pid, Path(f"{dumps}.1"))
            pings = crowd.pings
            for _ in range(steps):
                crowd.step(1)
            total = _dumped(node.pid, Path(f"{dumps}.2"))
            crowd.close()
        finally:
            os.kill(node.pid, signal.SIGKILL)  # it would take its time
            node.stop()
    return {"the node as a whole": total / steps / 1000, PINGS: (crowd.pings - pings) / steps}


def _dumped(pid: int, dump: Path) -> int:
    """Have the node write what was counted, and read it."""
    os.kill(pid, signal.SIGUSR2)
    until(lambda: dump.exists() and "totals: " in dump.read_text(), "callgrind writes", 300)
    return _total(dump.read_text())


def _callgrind(dumps: Path) -> list[str]:
    counting = ["--instr-atstart=no", "--dump-line=no", f"--callgrind-out-file={dumps}"]
    return ["valgrind", "--tool=callgrind", "-q", *counting]


def _total(dump: str) -> int:
    said = re.search(r"^totals: (\d+)", dump, re.MULTILINE)
    assert said is not None, "no dump of callgrind"
    return int(said.group(1))


@click.command()
@click.option("--against", type=click.Path(exists=True, file_okay=False, path_type=Path), help="another checkout")
@click.option("--operations", default=OPERATIONS, show_default=True)
@click.option("--how", type=click.Choice(HOW), multiple=True, help="repeatable; both without it")
@click.option("--whole", "as_whole", is_flag=True, help="also of a node with its sockets and threads")
@click.option("--steps", default=STEPS, show_default=True, help="operations that are counted of the whole node")
@click.option("--parts/--no-parts", default=True, help="the parts of an operation")
@click.option("--linked", is_flag=True, help="of operations that come over a link, and of updates merged in memory")
@click.option("--filled", is_flag=True, help="of a first synchronisation, a row")
def main(
    against: Path | None,
    operations: int,
    how: tuple[str, ...],
    as_whole: bool,
    steps: int,
    parts: bool,
    linked: bool,
    filled: bool,
) -> None:
    """Count the instructions of one operation, by parts."""
    if shutil.which("valgrind") is None:
        raise click.ClickException("this needs valgrind (Debian's package of that name)")
    checkouts = {"here": Path.cwd(), **({str(against): against.resolve()} if against else {})}
    others = [name for name, wanted in (("linked", linked), ("filled", filled)) if wanted]
    for each in others or how or HOW:
        of = {
            name: {
                **(measure(path, each, OTHERS.get(each, operations)) if parts else {}),
                **(whole(path, each, steps) if as_whole else {}),
            }
            for name, path in track(checkouts.items(), console=Console(stderr=True), transient=True)
        }
        table = Table(title=f"{each}: thousand instructions of one operation\n{describe()}", box=box.MARKDOWN)
        for heading in ("part", *of):
            table.add_column(heading)
        for part in dict.fromkeys(part for found in of.values() for part in found):
            table.add_row(part, *(f"{found[part]:,.0f}" if part in found else "-" for found in of.values()))
        Console(width=130).print(table)


if __name__ == "__main__":
    main()
