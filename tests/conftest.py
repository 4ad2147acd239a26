from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.harness import World
from tests.scenarios.seeds import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Without byte code, each process that a test starts compiles the whole node, which is half of what its start costs.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No test is timed: on a busy machine an example takes what it takes.
settings.register_profile(
    "comanda", max_examples=5 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("comanda")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command that sets up the log, or a fuzzer that silences it, does so for its own test: others read the log."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook, sys.unraisablehook)
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.disable(logging.NOTSET)
    for name, logger in root.manager.loggerDict.items():
        if name.partition(".")[0] == "comanda" and isinstance(logger, logging.Logger):
            logger.setLevel(logging.NOTSET)
            logger.propagate = True


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    node = World(tmp_path / "data")
    yield node
    node.close()
