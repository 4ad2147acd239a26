"""How long the turns of a node's event loop are, in lines of Python that run: no clock, so nothing is timed.

A turn is what runs without anybody else getting the loop: a message, what a read brought, what a timer does, a job of
the clock, both ends of a commit. What runs in C is bounded by the bytes that it gets, and is not counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from node.core import monitors
from node.core.core import Core
from node.core.guarded import GuardedDisk, GuardedTimer
from node.core.links.link import Link
from node.core.sessions.session import Session
from node.core.sessions.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

ROOT = Path(__file__).parents[1]
PRODUCT = tuple(f"{ROOT / name}/" for name in ("node", "storage", "strategies", "crdt"))

TURNS: tuple[tuple[Any, str], ...] = (
    (Core, "take_group"),
    (Core, "committed"),
    (Core, "tick"),
    (Core, "retry_quarantine"),
    (Session, "receive"),
    (Session, "pong"),
    (Sessions, "connect"),
    (Sessions, "disconnect"),
    (Link, "receive"),
    (monitors, "terminal_status"),
    (monitors, "performance"),
)
"""What the runtime calls, each as one turn."""


SAMPLE = 17
"""Of so many lines the place of one is noted: each line is counted, and to note every place takes twice as long."""


class Meter:
    """longest: by kind of turn, the most lines that one had. where: about the places of the longest turn of all.
    total: lines of all turns."""

    def __init__(self) -> None:
        self.longest: dict[str, int] = {}
        self.where: Counter[tuple[str, int]] = Counter()
        self.total = 0
        self._running = False

    def run(self, name: str, act: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if self._running:  # a part of another turn
            return act(*arguments, **named)
        lines: Counter[tuple[str, int]] = Counter()
        total = 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal total
            if event == "line":
                total += 1
                if not total % SAMPLE:
                    lines[frame.f_code.co_filename, frame.f_lineno] += SAMPLE
            return line

        def call(frame: FrameType, event: str, argument: Any) -> Any:
            return line if frame.f_code.co_filename.startswith(PRODUCT) else None

        before, self._running = sys.gettrace(), True
        sys.settrace(call)
        try:
            return act(*arguments, **named)
        finally:
            sys.settrace(before)
            self._running = False
            self.total += total
            if total > max(self.longest.values(), default=0):
                self.where = lines
            self.longest[name] = max(self.longest.get(name, 0), total)

    def report(self, most: int = 8) -> str:
        """The longest turn of each kind, and where the longest of all was."""
        turns = [f"{lines:>9,}  {name}" for name, lines in sorted(self.longest.items(), key=lambda item: -item[1])]
        places = [
            f"{count:>9,}  {Path(file).relative_to(ROOT)}:{line}"
            for (file, line), count in self.where.most_common(most)
        ]
        return "\n".join([*turns, "the longest of all:", *places])


@contextmanager
def measured() -> Iterator[Meter]:
    """Every turn of every core is measured."""
    meter = Meter()

    def wrapped(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def turn(*arguments: Any, **named: Any) -> Any:
            return meter.run(name, method, *arguments, **named)

        return turn

    start, call_later = GuardedDisk.start, GuardedTimer.call_later

    def starts(
        disk: Any, read: Callable[..., Any], *arguments: Any, done: Callable[[Any], None], urgent: bool = False
    ) -> None:
        start(disk, read, *arguments, done=wrapped(f"after {read.__name__}", done), urgent=urgent)

    def calls_later(timer: Any, delay_ms: int, action: Callable[[], None]) -> None:
        call_later(timer, delay_ms, wrapped("a timer", action))

    with ExitStack() as stack:
        for holder, name in TURNS:
            label = f"{getattr(holder, '__name__', holder)}.{name}".rpartition("core.")[2]
            stack.enter_context(patch.object(holder, name, wrapped(label, getattr(holder, name))))
        stack.enter_context(patch.object(GuardedDisk, "start", starts))
        stack.enter_context(patch.object(GuardedTimer, "call_later", calls_later))
        yield meter
