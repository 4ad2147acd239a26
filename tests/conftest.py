from __future__ import annotations

import gc
import logging
import os
import shlex
import shutil
import sqlite3
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings

from tests.harness import World
from tests.processes import NodeProcess
from tests.scenarios.seeds import EXAMPLES
from tests.slices import VARIABLE, made

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# Without byte code, each process that a test starts compiles the whole node, which is half of what its start costs.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Each commit waits for the disk, and most of what tests wait for is that. No test cuts the machine's power, so their
# files are in memory, where that holds a whole run's.
IN_MEMORY, RUN_BYTES = Path("/dev/shm"), 2 << 30
if "TMPDIR" not in os.environ and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > RUN_BYTES:
    os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)

# No test is timed: on a busy machine an example takes what it takes.
settings.register_profile(
    "comanda", max_examples=5 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("comanda")


def pytest_report_header() -> str:
    return f"slice of what takes long: {VARIABLE}={os.environ[VARIABLE]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = made(items, config.args)
    config.hook.pytest_deselected(items=[*{*items} - {*kept}])
    items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The command that runs what failed again, as this run was told to and on its slice, whichever day it is."""
    failed = {report.nodeid for kind in ("failed", "error") for report in terminalreporter.getreports(kind)}
    if failed:
        variables = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("COMANDA_")]
        words = [*variables, "python", "-m", "pytest", "-n0", *sorted(failed)]
        terminalreporter.write_line(shlex.join(words))


def pytest_collection_finish() -> None:
    """What was collected stays to the end: whoever looks for garbage in it looks in vain, a sixth of the time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    """A fixture that fails half way has nobody who ends the nodes that it has started: they would go on beside all
    later tests, and what is open of them be the fault of one of these."""
    before = set(NodeProcess.started)
    try:
        return (yield)
    except BaseException:
        for node in NodeProcess.started - before:
            node.end()
        raise


class Database(sqlite3.Connection):
    """One that is known while it is open, if it is a file."""

    opened: ClassVar[set[Database]] = set()

    def __init__(self, name: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(name, *arguments, **options)
        if name != ":memory:":  # a template may stay
            self.opened.add(self)

    def close(self) -> None:
        super().close()
        self.opened.discard(self)


sqlite3.connect = partial(sqlite3.connect, factory=Database)


@pytest.fixture(autouse=True)
def _databases_closed() -> Iterator[None]:
    """What a test has left open is closed, also where it failed: Python 3.13 makes a warning of it, which is an error
    of whatever test runs when it is collected."""
    before = set(Database.opened)
    yield
    for database in Database.opened - before:
        database.close()


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
