"""The systemd unit of a node, as text (systemd.unit(5), systemd.exec(5))."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from crdt.classes import frozen
from node.errors import ConfigError

PRIVILEGED_PORTS = 1024
NOT_OF_A_PROGRAM = "\"'\\"
"""Characters that systemd takes in no path of a program."""

SHARED_FOLDERS = (Path("/tmp"), Path("/var/tmp"))
"""A service that has its own does not see what others put there."""


@frozen
class Unit:
    """What a unit depends on.

    command: `comanda serve` with its arguments, the program by its absolute path. user: who runs it. working: the
    directory that it runs in. writes: where it writes; what may be away at a start, as a stick, in `may_be_away`.
    ports: where it listens. reads: files that it is told to read.
    """

    command: Sequence[str]
    user: str
    working: Path
    writes: Sequence[Path]
    may_be_away: Sequence[Path] = ()
    ports: Sequence[int] = ()
    reads: Sequence[Path] = ()

    def text(self) -> str:
        """The file. Raises ConfigError where a path cannot be written in it."""
        program, *arguments = self.command
        if set(program) & set(NOT_OF_A_PROGRAM):
            raise ConfigError(f"systemd runs no program at {program}: a quote or a backslash is in its path")
        command = " ".join([_quoted(program), *(_quoted(word).replace("$", "$$") for word in arguments)])
        writes = " ".join(
            [*(_quoted(str(path)) for path in self.writes), *(_quoted(f"-{path}") for path in self.may_be_away)]
        )
        capability = "CAP_NET_BIND_SERVICE" if any(0 < port < PRIVILEGED_PORTS for port in self.ports) else ""
        # A trailing slash: spaces at the end would be dropped, and a backslash would go on with the next line.
        return TEMPLATE.format(
            command=command,
            user=_plain(self.user),
            working=_plain(f"{self.working}/"),
            writes=writes,
            capability=capability,
            private_tmp="no" if self._in_shared_folders() else "yes",
        )

    def _in_shared_folders(self) -> bool:
        needed = [Path(self.command[0]), self.working, *self.writes, *self.may_be_away, *self.reads]
        return any(path.is_relative_to(shared) for path in needed for shared in SHARED_FOLDERS)


def _plain(text: str) -> str:
    """Without specifiers (`%n`)."""
    if not text.isprintable():
        raise ConfigError(f"{text!r} has characters that a systemd unit cannot hold")
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", _plain(word)) + '"'


TEMPLATE = """\
[Unit]
Description=Comanda sync node
After=network.target
# A node works without a network, and tries for ever.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
# The shell's own `kill`: a small system has no program of that name.
ExecReload=/bin/sh -c 'kill -HUP $MAINPID'
User={user}
WorkingDirectory={working}
Restart=always
RestartSec=2
# A wrong setting stays wrong.
RestartPreventExitStatus=2
# A large log is read before the node is ready.
TimeoutStartSec=15min
# The event loop feeds it. What hangs says in the journal where, and is started again.
WatchdogSec=60
Environment=PYTHONFAULTHANDLER=1
LimitCORE=0

ProtectSystem=strict
ReadWritePaths={writes}
ProtectHome=read-only
PrivateTmp={private_tmp}
PrivateDevices=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
NoNewPrivileges=yes
CapabilityBoundingSet={capability}
AmbientCapabilities={capability}
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077

[Install]
WantedBy=multi-user.target
"""
