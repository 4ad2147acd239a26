"""Log records as lines: readable ones on a terminal, else JSON (`[log] format`). Both say the same.

Whatever is logged, by whomever, a record is one line; in the readable form its traceback is indented below it. A log
is read on a terminal and by programs. An id or an error text with a line end could forge a record, and one with an
escape sequence could act on the screen of whoever reads it, also after a program took it out of the JSON.

A call names its values, `logger.warning("%(peer)s is gone", {"peer": peer})`: each is a member of the JSON object,
and the text before the values are put in is its `event`, by which programs recognise what happened.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from node.printable import printable

if TYPE_CHECKING:
    from types import TracebackType

    from node.config.upkeep import LogSection

LONGEST_MESSAGE = 4_000
"""Characters of a record's message, and of one of its values."""

LONGEST_LINE = 1_000
"""Characters of one line of a traceback."""

LINES = 400
"""Lines of a traceback."""

MEMBERS = ("time", "level", "logger", "event", "message", "exception", "stack")
"""Of each JSON line. No value is named so."""

TOKEN = re.compile(r"cmd_[A-Za-z0-9_-]{43}")
"""A token as `new_token` makes it. It may come in an address, or in what somebody else says of one."""

logger = logging.getLogger("comanda")


def _shown(text: str, longest: int = LONGEST_MESSAGE) -> str:
    return printable(TOKEN.sub("cmd_***", text), longest)


def _message(record: logging.LogRecord) -> str:
    try:
        return _shown(record.getMessage())
    except Exception as error:  # the arguments do not fit: logging would print them raw
        return _shown(f"{record.msg!r} could not be written with its arguments: {error!r}")


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if len(lines) > LINES:
        lines = [*lines[: LINES // 2], "...", *lines[-LINES // 2 :]]
    return [_shown(line, LONGEST_LINE) for line in lines]


class Readable(logging.Formatter):
    """`TIME LEVEL NAME MESSAGE`, printable; lines of a traceback begin with spaces."""

    def format(self, record: logging.LogRecord) -> str:
        head = _shown(f"{self.formatTime(record)} {record.levelname} {record.name}")
        lines = [f"{head} {_message(record)}"]
        for below in (record.exc_info and self.formatException(record.exc_info), record.stack_info):
            lines += [f"    {line}" for line in _lines(below)] if below else []
        return "\n".join(lines)


class JsonLine(logging.Formatter):
    """A JSON object: MEMBERS, as far as there are such, and the values by their names. time: ISO 8601, UTC."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said: dict[str, object] = {
            "time": at.replace("+00:00", "Z"),
            "level": _shown(record.levelname.lower()),
            "logger": _shown(record.name),
            "event": _shown(str(record.msg)),
            "message": _message(record),
        }
        if isinstance(record.args, Mapping):
            said |= {
                name: _value(value) for word, value in record.args.items() if (name := _shown(str(word))) not in said
            }
        if record.exc_info:
            said["exception"] = "\n".join(_lines(self.formatException(record.exc_info)))
        if record.stack_info:
            said["stack"] = "\n".join(_lines(record.stack_info))
        return json.dumps(said)


def _value(value: object) -> object:
    """A number stays one; everything else is its text."""
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    try:
        return _shown(str(value))
    except Exception as error:  # whatever it is
        return _shown(repr(type(error)))


def configure(settings: LogSection) -> None:
    """Log to stderr, from warnings on, or from connections on; also what Python itself would print there raw."""
    handler = logging.StreamHandler()
    readable = sys.stderr.isatty() if settings.format == "auto" else settings.format == "text"
    handler.setFormatter(Readable() if readable else JsonLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if settings.verbose else logging.WARNING)
    for name in ("comanda.sync", "comanda.backup", "comanda.retention"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logger.critical("the process ends", exc_info=(kind, error, trace))


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    error = arguments.exc_value
    logger.error("a thread ended", exc_info=error if error is not None else True)


def _unraisable(arguments: sys.UnraisableHookArgs) -> None:
    logger.error(
        "an error that nobody could be told: %(what)r", {"what": arguments.object}, exc_info=arguments.exc_value
    )
