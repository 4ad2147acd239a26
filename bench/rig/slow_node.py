"""A node whose clocks go slower, and whose instructions callgrind counts between signals.

    python bench/rig/slow_node.py 60 serve --port 8000 ...        60 times slower; the rest as for `comanda`

Under callgrind everything takes some sixty times as long, so a clock as slow as that leaves as much to the clock for
each operation as there is on a machine of its own. SIGUSR1 begins to count, SIGUSR2 writes what was counted since.
The working directory is the checkout whose node it is.
"""

from __future__ import annotations

import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = ["", str(Path(__file__).parent)]

if TYPE_CHECKING:
    from collections.abc import Callable


def slow_down(times: int) -> None:
    """Before anything is imported that takes these functions for itself."""

    def slower(clock: Callable[[], Any]) -> Callable[[], Any]:
        begun = clock()
        return lambda: begun + (clock() - begun) // times

    for name in ("monotonic_ns", "perf_counter_ns", "time_ns"):
        setattr(time, name, slower(getattr(time, name)))
    time.monotonic = lambda: time.monotonic_ns() / 1e9
    time.perf_counter = lambda: time.perf_counter_ns() / 1e9
    time.time = lambda: time.time_ns() / 1e9


def main() -> None:
    times = int(sys.argv.pop(1))
    slow_down(times)
    import trio
    from counted import Counter  # type: ignore[import-not-found]  # beside this file

    class SlowClock(trio.abc.Clock):
        def start_clock(self) -> None:
            return None

        def current_time(self) -> float:
            return time.perf_counter()

        def deadline_to_sleep_time(self, deadline: float) -> float:
            return (deadline - time.perf_counter()) * times

    counter = Counter()
    signal.signal(signal.SIGUSR1, lambda *_: counter.begin())
    signal.signal(signal.SIGUSR2, lambda *_: counter.mark(""))
    trio.run = partial(trio.run, clock=SlowClock())  # type: ignore[assignment]
    from node.__main__ import main as node

    node()


if __name__ == "__main__":
    main()
