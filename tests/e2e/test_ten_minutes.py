"""The README's "A store in ten minutes", line by line, over real processes: two machines, each a directory.

Beside it, what the section says happens by itself: a copy of the database, and a service that comes back. The part of
systemd is played: `systemd-analyze verify` reads the unit, and its ExecStart is run as the unit says.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sysconfig
from contextlib import chdir
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from node.cli import main
from node.runtime.backup_plan import copies
from node.runtime.supervisor import READY
from tests.cli.test_service import settings_of
from tests.cli.test_service import tmp_path as tmp_path
from tests.faults.rig import until
from tests.patience import PATIENCE_S
from tests.processes import ROOT, kept_port, missing

if TYPE_CHECKING:
    from collections.abc import Iterator


README = (ROOT / "README.md").read_text(encoding="utf-8")


def section() -> dict[str, list[str]]:
    """The commands of the README's section, by the comment above them."""
    text = README.partition("## A store in ten minutes")[2]
    found: dict[str, list[str]] = {}
    for line in text.partition("```sh\n")[2].partition("```")[0].splitlines():
        if line.startswith("# "):
            place = found[line[2:].split(",")[0].split(":")[0] + str(len(found))] = []
        else:
            place.append(line)
    return found


def lan_address() -> str:
    """An address of this machine on its network; without a network one of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # nothing is sent
            return str(asked.getsockname()[0])
        except OSError:
            return "127.0.0.2"


class Service:
    """What systemd does with a unit: run it, hear that it is ready, start it again when it ends."""

    def __init__(self, unit: str, folder: Path) -> None:
        (command,) = settings_of(unit, "ExecStart")
        (self.folder,) = settings_of(unit, "WorkingDirectory")
        assert settings_of(unit, "Restart") == ["always"]
        self.command, self.log = shlex.split(command), folder / "log"
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.heard.bind(str(folder / "notify"))
        self.heard.settimeout(PATIENCE_S)
        self.environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        while self.heard.recv(100).decode() != READY:
            pass

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(PATIENCE_S)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        self.heard.close()


class Machine:
    """One machine: its directory, and what runs there, at a port of its own.

    put: what stands in the place of the README's examples.
    """

    def __init__(self, folder: Path, host: str, put: dict[str, str]) -> None:
        self.folder, self.port, self.put = folder, kept_port(self, host), put
        self.service: Service | None = None
        folder.mkdir()

    def comanda(self, *words: str, status: int = 0) -> str:
        """What a command prints; in this process, which is much faster."""
        with chdir(self.folder):
            done = CliRunner().invoke(main, words)
        assert done.exit_code == status, (words, done.output, done.exception)
        return done.stdout

    def types(self, line: str) -> str:
        """A line of the README, as it is typed here."""
        for example, real in self.put.items():
            line = line.replace(example, real)
        words = [word for word in shlex.split(line) if word != "sudo"]
        if words[:3] == ["comanda", "service", "install"]:
            return self._install([*words[3:], "--port", str(self.port)])
        if words[0] == "systemctl":
            assert self.service is not None
            return str(self.service.start() if words[1] == "start" else self.service.stop())
        return self.comanda(*words[1:])

    def _install(self, words: list[str]) -> str:
        unit = self.comanda("service", "print", *words)
        file = self.folder / "comanda.service"
        file.write_text(unit)
        if shutil.which("systemd-analyze") is None:
            missing("systemd-analyze")
        verified = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, check=False)
        assert verified.returncode == 0, verified.stderr
        self.service = Service(unit, self.folder)
        # A second, for the day of the default; and none goes meanwhile.
        self.service.environment |= {"COMANDA_BACKUP_EVERY_H": "0.0003", "COMANDA_BACKUP_KEEP": "1000"}
        self.service.start()
        return unit

    def link(self) -> dict[str, object]:
        (link,) = json.loads(self.comanda("status", "--json"))["links"] or [{}]
        found: dict[str, object] = link
        return found

    def orders(self) -> list[str]:
        shown = self.comanda("show", "orders", "--json").splitlines()
        return [json.loads(line)["entity_id"] for line in shown]

    def writes(self, entity_id: str) -> None:
        """A terminal beside the node writes an order."""
        operation = {"entity_type": "orders", "entity_id": entity_id, "operation": "CREATE"}
        message = {"type": "data_sync", "operation": {**operation, "data": {"status": "pending"}}}
        assert json.loads(self.comanda("send", json.dumps(message)))["status"] == "applied"

    def service_of(self) -> Service:
        assert self.service is not None
        return self.service


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    address, put = lan_address(), dict[str, str]()
    found = Machine(tmp_path / "hub", address, put), Machine(tmp_path / "till", "127.0.0.1", put)
    put |= {"10.0.0.5:8001": f"{address}:{found[0].port}", "10.0.0.5": address}
    yield found
    for machine in found:
        if machine.service is not None:
            machine.service.end()


@pytest.mark.linux  # `sudo comanda service install` writes a unit of systemd
def test_a_store_stands_in_the_lines_of_the_readme(machines: tuple[Machine, Machine]) -> None:
    hub, till = machines
    _, setting_up, joining, afterwards = section().values()
    *before, pairing = setting_up
    said = [hub.types(line) for line in before]
    token = said[1].strip()
    (code,) = re.findall(r"^(\w{4}-\w{4}-\w{4}) ", hub.types(pairing), re.MULTILINE)
    till.put["K7QM-2XPD-9HTR"] = code
    for line in joining:
        till.types(line)
    until(lambda: till.link().get("state") == "up")
    till.writes("mesa-1")
    until(lambda: hub.orders() == ["mesa-1"])

    hub.service_of().stop(signal.SIGKILL)
    hub.service_of().start()
    assert hub.orders() == ["mesa-1"]
    until(lambda: till.link().get("state") == "up")

    backups = hub.folder / "comanda-data" / "backups"
    seen = set(os.listdir(backups)) if backups.is_dir() else set()
    until(lambda: bool(made_since(backups, seen)))
    copy = made_since(backups, seen)[0]
    revoke, stop, restore, start, doctor = afterwards
    hub.types(revoke)
    until(lambda: till.link()["state"] == "paused")
    assert "4003 the token was revoked" in str(till.link()["last_error"])
    till.writes("mesa-2")  # which waits: nobody works less for it
    hub.types(stop)
    hub.put[restore.rpartition("/")[2]] = copy
    hub.types(restore)
    hub.types(start)
    assert hub.orders() == ["mesa-1"]
    rows = map(json.loads, hub.comanda("token", "list", "--json").splitlines())
    assert {row["terminal_id"]: row["state"] for row in rows} == {"caixa-1": "live", "caixa-2": "revoked"}
    found = json.loads(hub.comanda(*doctor.split()[1:], "--json", status=3))["findings"]
    assert "node_away" in {one["code"] for one in found if one["about"] == "caixa-2"}
    found = json.loads(till.comanda(*doctor.split()[1:], "--json", status=4))["findings"]
    assert "link_refused" in {one["code"] for one in found}
    assert token not in hub.service_of().log.read_text()


SUDO_LOOKS_IN = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
"""The path of a program behind sudo (Debian's `secure_path`), whatever the person's own is."""


def test_sudo_finds_what_the_readme_runs_with_it(tmp_path: Path) -> None:
    (link,), *others = section().values()
    *command, folder = shlex.split(link.replace("$PWD", str(tmp_path)))
    assert folder.rstrip("/") in SUDO_LOOKS_IN
    program = tmp_path / ".venv" / "bin" / "comanda"
    assert f"python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/{program.name}" in README
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(sysconfig.get_path("scripts")) / "comanda")
    (tmp_path / "bin").mkdir()
    subprocess.run([*command[1:], str(tmp_path / "bin")], check=True)
    run = {line.split()[1] for line in chain(*others) if line.startswith("sudo ")}
    path = os.pathsep.join([str(tmp_path / "bin"), *SUDO_LOOKS_IN])
    assert [name for name in run if shutil.which(name, path=path) is None] == []


def made_since(folder: Path, seen: set[str]) -> list[str]:
    """The copies that a node made there since, the oldest first."""
    names = os.listdir(folder) if folder.is_dir() else []
    return [copy.name for copy in copies(names) if copy.name not in seen]
