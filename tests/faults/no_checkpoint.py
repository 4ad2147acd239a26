"""`python no_checkpoint.py python -m node ...`: the node, which leaves everything in its WAL until it stops.

However slow the machine is, what a test damages there is all that there is.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.argv = ["comanda", *sys.argv[4:]]
    sys.path.insert(0, str(Path.cwd()))
    from node.core import schedule

    schedule.CHECKPOINT_MS = 10**12
    runpy.run_module("node", run_name="__main__", alter_sys=True)
