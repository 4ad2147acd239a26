"""A log record is one line, whoever wrote it and whatever it quotes. For people and as JSON it says the same."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from node.runtime.api.tokens import new_token
from node.runtime.logs import LINES, LONGEST_MESSAGE, MEMBERS, JsonLine, Readable
from tests.cli.test_nothing_raw import HOSTILE

PLACEHOLDER = r"%\((\w+)\)[\d.]*[a-z]"

HEAD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (WARNING|ERROR) ")


@pytest.fixture
def log() -> tuple[logging.Logger, io.StringIO]:
    return logged(Readable())


@pytest.fixture
def lines() -> tuple[logging.Logger, io.StringIO]:
    return logged(JsonLine())


def logged(formatter: logging.Formatter) -> tuple[logging.Logger, io.StringIO]:
    text = io.StringIO()
    logger = logging.Logger("anybody's")
    handler = logging.StreamHandler(text)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    return logger, text


def objects(text: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.getvalue().split("\n")[:-1]]


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
    say_everything(logger, poison)
    assert [len(lines) > 1 for lines in records(text)] == [False] * 5 + [True, False, True]
    assert "forged" in text.getvalue()


@pytest.mark.parametrize("poison", HOSTILE, ids=ascii)
def test_a_json_line_says_the_same_and_what_is_taken_out_of_it_acts_on_no_screen(
    log: tuple[logging.Logger, io.StringIO], lines: tuple[logging.Logger, io.StringIO], poison: str
) -> None:
    for logger, _ in (log, lines):
        say_everything(logger, poison)
    assert lines[1].getvalue().isascii()
    read = [record[0].split(" ", 4)[4] for record in records(log[1])]
    found = objects(lines[1])
    assert [one["message"] for one in found] == read
    for one in found:
        assert all(text.replace("\n", "").isprintable() for text in (*one, *one.values()) if isinstance(text, str))
    assert found[2]["terminal"].startswith(poison[:1] if poison[:1].isprintable() else "\\")
    assert ["exception" in one for one in found] == [False] * 7 + [True]
    assert ["stack" in one for one in found] == [False] * 5 + [True] + [False] * 2


def say_everything(logger: logging.Logger, poison: str) -> None:
    forged = f"{poison}\n2026-01-15 10:00:00,000 ERROR comanda forged"
    logger.warning("terminal %s sent %r", forged, forged)
    logger.warning(forged)
    logger.warning("%(terminal)s is gone", {"terminal": forged, "message": forged})
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


def say_much(logger: logging.Logger) -> None:
    logger.warning("%(what)s", {"what": "x" * 1_000_000})
    try:
        raise ValueError("y\n" * 10_000 + "z" * 1_000_000)
    except ValueError:
        logger.exception("failed")


def test_a_json_line_is_bounded_and_its_values_are_numbers_where_they_were(
    lines: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, text = lines
    say_much(logger)
    short, long = text.getvalue().splitlines()
    assert len(short) < 3 * LONGEST_MESSAGE + 500
    assert len(long) < LINES * 1_100
    logger.warning("%(n)d of %(f)g, %(inf)s", {"n": 3, "f": 0.5, "inf": float("inf")})
    found = objects(text)[-1]
    assert (found["n"], found["f"], found["inf"]) == (3, 0.5, "inf")
    assert found["event"] == "%(n)d of %(f)g, %(inf)s"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])


@pytest.mark.parametrize("formatter", [Readable(), JsonLine()], ids=["text", "json"])
def test_no_token_is_logged_whoever_says_it(formatter: logging.Formatter) -> None:
    logger, text = logged(formatter)
    token = new_token()
    for said in (token, f"GET /ws/pos-1?type=pos&token={token}", f"Bearer {token}."):
        logger.warning("%(what)s", {"what": said})
        logger.warning(said)
        try:
            raise ValueError(said)
        except ValueError:
            logger.exception("failed")
    assert token[4:] not in text.getvalue()
    assert text.getvalue().count("cmd_***") >= 9


def test_a_record_is_bounded(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = log
    say_much(logger)
    short, long = records(text)
    assert len(short[0]) < LONGEST_MESSAGE + 100
    assert len(long) <= LINES + 2
    assert sum(map(len, long)) < LINES * 1_100


@cache
def calls() -> list[tuple[str, ast.Call]]:
    root = Path(__file__).parents[2]
    found = []
    for path in [
        path for folder in ("node", "storage", "strategies", "crdt") for path in (root / folder).rglob("*.py")
    ]:
        for one in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            function = getattr(one, "func", None)
            if isinstance(one, ast.Call) and getattr(getattr(function, "value", None), "id", "") == "logger":
                if one.func.attr == "log":  # type: ignore[attr-defined]
                    del one.args[0]  # the level
                found.append((f"{path.relative_to(root)}:{one.lineno}", one))
    return found


def test_every_call_names_its_values_as_its_text_does() -> None:
    found = calls()
    assert len(found) > 50
    for where, call in found:
        text, *values = call.args
        said = ast.literal_eval(text)
        names = re.findall(PLACEHOLDER, said)
        assert len(names) == said.count("%"), where
        if not names:
            assert not values, where
            continue
        (table,) = values
        assert isinstance(table, ast.Dict), where
        keys = [ast.literal_eval(key) for key in table.keys if key is not None]
        assert sorted(keys) == sorted(names), where
        assert not {*keys} & {*MEMBERS}, where


SHORTEST = 6
"""Letters of an event, as of "link to"."""


def test_the_text_without_its_values_says_what_happened() -> None:
    """It is the `event` of a JSON line: one that is all values names nothing that a program could wait for."""
    for where, call in calls():
        said = ast.literal_eval(call.args[0])
        words = re.findall("[A-Za-z]+", re.sub(PLACEHOLDER, "", said))
        assert len("".join(words)) >= SHORTEST, f"{where}: {said}"


PROGRAM = """
import logging, sys, threading, warnings
from node.config.upkeep import LogSection
from node.runtime.logs import configure
configure(LogSection(*sys.argv[1:]))
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


PRINTED = [
    ("WARNING", "anybody"),
    ("WARNING", "py.warnings"),
    ("ERROR", "comanda"),
    ("ERROR", "comanda"),
    ("CRITICAL", "comanda"),
]


def run(*words: str, terminal: int | None = None) -> list[str]:
    """The lines that the program writes. terminal: what its standard error is; else a pipe."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        stderr=subprocess.PIPE if terminal is None else terminal,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    return [] if terminal is not None else ended.stderr.splitlines()


def heads(lines: list[str]) -> list[tuple[str, str]]:
    said = [line.split() for line in lines if not line.startswith("    ")]
    return [(words[2], words[3]) for words in said]


def test_what_python_itself_would_print_is_logged_too() -> None:
    lines = run("text")
    assert all(line.isprintable() for line in lines)
    assert heads(lines) == PRINTED


@pytest.mark.parametrize("words", [("auto",), ("json",), ()])
def test_where_it_is_no_terminal_each_line_is_a_json_object(words: tuple[str, ...]) -> None:
    found = [json.loads(line) for line in run(*words)]
    assert [(one["level"].upper(), one["logger"]) for one in found] == PRINTED


def test_on_a_terminal_people_read_it() -> None:
    outer, inner = pty.openpty()
    try:
        run(terminal=inner)
        os.close(inner)
        text = b""
        while True:
            try:
                text += os.read(outer, 65_536)
            except OSError:  # the end of what a terminal's other side wrote
                break
    finally:
        os.close(outer)
    assert heads(text.decode().splitlines()) == PRINTED
