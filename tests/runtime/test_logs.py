"""A log record is one line, whoever wrote it and whatever it quotes; its traceback is indented below it."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys

import pytest

from node.runtime.logs import LINES, LONGEST_MESSAGE, Formatter
from tests.cli.test_nothing_raw import HOSTILE

HEAD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (WARNING|ERROR) ")


@pytest.fixture
def log() -> tuple[logging.Logger, io.StringIO]:
    text = io.StringIO()
    logger = logging.Logger("anybody's")
    handler = logging.StreamHandler(text)
    handler.setFormatter(Formatter())
    logger.addHandler(handler)
    return logger, text


def records(text: io.StringIO) -> list[list[str]]:
    """The lines of each record."""
    found: list[list[str]] = []
    for line in text.getvalue().split("\n")[:-1]:
        assert line.isprintable()
        if HEAD.match(line):
            found.append([line])
        else:
            assert line.startswith("    "), line
            found[-1].append(line)
    return found


@pytest.mark.parametrize("poison", HOSTILE, ids=ascii)
def test_nothing_foreign_makes_a_line_or_acts_on_a_screen(
    log: tuple[logging.Logger, io.StringIO], poison: str
) -> None:
    logger, text = log
    forged = f"{poison}\n2026-01-15 10:00:00,000 ERROR comanda forged"
    logger.warning("terminal %s sent %r", forged, forged)
    logger.warning(forged)
    logger.warning({poison: forged})
    logger.warning("%d", forged)  # arguments that do not fit
    logger.warning("said", stack_info=True)
    logger.warning("%s", ValueError(forged))
    try:
        try:
            raise ValueError(forged)
        except ValueError as error:
            error.add_note(forged)
            raise ExceptionGroup(forged, [KeyError(forged), error]) from error
    except ExceptionGroup:
        logger.exception("it failed: %s", forged)
    assert [len(lines) > 1 for lines in records(text)] == [False] * 4 + [True, False, True]
    assert "forged" in text.getvalue()


def test_a_record_is_bounded(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = log
    logger.warning("x" * 1_000_000)
    try:
        raise ValueError("y\n" * 10_000 + "z" * 1_000_000)
    except ValueError:
        logger.exception("failed")
    short, long = records(text)
    assert len(short[0]) < LONGEST_MESSAGE + 100
    assert len(long) <= LINES + 2
    assert sum(map(len, long)) < LINES * 1_100


PROGRAM = """
import logging, threading, warnings
from node.runtime.logs import configure
configure(verbose=False)
POISON = "\\x1b[31m\\nforged"
logging.getLogger("comanda.x").info("not shown")
logging.getLogger("anybody").warning("shown %s", POISON)
warnings.warn(POISON)
thread = threading.Thread(target=lambda: 1 / len(POISON[:0])); thread.start(); thread.join()
class Last:
    def __del__(self): raise ValueError(POISON)
last = Last(); del last
raise RuntimeError(POISON)
"""


def test_what_python_itself_would_print_is_logged_too() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if not line.startswith("    ")]
    assert all(line.isprintable() for line in ended.stderr.splitlines())
    assert [line.split()[2:4] for line in said] == [
        ["WARNING", "anybody"],
        ["WARNING", "py.warnings"],
        ["ERROR", "comanda"],
        ["ERROR", "comanda"],
        ["CRITICAL", "comanda"],
    ]
