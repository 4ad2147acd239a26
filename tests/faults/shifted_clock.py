"""`python shifted_clock.py FILE python -m node ...`: the node, where the clock is off by FILE's milliseconds.

Only what the wall clock shows is changed, each time it is asked; monotonic time is the machine's.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

_offset = Path(sys.argv[1])
_time_ns = time.time_ns


def shifted_ns() -> int:
    return _time_ns() + int(_offset.read_text() or "0") * 1_000_000


if __name__ == "__main__":
    time.time_ns = shifted_ns
    sys.argv = ["comanda", *sys.argv[5:]]
    sys.path.insert(0, str(Path.cwd()))
    runpy.run_module("node", run_name="__main__", alter_sys=True)
