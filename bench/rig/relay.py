"""A TCP relay between two nodes: counts what really crosses, and can be cut like a network."""

from __future__ import annotations

import contextlib
import socket
import threading

from bench.rig.node_process import free_port

CHUNK = 262_144


class Relay:
    """Relays one port to `target`'s. bytes_up, bytes_down: to the target and back, since `reset`."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.bytes_up = self.bytes_down = 0
        self._target = target
        self._listening: socket.socket | None = None
        self._open: list[socket.socket] = []

    def reset(self) -> None:
        self.bytes_up = self.bytes_down = 0

    def mend(self) -> None:
        """Take connections."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        """Refuse connections and end those there are."""
        if self._listening is not None:
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes accept()
            self._listening.close()
            self._listening = None
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += (near, far)
            threading.Thread(target=self._copy, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near, False), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK):
                if up:
                    self.bytes_up += len(chunk)
                else:
                    self.bytes_down += len(chunk)
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
