"""What operating systems do differently. No other file asks which one this is, or has a name that one of them lacks.

Linux is what the tests run on. Elsewhere something is missing: on Windows a folder cannot be flushed, a file has no
owner that a mode keeps others from, and there are no UNIX sockets as Python has them. `tests/hidden_names/`
hides the names that CPython lacks there.
"""

from __future__ import annotations

import errno
import os
import platform
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from trio.socket import SocketType

LINUX = sys.platform == "linux"

SERVICE_MANAGER = {"win32": "windows", "darwin": "launchd"}.get(sys.platform, "systemd")
"""What keeps services running here."""

PROGRAM_SUFFIX = ".exe" if sys.platform == "win32" else ""

RELOAD: tuple[signal.Signals, ...] = ()
"""What a process is sent to read its certificate again."""

if sys.platform != "win32":
    RELOAD = (signal.SIGHUP,)

if sys.platform == "linux":
    from os import eventfd as eventfd
    from select import EPOLLIN as EPOLLIN
    from select import epoll as epoll
else:
    EPOLLIN = 1

    def epoll() -> Any:
        raise OSError("only Linux has an epoll")

    def eventfd(initval: int, flags: int = 0) -> int:
        raise OSError("only Linux has an eventfd")


# ------------------------------------------------------------------ files


def lock_file(path: Path) -> FileLock:
    """A lock that ends with the process, or with `release`. Raises OSError, filelock.Timeout where another has it."""
    lock = FileLock(path, timeout=0, mode=0o600, thread_local=False)
    lock.acquire()
    return lock


def open_to_overwrite(path: Path) -> int:
    """A descriptor for `overwrite`. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT
    if sys.platform == "win32":
        flags |= os.O_BINARY
    return os.open(path, flags, 0o600)


def overwrite(descriptor: int, text: bytes) -> None:
    """Write over the beginning of an open file. Raises OSError."""
    if sys.platform == "win32":
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, text)
    else:
        os.pwrite(descriptor, text, 0)


def flush(path: Path) -> None:
    """fsync a file. Raises OSError."""
    # Windows flushes only what is open for writing.
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


FLUSHED = 2**23
"""Bytes of a large file that are written between two flushes."""


class Growing:
    """A large file that is written beside others' commits, flushed as it grows.

    Flushed at its end only, it would be on the disk's way all at once: a commit that is flushed meanwhile waits until
    all of it is there, a second and more for some hundred megabytes.
    """

    def __init__(self, descriptor: int) -> None:
        """descriptor: of the file, open for writing."""
        self._descriptor = descriptor
        self._flushed = 0

    def flush(self) -> None:
        """Flush it if it has grown by FLUSHED. Raises OSError."""
        size = os.fstat(self._descriptor).st_size
        if size - self._flushed >= FLUSHED:
            self._flushed = size
            os.fsync(self._descriptor)


def flush_names(folder: Path) -> None:
    """fsync a folder's names, where the system and its file system can do so. Raises OSError."""
    if sys.platform == "win32":
        return
    try:
        flush(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def owner(path: Path) -> str:
    """The name of the user whose file it is. Raises OSError, and KeyError for a user without a name."""
    if sys.platform == "win32":
        return user()
    else:
        from pwd import getpwuid

        return getpwuid(path.stat().st_uid).pw_name


def make_folder(path: Path, owned_by: str) -> None:
    """A folder of that user alone, where there is none yet. Raises OSError, and KeyError for a user that is none."""
    if sys.platform == "win32":
        path.mkdir(parents=True, exist_ok=True)
    else:
        from pwd import getpwnam

        entry = getpwnam(owned_by)
        if not path.exists():
            path.mkdir(mode=0o700, parents=True)
            os.chown(path, entry.pw_uid, entry.pw_gid)


# ------------------------------------------------------------------ processes


M_ARENA_MAX, M_TRIM_THRESHOLD = -8, -1
"""Of mallopt(3)."""


def user() -> str:
    """The name of this process's user; its number where it has no name."""
    import psutil

    return str(psutil.Process().username())


def machine_name() -> str:
    return platform.node()


def give_memory_back() -> None:
    """Have the C library keep one heap for all threads, and return what is free of it; where it is glibc."""
    if sys.platform == "linux":
        import ctypes

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_ARENA_MAX, 1)
            mallopt(M_TRIM_THRESHOLD, 65_536)


def memory_bytes() -> int:
    """Resident memory of this process."""
    if sys.platform == "linux":
        with open("/proc/self/statm", "rb") as told:
            return int(told.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    import psutil

    return int(psutil.Process().memory_info().rss)


def allow_descriptors(wanted: int) -> int:
    """Let this process open so many files and sockets. Returns how many the system lets it."""
    if sys.platform == "win32":
        return wanted  # sockets are not counted there
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


# ------------------------------------------------------------------ sockets


if sys.platform == "win32":

    def write_at_once(descriptor: int, data: bytes | memoryview, /) -> int:
        """A Windows socket is no descriptor: who waits until it can be written to writes."""
        raise BlockingIOError
else:
    write_at_once = os.write
    """(descriptor of a socket, data) -> how much was written. Raises OSError, BlockingIOError where nothing was."""


def unix_socket(kind: socket.SocketKind) -> socket.socket:
    """Raises OSError where there are none."""
    if sys.platform == "win32":
        raise OSError("this system has no UNIX sockets")
    return socket.socket(socket.AF_UNIX, kind)


def asking_user(opened: socket.socket | SocketType) -> str | None:
    """Who is at the other end of a UNIX socket, as the system names this user; None of any other socket.

    Raises OSError.
    """
    if sys.platform == "linux" and opened.family == socket.AF_UNIX:
        from pwd import getpwuid

        credentials = opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        uid = struct.unpack("3i", credentials)[1]
        try:
            return getpwuid(uid).pw_name
        except KeyError:
            return str(uid)
    return None
