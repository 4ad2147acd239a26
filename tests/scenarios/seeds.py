"""How many random evenings the scenarios run, and from which seed on.

COMANDA_EXAMPLES=5000 runs more of them; COMANDA_SEED=7 COMANDA_EXAMPLES=1 replays one.
"""

from __future__ import annotations

import os

EXAMPLES = int(os.environ.get("COMANDA_EXAMPLES", "3"))
FIRST = int(os.environ.get("COMANDA_SEED", "1"))

SEEDS = range(FIRST, FIRST + EXAMPLES)
FEW_SEEDS = range(FIRST, FIRST + max(EXAMPLES // 4, 1))
"""Where one evening takes long."""
