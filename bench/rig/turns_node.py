"""A node that notes its long turns: `python -m bench.rig.turns_node FILE serve ...`.

A turn is what one task does before it waits again. FILE gets a line for each one above NOTED_MS: when it ended, by
the monotonic clock that all processes share, and how much processor time of the thread it took, in milliseconds.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

import trio

from node.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable

NOTED_MS = 1.0


class Turns(trio.abc.Instrument):
    def __init__(self, told: TextIO) -> None:
        self._told, self._began = told, 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        took_ms = (time.thread_time() - self._began) * 1_000
        if took_ms > NOTED_MS:
            print(time.monotonic(), took_ms, file=self._told, flush=True)


def timed(run: Callable[..., Any], told: TextIO) -> Callable[..., Any]:
    def timed_run(*arguments: Any, **named: Any) -> Any:
        return run(*arguments, **named, instruments=[Turns(told)])

    return timed_run


if __name__ == "__main__":
    trio.run = timed(trio.run, open(sys.argv.pop(1), "w"))  # noqa: SIM115  it ends with the process
    main()
