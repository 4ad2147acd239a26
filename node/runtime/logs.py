"""Log lines: whatever is logged, by whomever, a record is one line, and its traceback is indented below it.

A log is read on a terminal and by programs. An id or an error text with a line end could forge a record, and one with
an escape sequence could act on the screen of whoever reads it.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

from node.printable import printable

if TYPE_CHECKING:
    from types import TracebackType

LONGEST_MESSAGE = 4_000
"""Characters of a record's message."""

LONGEST_LINE = 1_000
"""Characters of one line of a traceback."""

LINES = 400
"""Lines of a traceback."""

logger = logging.getLogger("comanda")


class Formatter(logging.Formatter):
    """`TIME LEVEL NAME MESSAGE`, printable; lines of a traceback begin with spaces."""

    def format(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except Exception as error:  # the arguments do not fit: logging would print them raw
            message = f"{record.msg!r} could not be written with its arguments: {error!r}"
        head = f"{self.formatTime(record)} {record.levelname} {record.name}"
        lines = [f"{printable(head)} {printable(message, LONGEST_MESSAGE)}"]
        if record.exc_info:
            lines += self._below(self.formatException(record.exc_info))
        if record.stack_info:
            lines += self._below(record.stack_info)
        return "\n".join(lines)

    def _below(self, text: str) -> list[str]:
        lines = text.split("\n")
        if len(lines) > LINES:
            lines = [*lines[: LINES // 2], "...", *lines[-LINES // 2 :]]
        return [f"    {printable(line, LONGEST_LINE)}" for line in lines]


def configure(*, verbose: bool) -> None:
    """Log to stderr, from warnings on, or from connections on; also what Python itself would print there raw."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)
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
    logger.error("an error that nobody could be told: %r", arguments.object, exc_info=arguments.exc_value)
