"""Services of Windows and macOS: their files say what is meant, in words that those systems know. Not run there."""

from __future__ import annotations

import os
import plistlib
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from node.cli import installing, main, service
from node.cli.launchd_plist import plist
from node.cli.systemd_unit import Unit
from node.cli.windows_task import task
from node.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"

BOOLEAN, DURATION, TEXT = "true|false", r"PT(\d+S|\d+M|\d+H)", ".*"

TASK: Mapping[str, Mapping[str, object]] = {
    "Task": dict.fromkeys(["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"]),
    "RegistrationInfo": {"Description": TEXT},
    "Triggers": {"BootTrigger": None},
    "BootTrigger": {"Enabled": BOOLEAN, "Repetition": None},
    "Repetition": {"Interval": DURATION},
    "Principals": {"Principal": None},
    "Principal": {"UserId": TEXT, "LogonType": "S4U|ServiceAccount", "RunLevel": "LeastPrivilege|HighestAvailable"},
    "Settings": {
        "MultipleInstancesPolicy": "Parallel|Queue|IgnoreNew|StopExisting",
        "DisallowStartIfOnBatteries": BOOLEAN,
        "StopIfGoingOnBatteries": BOOLEAN,
        "StartWhenAvailable": BOOLEAN,
        "RunOnlyIfNetworkAvailable": BOOLEAN,
        "AllowStartOnDemand": BOOLEAN,
        "Enabled": BOOLEAN,
        "ExecutionTimeLimit": DURATION,
        "Priority": "[0-9]|10",
        "RestartOnFailure": None,
    },
    "RestartOnFailure": {"Interval": DURATION, "Count": r"[1-9]\d{0,2}"},
    "Actions": {"Exec": None},
    "Exec": {"Command": TEXT, "Arguments": TEXT, "WorkingDirectory": TEXT},
}
"""Each element's children, and what a text in them may be (Task Scheduler Schema 1.2)."""

ODD = ("plain", "with space", "são <& joão>", "it's", "a\\", "%PATH%")


def unit(name: str = "plain") -> Unit:
    folder = Path("/srv") / name
    return Unit([str(folder / "comanda"), "serve", "--data", str(folder)], "joão & filhos", folder, [folder])


def words(line: str) -> list[str]:
    """A command line of Windows, whose paths have no quotes, as programs take it apart."""
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]


def check(element: ElementTree.Element) -> None:
    """An element of the task: nothing that the schema does not know, and nothing twice."""
    name = element.tag.removeprefix(NAMESPACE)
    children = [child.tag.removeprefix(NAMESPACE) for child in element]
    assert len(children) == len(set(children))
    for child, tag in zip(element, children, strict=True):
        allowed = TASK[name][tag]
        if allowed is None:
            check(child)
        else:
            assert re.fullmatch(str(allowed), child.text or ""), (tag, child.text)


@pytest.mark.parametrize("name", ODD)
def test_the_task_is_one_that_windows_knows_whatever_folders_are_called(name: str) -> None:
    root = ElementTree.fromstring(task(unit(name)).encode("utf-16"))
    assert (root.tag, root.get("version")) == (f"{NAMESPACE}Task", "1.2")
    check(root)
    said = {element.tag.removeprefix(NAMESPACE): element.text for element in root.iter()}
    assert said["UserId"] == "joão & filhos"
    assert said["Command"] == f"/srv/{name}/comanda"
    assert words(str(said["Arguments"])) == ["serve", "--data", f"/srv/{name}"]
    assert said["WorkingDirectory"] == f"/srv/{name}"


def test_the_task_runs_for_ever_is_started_once_and_again_after_it_ended() -> None:
    root = ElementTree.fromstring(task(unit()).encode("utf-16"))
    said = {element.tag.removeprefix(NAMESPACE): element.text for element in root.iter()}
    assert (said["ExecutionTimeLimit"], said["MultipleInstancesPolicy"]) == ("PT0S", "IgnoreNew")
    assert root.find(f".//{NAMESPACE}BootTrigger/{NAMESPACE}Repetition/{NAMESPACE}Interval") is not None
    assert root.find(f".//{NAMESPACE}RestartOnFailure/{NAMESPACE}Count") is not None
    principal, actions = root.find(f".//{NAMESPACE}Principal"), root.find(f".//{NAMESPACE}Actions")
    assert principal is not None
    assert actions is not None
    assert principal.get("id") == actions.get("Context")


@pytest.mark.parametrize("name", ODD)
def test_launchd_is_told_the_same(name: str) -> None:
    said = plistlib.loads(plist(unit(name)).encode())
    assert said["ProgramArguments"] == unit(name).command
    assert said["UserName"] == "joão & filhos"
    assert said["WorkingDirectory"] == f"/srv/{name}"
    assert said["StandardErrorPath"] == f"/srv/{name}/service.log"
    assert said["RunAtLoad"] is said["KeepAlive"] is True


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", "\u202e", "\udcff"])
def test_what_a_file_cannot_hold_is_refused(name: str) -> None:
    for text in (task, plist):
        with pytest.raises(ConfigError):
            text(unit(name))


@pytest.mark.parametrize("manager", installing.MANAGERS)
def test_each_system_has_its_file_printed_on_any_other(manager: str) -> None:
    printed = CliRunner().invoke(main, ["service", "print", "--for", manager, "--data", "/srv/c"])
    assert printed.exit_code == 0, printed.output
    assert "/srv/c" in printed.output


@pytest.mark.parametrize(
    ("manager", "calls"),
    [
        ("launchd", ["bootout system/comanda", "bootstrap system {file}"]),
        ("windows", ["/end /tn Comanda", "/create /tn Comanda /xml {file} /f", "/run /tn Comanda"]),
    ],
)
def test_install_calls_what_starts_services_there(
    manager: str, calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may fail, because there was none before, does."""
    told = installing.MANAGERS[manager]
    said, fake = tmp_path / "said", tmp_path / "bin" / told.program
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> "{said}"\ncase "$1" in bootout|/end) exit 1;; esac\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(service, "SERVICE_MANAGER", manager)
    words = ["service", "install", "--data", str(tmp_path / "dados"), "--folder", str(tmp_path)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    file = tmp_path / told.name
    assert said.read_text().splitlines() == [call.format(file=file) for call in calls]
    assert str(tmp_path / "dados") in file.read_text(told.encoding)
