"""One run of one bench for one contestant: what is started, asked and noted."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from bench.contest import merging
from bench.contest.servers import ALL, Running
from bench.rig.load import percentiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.contest.servers import Server

LOAD_LIMIT = 0.8
"""A load that took more of its core than this may have been what was measured."""

PATIENCE_S = 900


@frozen
class Size:
    """How much is done. The first is for figures, `SMOKE` shows that everything runs."""

    terminals: int = 50
    rate: int = 50
    seconds: float = 4.0
    within_ms: float = 50.0
    highest: int = 6_400
    missed: int = 10_000
    changes: int = 10_000
    edits: int = 4_000


SMOKE = Size(terminals=3, rate=20, seconds=0.2, within_ms=5_000.0, highest=40, missed=40, changes=60, edits=40)

Figures = dict[str, float]
"""By name; FIGURES says what each is."""

FIGURES: dict[str, tuple[str, int]] = {
    "merge p50 us": ("one update into a document", -1),
    "merge p99 us": ("one update into a document", -1),
    "merges/s": ("of one after the other", 1),
    "edit p50 us": ("one edit of an author", -1),
    "snapshot B": ("the document at the end", -1),
    "load us": ("opening that snapshot, the best of ten", -1),
    "sustained/s": ("changes a second, each to all others, with a 99th percentile within the limit", 1),
    "delivery p50 ms": ("from an author's sending to another's receiving", -1),
    "delivery p90 ms": ("from an author's sending to another's receiving", -1),
    "delivery p99 ms": ("from an author's sending to another's receiving", -1),
    "confirmation p50 ms": ("until the author knows that it is stored; others never say so", -1),
    "confirmation p99 ms": ("until the author knows that it is stored; others never say so", -1),
    "ms": ("until all is there", -1),
    "KB": ("received by the terminals that were away", -1),
    "CPU us/change": ("of the server alone", -1),
    "CPU ms": ("of the server alone", -1),
    "memory MB": ("resident, of the server alone, at the end", -1),
    "disk B/change": ("after the server was stopped", -1),
    "open again s": ("from the start of the process until a new terminal has everything", -1),
    "load CPU": (f"share of a core that the load took; above {LOAD_LIMIT} it may have been the limit", -1),
}
"""What each figure is, and whether more or less is better."""


def merge(size: Size, seed: int, chosen: Callable[[str], bool]) -> Iterator[tuple[str, Callable[[], Figures]]]:
    script = merging.edits(seed, size.edits, 5)

    def run(contestant: Callable[[list[merging.Edit], int], merging.Merged]) -> Figures:
        found = contestant(script, 5)
        merged = percentiles([us / 1e3 for us in found.merge_us])
        return {
            "merge p50 us": merged["p50"],
            "merge p99 us": merged["p99"],
            "merges/s": 1e6 / statistics.fmean(found.merge_us),
            "edit p50 us": statistics.median(found.edit_us),
            "snapshot B": found.snapshot,
            "load us": found.load_us,
        }

    for name, contestant in merging.contestants():
        if chosen(name):
            yield name, lambda contestant=contestant: run(contestant)


def latency(size: Size, seed: int, server: Server) -> Figures:
    with running(server) as started:
        cpu = started.cpu_s()
        plan = {"do": "latency", "terminals": size.terminals, "rate": size.rate, "seconds": size.seconds}
        found = ask(started, plan, seed)
        delivery, confirmation = found["delivery_ms"], found["confirmation_ms"]
        figures = {f"delivery {point} ms": delivery[point] for point in ("p50", "p90", "p99")}
        if confirmation is not None:
            figures |= {f"confirmation {point} ms": confirmation[point] for point in ("p50", "p99")}
        return figures | {
            "CPU us/change": (started.cpu_s() - cpu) / found["changes_in_all"] * 1e6,
            "memory MB": started.memory_mb(),
            "load CPU": found["load_cpu"],
        }


def throughput(size: Size, seed: int, server: Server) -> Figures:
    with running(server) as started:
        plan = {"do": "sustained", "terminals": size.terminals, "seconds": size.seconds, "from": size.rate}
        found = ask(started, {**plan, "to": size.highest, "within_ms": size.within_ms}, seed)
        return {
            "sustained/s": found["sustained"],
            "memory MB": started.memory_mb(),
            "load CPU": found["load_cpu"],
        }


def catchup(size: Size, seed: int, server: Server) -> Figures:
    return _back(size, seed, server, "missed")


def convergence(size: Size, seed: int, server: Server) -> Figures:
    return _back(size, seed, server, "apart")


def _back(size: Size, seed: int, server: Server, what: str) -> Figures:
    with running(server) as started:
        found = ask(started, {"do": what, "terminals": 2, "missed": size.missed, "server": started.pid}, seed)
        return {
            "ms": found["seconds"] * 1e3,
            "KB": found["bytes"] / 1e3,
            "CPU ms": found["server_cpu_s"] * 1e3,
            "load CPU": found["load_cpu"],
        }


def storage(size: Size, seed: int, server: Server) -> Figures:
    with running(server) as started:
        ask(started, {"do": "fill", "terminals": 4, "changes": size.changes}, seed)
        started.settle()
        started.stop()
        disk = started.disk_bytes()
        begun = time.perf_counter()
        started.start()
        ready_s = time.perf_counter() - begun
        found = ask(started, {"do": "newcomer", "terminals": 4, "changes": size.changes}, seed)
        return {
            "disk B/change": disk / size.changes,
            "open again s": ready_s + found["seconds"],
            "memory MB": started.memory_mb(),
        }


SERVED = {
    "latency": latency,
    "throughput": throughput,
    "catchup": catchup,
    "convergence": convergence,
    "storage": storage,
}

WITHOUT_STORE = ("latency", "throughput")
"""What a server that keeps nothing takes part in."""

BENCHES = ("merge", *SERVED)


def runs(
    bench: str, size: Size, seed: int, chosen: Callable[[str], bool]
) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """Of a bench: each contestant's name, and what measures it."""
    if bench == "merge":
        yield from merge(size, seed, chosen)
        return
    for server in ALL:
        if server.installed() and chosen(server.name) and (server.stores or bench in WITHOUT_STORE):
            yield server.name, lambda server=server: SERVED[bench](size, seed, server)


def missing() -> list[str]:
    """Contestants that are not installed here."""
    return [server.name for server in ALL if not server.installed()]


@contextmanager
def running(server: Server) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="comanda-contest-") as place:
        folder = Path(place, "kept")
        folder.mkdir()
        started = Running(server, folder)
        try:
            started.start()
            yield started
        finally:
            started.stop()


def ask(started: Running, plan: dict[str, Any], seed: int) -> dict[str, Any]:
    """Let the load carry out a plan, in its own process."""
    whole = {**plan, "url": started.url, "dialect": started.server.dialect, "seed": seed}
    command = [sys.executable, "-m", "bench.contest.load", json.dumps(whole)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{started.server.name}, {plan['do']}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
