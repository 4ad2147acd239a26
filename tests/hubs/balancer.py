"""One address for several processes: each connection goes on to the next one that takes it, as behind a balancer."""

from __future__ import annotations

import itertools
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Balancer:
    """Runs trio in a background thread. ports: of 127.0.0.1, asked for each connection."""

    def __init__(self, ports: Callable[[], Sequence[int]]) -> None:
        self._ports, self._turn, self._started = ports, itertools.count(), Event()
        self.port = 0
        self._thread = Thread(target=trio.run, args=(self._run,), daemon=True)
        self._thread.start()
        self._started.wait()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def end(self) -> None:
        trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
        self._thread.join()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as self._scope:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.port = listeners[0].socket.getsockname()[1]
            self._started.set()
            await trio.serve_listeners(self._pass_on, listeners)

    async def _pass_on(self, dialled: trio.SocketStream) -> None:
        ports = self._ports()
        first = next(self._turn)
        for place in range(len(ports)):
            try:
                taken = await trio.open_tcp_stream("127.0.0.1", ports[(first + place) % len(ports)])
            except OSError:
                continue
            async with taken, trio.open_nursery() as nursery:
                nursery.start_soon(_pump, dialled, taken, nursery.cancel_scope)
                nursery.start_soon(_pump, taken, dialled, nursery.cancel_scope)
            return


async def _pump(source: trio.SocketStream, target: trio.SocketStream, both: trio.CancelScope) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for data in source:
            await target.send_all(data)
    both.cancel()
