"""A node as a daemon of macOS: the property list that launchd reads (launchd.plist(5))."""

from __future__ import annotations

import plistlib
from typing import TYPE_CHECKING

from node.errors import ConfigError

if TYPE_CHECKING:
    from node.cli.systemd_unit import Unit

LABEL = "comanda"
LOG = "service.log"
"""In the data directory: launchd has no journal."""

OPEN_FILES = 8_192
"""What launchd allows at first is 256."""


def plist(unit: Unit) -> str:
    """The file. Raises ConfigError where a path cannot be written in it."""
    log = str(unit.writes[0] / LOG)
    words = [*unit.command, unit.user, str(unit.working), log]
    for word in words:
        if not word.isprintable():
            raise ConfigError(f"{word!r} has characters that a property list cannot hold")
    described = {
        "Label": LABEL,
        "ProgramArguments": list(unit.command),
        "UserName": unit.user,
        "WorkingDirectory": str(unit.working),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 2,
        "ProcessType": "Interactive",  # the others' timers and disk are slowed down
        "EnvironmentVariables": {"PYTHONFAULTHANDLER": "1"},
        "SoftResourceLimits": {"NumberOfFiles": OPEN_FILES},
        "Umask": 0o077,
        "StandardErrorPath": log,
    }
    return plistlib.dumps(described, sort_keys=False).decode()
