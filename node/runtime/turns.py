"""When a realm looks at its clock: each turn while anything happens in it, and seldom while nothing does.

A hub that wakes twenty times a second all night keeps its processor from sleeping, for nothing: what is done so often
follows something that was read, written or connected.
"""

from __future__ import annotations

import trio

AWAKE_S = 2.0
"""How long after something happened each turn is looked at: pings to hundreds of terminals take some turns."""

REST_S = 0.5
"""How seldom the clock of a node is looked at while nothing happens."""


class Turns:
    """The turns of one realm, taken by one task."""

    def __init__(self, rest_s: float = REST_S) -> None:
        self._rest_s = rest_s
        self._stirred = False
        self._awake_until = 0.0
        self._rest: trio.Event | None = None

    def stir(self) -> None:
        """Something is read, written or connected."""
        self._stirred = True
        if self._rest is not None:
            self._rest.set()

    async def next(self, turn_s: float) -> None:
        """Wait until the next turn. turn_s: how long one takes while anything happens."""
        now = trio.current_time()
        if self._stirred:
            self._stirred, self._awake_until = False, now + AWAKE_S
        if now < self._awake_until:
            await trio.sleep(turn_s)
            return
        self._rest = trio.Event()
        with trio.move_on_after(self._rest_s):
            await self._rest.wait()
        self._rest = None
