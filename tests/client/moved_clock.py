"""Runs a program in whose trio a signal lets an hour pass: python -m tests.client.moved_clock PROGRAM ARGUMENTS..."""

from __future__ import annotations

import runpy
import signal
import sys
from typing import Any

import trio
from trio.testing import MockClock

HOUR_S = 3_600

run = trio.run
running: list[tuple[MockClock, trio.lowlevel.TrioToken]] = []


def with_a_clock(program: Any, *arguments: Any) -> Any:
    """As `trio.run`, by the machine's time, until that is moved."""
    clock = MockClock(rate=1.0)

    async def noted() -> Any:
        running.append((clock, trio.lowlevel.current_trio_token()))
        return await program(*arguments)

    return run(noted, clock=clock)


def move(*_: object) -> None:
    for clock, token in running:
        trio.from_thread.run(passes, clock, trio_token=token)
    print("an hour has passed", flush=True)


async def passes(clock: MockClock) -> None:
    """A second at a time: what was to happen meanwhile happens, each thing at its time."""
    for _ in range(HOUR_S):
        clock.jump(1)
        await trio.lowlevel.checkpoint()


if __name__ == "__main__":
    trio.run = with_a_clock
    signal.signal(signal.SIGUSR2, move)
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
