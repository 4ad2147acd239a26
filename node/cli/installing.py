"""How a service is installed and started: with systemd, launchd or the Task Scheduler."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crdt.classes import frozen
from node.cli import launchd_plist, windows_task
from node.cli.systemd_unit import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

UNIT = "comanda.service"


@frozen
class Manager:
    """What keeps services running on a system.

    text: its file for a node. name, encoding: the file's. folder: where such files are; None where it is only read
    once. program: what is called. before: words of a call that may fail, as where there is none yet; steps: of those
    that must not. `{file}` is the file's path. look: how to look at it.
    """

    text: Callable[[Unit], str]
    name: str
    folder: Path | None
    program: str
    before: Sequence[Sequence[str]]
    steps: Sequence[Sequence[str]]
    look: str
    encoding: str = "utf-8"


MANAGERS: Mapping[str, Manager] = {
    "systemd": Manager(
        text=Unit.text,
        name=UNIT,
        folder=Path("/etc/systemd/system"),
        program="systemctl",
        before=[],
        steps=[["daemon-reload"], ["enable", UNIT], ["restart", UNIT]],
        look=f"systemctl status {UNIT}; journalctl -u {UNIT}",
    ),
    "launchd": Manager(
        text=launchd_plist.plist,
        name=f"{launchd_plist.LABEL}.plist",
        folder=Path("/Library/LaunchDaemons"),
        program="launchctl",
        before=[["bootout", f"system/{launchd_plist.LABEL}"]],
        steps=[["bootstrap", "system", "{file}"]],
        look=f"launchctl print system/{launchd_plist.LABEL}",
    ),
    "windows": Manager(
        text=windows_task.task,
        name="comanda-task.xml",
        folder=None,
        program="schtasks",
        before=[["/end", "/tn", windows_task.NAME]],
        steps=[["/create", "/tn", windows_task.NAME, "/xml", "{file}", "/f"], ["/run", "/tn", windows_task.NAME]],
        look=f"schtasks /query /tn {windows_task.NAME} /v /fo list",
        encoding="utf-16",
    ),
}


def start(manager: Manager, unit: Unit, folder: Path) -> Path:
    """Write the file into a folder, and start what it says. Returns the file.

    Raises ConfigError, OSError, and ClickException where the manager is missing or refuses.
    """
    program = shutil.which(manager.program)
    if program is None:
        raise click.ClickException(f"sem {manager.program} nesta máquina / no {manager.program} on this machine")
    file = folder / manager.name
    file.write_text(manager.text(unit), encoding=manager.encoding)
    for words in (*manager.before, *manager.steps):
        command = [program, *(word.format(file=file) for word in words)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode != 0 and words in manager.steps:
            raise click.ClickException(f"{manager.program} {' '.join(command[1:])}: {done.stderr.strip()}")
    return file
