"""`comanda service`: a node that systemd starts at boot, and again when it fails or hangs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.output import say
from node.cli.settings import Misled
from node.cli.systemd_unit import Unit
from node.config.reading import NAME
from node.config.sources import settings
from node.errors import ConfigError
from storage.system import make_folder, owner, user

if TYPE_CHECKING:
    from collections.abc import Callable

UNIT = "comanda.service"
FOLDER = Path("/etc/systemd/system")


@click.group()
def service() -> None:
    """Serviço do systemd: inicia com a máquina. / A systemd service: it starts at boot."""


def unit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the unit says. The command gets `unit`, and `data`, the data directory."""

    @click.option(
        "--config", "config_file", type=click.Path(path_type=Path), help=f"Arquivo TOML. / TOML file.  [{NAME}]"
    )
    @click.option("--data", help="Diretório de dados. / Data directory.  [comanda-data]")
    @click.option("--user", help="Quem roda o nó. / Who runs the node.  [the data directory's owner]")
    @wraps(command)
    def told(config_file: Path | None, data: str | None, user: str | None, **options: Any) -> Any:
        try:
            unit, directory = described(config_file, data, user)
            return command(unit=unit, data=directory, **options)
        except ConfigError as error:
            raise Misled(str(error)) from error

    return told


def described(config_file: Path | None, data: str | None, user: str | None) -> tuple[Unit, Path]:
    """The unit of a node that runs as `comanda serve` would here, and its data directory. Raises ConfigError.

    The environment of whoever asks is not the service's, so it says nothing.
    """
    program = Path(sysconfig.get_path("scripts")) / "comanda"
    if not program.is_file():
        raise ConfigError(f"{program} is not there: install Comanda, a service cannot run from its sources")
    told = settings({}, config_file, {} if data is None else {("node", "data"): data})
    config = told.config.check()
    directory = Path(config.node.data).resolve()  # systemd passes over a path with `..`
    command = [str(program), "serve", "--data", str(directory)]
    if told.file is not None:
        command += ["--config", str(told.file.absolute())]
    folders = [(directory / config.backup.folder).resolve()]
    if config.backup.second_folder is not None:
        folders.append(Path(config.backup.second_folder).resolve())
    unit = Unit(
        command=command,
        user=user or _owner(directory),
        working=Path.cwd(),
        writes=[directory],
        may_be_away=[folder for folder in folders if not folder.is_relative_to(directory)],
        ports=[address.port for address in config.addresses()],
    )
    return unit, directory


def _owner(directory: Path) -> str:
    """Who runs the node of a data directory: whose it is; where there is none yet, who types, also behind sudo."""
    try:
        return owner(directory)
    except (OSError, KeyError):
        return os.environ.get("SUDO_USER") or user()


@service.command("print")
@unit_options
def print_unit(unit: Unit, data: Path) -> None:
    """Mostra a unidade. / Show the unit.

    Nada é instalado. / Nothing is installed.

    \b
    comanda service print --data /srv/comanda
    """
    for line in unit.text().splitlines():
        say(line)


@service.command()
@unit_options
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=FOLDER,
    show_default=True,
    help="Onde ficam as unidades. / Where units are.",
)
def install(unit: Unit, data: Path, folder: Path) -> None:
    """Instala e inicia o serviço (root). / Install and start the service (as root).

    Ele volta com a máquina, e quando cai ou trava. / It comes back at boot, and when it fails or hangs.

    \b
    sudo comanda service install --data /srv/comanda
    """
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        raise click.ClickException("sem systemd nesta máquina / no systemd on this machine")
    text = unit.text()
    try:
        _make(data, unit.user)
        (folder / UNIT).write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{error.filename or data}: {error.strerror}") from error
    for words in (["daemon-reload"], ["enable", UNIT], ["restart", UNIT]):
        done = subprocess.run([systemctl, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise click.ClickException(f"systemctl {' '.join(words)}: {done.stderr.strip()}")
    say(f"{folder / UNIT}: {unit.user}, {data}")
    say(f"systemctl status {UNIT}; journalctl -u {UNIT}")


def _make(directory: Path, user: str) -> None:
    """Make a data directory that is not there; it is the user's. Raises OSError and ConfigError."""
    try:
        make_folder(directory, user)
    except KeyError as error:
        raise ConfigError(f"{user} is no user of this machine") from error
