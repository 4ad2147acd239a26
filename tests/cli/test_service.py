"""`comanda service`: what the unit says, and that systemd takes it."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from node.cli import main
from node.cli.systemd_unit import NOT_OF_A_PROGRAM, TEMPLATE, Unit
from node.errors import ConfigError
from tests.processes import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

ME = pwd.getpwuid(os.getuid()).pw_name

ODD = (" a", "b ", "%n", "$HOME", "${x}", 'q"q', "q'q", "back\\", "\\x41", "-", "são", ";", "#")
"""Names of folders that a unit's syntax could take for something else."""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """systemd takes no folder below /dev, where the other tests' are in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def program_in(folder: Path) -> Path:
    """systemd takes no program whose path has such characters."""
    return (folder.parent if set(folder.name) & set(NOT_OF_A_PROGRAM) else folder) / "bin"


def unit(*, root: Path = Path("/srv"), name: str = "comanda", ports: tuple[int, ...] = (8001,)) -> Unit:
    folder = root / name
    command = [str(program_in(folder)), "serve", "--data", str(folder)]
    return Unit(command, "comanda", folder, [folder], [folder / "stick"], ports)


def settings_of(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        missing("systemd-analyze")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


def run(*words: str) -> str:
    result = CliRunner().invoke(main, ["service", *words])
    assert result.exit_code == 0, result.output
    return result.output


# ------------------------------------------------------------------ the unit as systemd reads it


@pytest.mark.parametrize("name", ["plain", *ODD])
def test_systemd_takes_the_unit_whatever_folders_are_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    program = program_in(folder)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = tmp_path / "comanda.service"
    file.write_text(unit(root=tmp_path, name=name).text())
    done = analyze("verify", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    program.unlink()  # so it was that program it looked at
    assert "bin is not executable" in analyze("verify", str(file)).stderr


def test_the_unit_runs_nothing_that_a_small_system_lacks() -> None:
    """`kill`, for one, comes with procps, which a Debian need not have."""
    lines = re.findall(r"^Exec\w+=(.*)$", unit().text(), re.MULTILINE)
    assert {shlex.split(line)[0] for line in lines} == {"/srv/comanda/bin", "/bin/sh"}


def test_a_reload_hangs_up_the_node() -> None:
    """As systemd calls it: with MAINPID in the environment, on a process that says what it was sent."""
    (line,) = settings_of(unit().text(), "ExecReload")
    told = "import signal as s; s.pthread_sigmask(s.SIG_BLOCK, [1]); print(flush=True); print(s.sigwait([1]).name)"
    with subprocess.Popen([sys.executable, "-c", told], stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        node.stdout.readline()
        subprocess.run(shlex.split(line), env={"MAINPID": str(node.pid)}, check=True)
        assert node.stdout.read() == "SIGHUP\n"


def test_systemd_finds_the_unit_hardened(tmp_path: Path) -> None:
    file = tmp_path / "comanda.service"
    file.write_text(unit().text())
    done = analyze("security", "--offline=yes", "--threshold=20", str(file))
    assert done.returncode == 0, done.stdout
    file.write_text(re.sub(r"^(Protect|Restrict|System|Cap|Private|No).*$", "", unit().text(), flags=re.MULTILINE))
    assert analyze("security", "--offline=yes", "--threshold=20", str(file)).returncode != 0


@pytest.mark.parametrize("name", ["two\nUser=root", "\x1b[2J", "\u202e", "\udcff"])
def test_what_a_unit_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        unit(name=name).text()


@pytest.mark.parametrize("character", NOT_OF_A_PROGRAM)
def test_a_program_that_systemd_does_not_take_is_refused(character: str) -> None:
    with pytest.raises(ConfigError):
        Unit([f"/srv/a{character}b", "serve"], "comanda", Path("/srv"), []).text()


def test_only_a_port_of_the_system_takes_a_capability() -> None:
    for ports in ((8001,), (0,), (1024, 8001)):
        assert settings_of(unit(ports=ports).text(), "AmbientCapabilities") == [""]
    for ports in ((443,), (8001, 80)):
        text = unit(ports=ports).text()
        assert settings_of(text, "AmbientCapabilities") == ["CAP_NET_BIND_SERVICE"]
        assert settings_of(text, "CapabilityBoundingSet") == ["CAP_NET_BIND_SERVICE"]


def test_a_node_below_tmp_sees_its_files() -> None:
    assert settings_of(unit().text(), "PrivateTmp") == ["yes"]
    assert settings_of(unit(root=Path("/tmp/x")).text(), "PrivateTmp") == ["no"]


def test_it_waits_for_ready_is_watched_and_comes_back() -> None:
    for said in ("Type=notify", "WatchdogSec=60", "Restart=always", "StartLimitIntervalSec=0"):
        assert said in TEMPLATE.splitlines()


# ------------------------------------------------------------------ what it says of a node


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUDO_USER", raising=False)
    return tmp_path


def installed() -> str:
    return str(Path(sysconfig.get_path("scripts")) / "comanda")


def test_it_runs_what_serve_would_run_here(here: Path) -> None:
    text = run("print")
    assert settings_of(text, "ExecStart") == [f'"{installed()}" "serve" "--data" "{here}/comanda-data"']
    assert settings_of(text, "WorkingDirectory") == [f"{here}/"]
    assert settings_of(text, "User") == [ME]
    (here / "comanda.toml").write_text(
        '[node]\ndata = "dados"\nport = 443\n[backup]\nsecond_folder = "/media/usb"\nfolder = "/var/b"\n'
    )
    text = run("print")
    assert settings_of(text, "ExecStart") == [
        f'"{installed()}" "serve" "--data" "{here}/dados" "--config" "{here}/comanda.toml"'
    ]
    assert settings_of(text, "ReadWritePaths") == [f'"{here}/dados" "-/var/b" "-/media/usb"']
    assert settings_of(text, "AmbientCapabilities") == ["CAP_NET_BIND_SERVICE"]


def test_it_is_told_what_serve_is_told_and_finds_its_files_from_anywhere(here: Path) -> None:
    words = ["--host", "10.0.0.5", "--port", "443", "--tls-cert", "tls/a b.pem", "--tls-key", "/k.pem", "--verbose"]
    text = run("print", *words, "--peer", "ws://a:1", "--peer", "ws://b:1")
    (line,) = settings_of(text, "ExecStart")
    found = shlex.split(line)[4:]
    assert found[found.index("--tls-cert") + 1] == f"{here}/tls/a b.pem"
    assert found[found.index("--host") + 1] == "10.0.0.5"
    assert "--verbose" in found
    assert [found[place + 1] for place, word in enumerate(found) if word == "--peer"] == ["ws://a:1", "ws://b:1"]
    assert settings_of(text, "AmbientCapabilities") == ["CAP_NET_BIND_SERVICE"]
    assert CliRunner().invoke(main, ["service", "print", "--tls-key", "k.pem"]).exit_code == 2


def test_what_is_written_to_has_a_path_that_systemd_takes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "loja").mkdir()
    monkeypatch.chdir(here / "loja")
    Path("comanda.toml").write_text('[backup]\nfolder = "../copias"\nsecond_folder = "../usb/./a"\n')
    text = run("print", "--data", "../dados")
    assert settings_of(text, "ReadWritePaths") == [f'"{here}/dados" "-{here}/copias" "-{here}/usb/a"']


def test_what_is_printed_is_the_unit_and_nothing_else(here: Path) -> None:
    assert analyze("verify", str(_write(here, run("print")))).returncode == 0


def _write(folder: Path, text: str) -> Path:
    file = folder / "comanda.service"
    file.write_text(text)
    return file


def test_the_environment_of_who_asks_is_not_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMANDA_NODE_DATA", "/elsewhere")
    assert "/elsewhere" not in run("print")


def test_before_there_is_data_it_is_run_by_who_types_also_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "maria")
    assert settings_of(run("print"), "User") == ["maria"]
    assert settings_of(run("print", "--user", "joão"), "User") == ["joão"]
    Path("comanda-data").mkdir()
    assert settings_of(run("print"), "User") == [ME]


@pytest.mark.parametrize(
    "said", ["[node]\nprot = 1\n", "[node]\nport = 99999\n", "[backup]\nkeep = -1\n", "nonsense"]
)
def test_a_configuration_that_serve_refuses_is_refused(said: str) -> None:
    Path("comanda.toml").write_text(said)
    assert CliRunner().invoke(main, ["service", "print"]).exit_code == 2


# ------------------------------------------------------------------ install


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, *, fails: str = "nothing") -> Path:
    """A systemctl that writes down what it is told, and refuses one thing. Returns what it wrote."""
    said = folder / "said"
    fake = folder / "bin" / "systemctl"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> "{said}"\n[ "$1" != {fails} ] || {{ echo denied >&2; exit 1; }}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    return said


def test_install_writes_the_unit_and_starts_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = systemctl(here, monkeypatch)
    run("install", "--data", "loja/dados", "--folder", str(here), "--user", ME)
    assert said.read_text().splitlines() == ["daemon-reload", "enable comanda.service", "restart comanda.service"]
    assert (here / "comanda.service").read_text() == run("print", "--data", "loja/dados")
    assert (here / "loja/dados").stat().st_mode & 0o777 == 0o700


def test_what_goes_wrong_in_install_is_said_in_one_line(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl(here, monkeypatch, fails="enable")
    for words, wanted in (
        (["--folder", str(here)], "Error: systemctl enable comanda.service: denied"),
        (["--folder", str(here / "none")], f"Error: {here}/none/comanda.service: No such file or directory"),
        (["--user", "nobody-here"], "Error: nobody-here is no user of this machine"),
    ):
        result = CliRunner().invoke(main, ["service", "install", *words])
        assert result.exit_code in (1, 2)
        assert result.output.strip() == wanted
    monkeypatch.setenv("PATH", "/nowhere")
    assert "no systemctl" in CliRunner().invoke(main, ["service", "install"]).output
