"""Hides from the project's own modules the names that CPython does not have on Windows, before anything is imported.
It also refuses them what Windows refuses: to rename or delete a file that this process has open, and names of files
that no file has there.

    PYTHONPATH=tests/hidden_names python -m pytest tests/e2e

Python imports this in every process that it starts so. Other packages, the standard library and the tests keep what
they have: of those it is known, or it does not matter. The names are those that CPython's documentation gives as
available on Unix, or not on Windows.
"""

from __future__ import annotations

import builtins
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

OURS = ("crdt", "strategies", "storage", "node")

MODULES = frozenset(["fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"])

NAMES = {
    "os": """chown chroot confstr copy_file_range ctermid eventfd eventfd_read eventfd_write fchdir fchown fdatasync
        fork forkpty fpathconf fstatvfs getegid geteuid getgid getgrouplist getgroups getloadavg getpgid getpgrp
        getpriority getresgid getresuid getsid getuid initgroups killpg lchown listxattr major makedev memfd_create
        minor mkfifo mknod nice openpty pathconf pidfd_open posix_fadvise posix_fallocate posix_spawn posix_spawnp
        pread preadv pwrite pwritev register_at_fork sched_getaffinity sched_setaffinity sched_yield sendfile setegid
        seteuid setgid setgroups setpgid setpriority setregid setreuid setsid setuid setxattr splice statvfs sync
        sysconf tcgetpgrp tcsetpgrp ttyname uname wait wait3 wait4 waitid O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY
        O_DSYNC O_LARGEFILE O_NDELAY O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_RSYNC O_SYNC O_TMPFILE
        EX_OK EX_USAGE WNOHANG WIFEXITED WEXITSTATUS WIFSIGNALED WTERMSIG""",
    "select": "epoll poll EPOLLIN EPOLLOUT EPOLLERR EPOLLHUP EPOLLET EPOLLONESHOT EPOLLEXCLUSIVE EPOLLRDHUP",
    "signal": """SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGPROF SIGPWR SIGQUIT SIGSTOP SIGTRAP
        SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ alarm getitimer pause
        pidfd_send_signal pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait
        sigwaitinfo""",
    "socket": """AF_UNIX AF_NETLINK AF_PACKET AF_VSOCK CMSG_LEN CMSG_SPACE MSG_DONTWAIT MSG_NOSIGNAL SCM_CREDENTIALS
        SCM_RIGHTS SO_BINDTODEVICE SO_PASSCRED SO_PEERCRED SO_REUSEPORT SOCK_CLOEXEC SOCK_NONBLOCK recv_fds
        send_fds sethostname""",
    "time": "clock_getres clock_gettime clock_gettime_ns clock_settime pthread_getcpuclockid tzset",
    "sys": "abiflags",
}

INSTEAD: Mapping[str, Mapping[str, object]] = {"sys": {"platform": "win32"}, "os": {"O_BINARY": 0, "name": "nt"}}


class View(ModuleType):
    """A module without some of its names, and with others in their place."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__dict__.update(INSTEAD.get(name, {}))

    def __getattr__(self, name: str) -> Any:
        if name in NAMES[self.__name__].split():
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(import_module(self.__name__), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(import_module(self.__name__), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(import_module(self.__name__), name)


VIEWS = {name: View(name) for name in NAMES}

_import = builtins.__import__


def _hiding(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    importer = str((globals or {}).get("__name__", ""))
    ours = level == 0 and importer.partition(".")[0] in OURS
    if ours and name.partition(".")[0] in MODULES:
        raise ModuleNotFoundError(f"No module named {name!r} on Windows", name=name)
    module = _import(name, globals, locals, fromlist or (), level)
    return VIEWS.get(name, module) if ours else module


FORBIDDEN = set('<>:"|?*\\')
"""Characters that no file of Windows has in its name, where we give it one."""

DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))]
)
"""What no file of Windows is called, with or without an ending."""

MADE, TAKEN = {"os.mkdir": 1, "sqlite3.connect": 1, "os.rename": 2}, {"os.remove": 1, "os.rename": 2}
"""Audit events in which a name is given, and in which a file goes; and how many of their arguments are paths."""

CALLERS = 6
"""Frames between one of our modules and the system: pathlib's, and those of the standard library around it."""


def refuse(event: str, arguments: Sequence[Any]) -> None:
    """An audit hook (sys.addaudithook): raises OSError for what Windows refuses of files, where our modules ask."""
    given = MADE.get(event, 0)
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT:
        given = 1
    taken = TAKEN.get(event, 0)
    if not (given or taken) or not _ours(sys._getframe(1)):
        return
    for path in arguments[:given]:
        if isinstance(path, str | bytes) and path != ":memory:":
            name = os.path.basename(os.fsdecode(path).partition("?")[0])
            device = name.partition(".")[0].rstrip(" ").lower() in DEVICES
            if FORBIDDEN & set(name) or device or (name.endswith((".", " ")) and name not in (".", "..")):
                raise OSError(22, "The filename, directory name, or volume label syntax is incorrect", path)
    for path in arguments[:taken]:
        if not isinstance(path, int):
            folder, name = os.path.split(os.fsdecode(path))
            if os.path.join(os.path.realpath(folder), name) in _open_here():
                raise PermissionError(13, "The file is being used by another process", path)


def _ours(frame: FrameType | None) -> bool:
    for _ in range(CALLERS):
        if frame is None:
            return False
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in OURS:
            return True
        frame = frame.f_back
    return False


def _open_here() -> set[str]:
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:  # the one that lists them
            continue
    return found


if not any(name.partition(".")[0] in OURS for name in sys.modules):
    builtins.__import__ = _hiding
    sys.addaudithook(refuse)
