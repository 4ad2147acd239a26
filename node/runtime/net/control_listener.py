"""The door of `node/control.py` as the listener serves it."""

from __future__ import annotations

import os
import secrets
import socket
from typing import TYPE_CHECKING

import orjson
import trio

from crdt.classes import frozen
from node.control import NAME, socket_address
from node.runtime.whole_files import put_file
from storage.system import LINUX, unix_socket

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 16


@frozen
class Control:
    """listener: open. secret: what a request shows that comes from the node's user; None where the system tells."""

    listener: trio.SocketListener
    secret: str | None


async def open_control(directory: Path) -> Control:
    """Open the data directory's door, in the place of one that a killed node left.

    The caller holds the directory's lock. Raises OSError.
    """
    (directory / NAME).unlink(missing_ok=True)
    if LINUX:
        return Control(_unix(directory), None)
    listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=BACKLOG)
    secret = secrets.token_urlsafe(32)
    said = {"port": listener.socket.getsockname()[1], "secret": secret}
    try:
        put_file(directory / NAME, orjson.dumps(said), 0o600)
    except BaseException:
        await trio.aclose_forcefully(listener)
        raise
    return Control(listener, secret)


def _unix(directory: Path) -> trio.SocketListener:
    opened = unix_socket(socket.SOCK_STREAM)
    try:
        with socket_address(directory) as address:
            opened.bind(address)
            os.chmod(address, 0o600)  # nobody can connect before it listens
        opened.listen(BACKLOG)
    except BaseException:
        opened.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(opened))
