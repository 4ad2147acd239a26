"""When a realm looks at its clock: each turn while anything happens in it, and seldom while nothing does.

A hub that wakes twenty times a second all night keeps its processor from sleeping, for nothing: what is done so often
follows something that was read, written or connected. A head office of hundreds of stores is woken by each link that
comes up and each order of each of them: where no terminal is to be pinged, a few turns are enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

BRIEF_S = 0.25
"""How long after something happened each turn is looked at."""

AWAKE_S = 2.0
"""The same, while terminals have rows to answer: pings to hundreds of them take some turns."""

REST_S = 0.5
"""How seldom the clock of a node is looked at while nothing happens."""


class Turns:
    """The turns of one realm, taken by one task."""

    def __init__(self, rest_s: float = REST_S) -> None:
        self._rest_s = rest_s
        self._stirred = False
        self._stirred_s = -AWAKE_S
        self._rest: trio.Event | None = None

    def stir(self) -> None:
        """Something is read, written or connected."""
        self._stirred = True
        if self._rest is not None:
            self._rest.set()

    async def next(self, turn_s: float, busy: Callable[[], bool]) -> None:
        """Wait until the next turn. turn_s: how long one takes while anything happens. busy: whether terminals have
        rows to answer."""
        now = trio.current_time()
        if self._stirred:
            self._stirred, self._stirred_s = False, now
        quiet_s = now - self._stirred_s
        if quiet_s < BRIEF_S or (quiet_s < AWAKE_S and busy()):
            await trio.sleep(turn_s)
            return
        self._rest = trio.Event()
        with trio.move_on_after(self._rest_s):
            await self._rest.wait()
        self._rest = None
