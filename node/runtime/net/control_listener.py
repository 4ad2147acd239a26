"""The control socket as the listener serves it: only the node's own user can open it."""

from __future__ import annotations

import os
import pwd
import socket
import struct
from typing import TYPE_CHECKING

import trio

from node.control import NAME, socket_address

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 16


def open_control(directory: Path) -> trio.SocketListener:
    """Listen on the data directory's control socket, in the place of one that a killed node left.

    The caller holds the directory's lock. Raises OSError.
    """
    (directory / NAME).unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(directory) as address:
            opened.bind(address)
            os.chmod(address, 0o600)  # nobody can connect before it listens
        opened.listen(BACKLOG)
    except BaseException:
        opened.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(opened))


def user_of(stream: trio.SocketStream) -> str:
    """Who asks through the control socket, as the system names this user."""
    credentials = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid = struct.unpack("3i", credentials)[1]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
