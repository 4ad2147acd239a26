"""Where a node listens for the commands of its own machine: a door in its data directory, for its user alone.

On Linux it is a UNIX socket. Elsewhere it is a port of this machine, and the door is a file with its number and a
secret, which only the node's user can read: a request that shows the secret comes from him.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson

from crdt.classes import frozen
from storage.system import LINUX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "control.sock" if LINUX else "control.json"

SECRET = "comanda-control"
"""The header that shows the secret."""


@frozen
class Door:
    """How a node is reached: at a UNIX socket's address, or at a port of 127.0.0.1 with headers."""

    address: str | None
    port: int = 0
    secret: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.address is not None else {SECRET: self.secret}


def is_there(directory: Path) -> bool:
    """Whether a node has opened its door there; one that was killed leaves it."""
    door = directory / NAME
    return door.is_socket() if LINUX else door.is_file()


@contextmanager
def door(directory: Path) -> Iterator[Door]:
    """What to connect to, while the context lasts. Raises OSError where there is none."""
    if LINUX:
        with socket_address(directory) as address:
            yield Door(address)
        return
    try:
        said = orjson.loads((directory / NAME).read_bytes())
        found = Door(None, int(said["port"]), str(said["secret"]))
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"{directory / NAME} says nothing: {error}") from error
    yield found


@contextmanager
def socket_address(directory: Path) -> Iterator[str]:
    """What to bind or connect to, while the context lasts. Raises OSError where there is no such directory.

    The address of a UNIX socket has at most 107 bytes, and a data directory may lie deeper.
    """
    folder = os.open(directory, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)
