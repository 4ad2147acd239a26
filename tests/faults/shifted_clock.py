"""`python shifted_clock.py FILE python -m node ...`: the node, where the clock is off by FILE's milliseconds.

Only what the wall clock shows is changed, each time it is asked; monotonic time is the machine's.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_time_ns = time.time_ns


def shifted(offset: Path) -> Callable[[], int]:
    return lambda: _time_ns() + int(offset.read_text() or "0") * 1_000_000


if __name__ == "__main__":
    time.time_ns = shifted(Path(sys.argv[1]))
    sys.argv = ["comanda", *sys.argv[5:]]
    sys.path.insert(0, str(Path.cwd()))
    runpy.run_module("node", run_name="__main__", alter_sys=True)
