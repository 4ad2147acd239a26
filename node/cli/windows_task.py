"""A node as a task of Windows: what `schtasks /create /xml` reads (the Task Scheduler schema, version 1.2)."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from node.errors import ConfigError

if TYPE_CHECKING:
    from node.cli.systemd_unit import Unit

NAME = "Comanda"


def task(unit: Unit) -> str:
    """The file, to be written as UTF-16. Raises ConfigError where a path cannot be written in it."""
    program, *arguments = unit.command
    return TEMPLATE.format(
        user=_text(unit.user),
        program=_text(program),
        arguments=_text(subprocess.list2cmdline(arguments)),
        working=_text(str(unit.working)),
    )


def _text(words: str) -> str:
    if not words.isprintable():
        raise ConfigError(f"{words!r} has characters that a task cannot hold")
    return escape(words)


# A program that ends is, for the scheduler, not always one that failed: so it is asked for again each minute besides,
# and not started where it runs. A priority below 7 keeps its disk as quick as other programs'.
TEMPLATE = """\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Comanda sync node</Description>
  </RegistrationInfo>
  <Triggers>
    <BootTrigger>
      <Enabled>true</Enabled>
      <Repetition>
        <Interval>PT1M</Interval>
      </Repetition>
    </BootTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{user}</UserId>
      <LogonType>S4U</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>5</Priority>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>999</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{program}</Command>
      <Arguments>{arguments}</Arguments>
      <WorkingDirectory>{working}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"""
