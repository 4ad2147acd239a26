"""`python -m bench NAME`: the bench of that name, as `python -m bench.NAME`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

BENCHES = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHES:
        sys.exit(f"python -m bench NAME, which is one of {', '.join(BENCHES)}")
    del sys.argv[1]
    runpy.run_module(f"bench.{name}", run_name="__main__")


if __name__ == "__main__":
    main()
