"""`comanda service`: a node that the system starts at boot, and again when it fails; systemd also when it hangs."""

from __future__ import annotations

import os
import sysconfig
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.installing import MANAGERS, start
from node.cli.output import say
from node.cli.settings import Misled, settings_options
from node.cli.systemd_unit import Unit
from node.config.sources import FLAGS, settings
from node.errors import ConfigError
from storage.system import PROGRAM_SUFFIX, SERVICE_MANAGER, make_folder, owner, user

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group()
def service() -> None:
    """Serviço do sistema: inicia com a máquina. / A service of the system: it starts at boot."""


def unit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the unit says: the flags of `serve`, and who runs it. The command gets `unit`, and `data`, the data
    directory."""

    @settings_options
    @click.option("--user", help="Quem roda o nó. / Who runs the node.  [the data directory's owner]")
    @wraps(command)
    def told(config_file: Path | None, flags: dict[tuple[str, str], Any], user: str | None, **options: Any) -> Any:
        try:
            unit, directory = described(config_file, flags, user)
            return command(unit=unit, data=directory, **options)
        except ConfigError as error:
            raise Misled(str(error)) from error

    return told


def described(config_file: Path | None, flags: dict[tuple[str, str], Any], user: str | None) -> tuple[Unit, Path]:
    """The unit of a node that runs as `comanda serve` with these flags would here, and its data directory.

    Raises ConfigError.

    The environment of whoever asks is not the service's, so it says nothing.
    """
    program = Path(sysconfig.get_path("scripts")) / f"comanda{PROGRAM_SUFFIX}"
    if not program.is_file():
        raise ConfigError(f"{program} is not there: install Comanda, a service cannot run from its sources")
    told = settings({}, config_file, flags)
    config = told.config.check()
    directory = Path(config.node.data).resolve()  # systemd passes over a path with `..`
    command = [str(program), "serve", "--data", str(directory)]
    if told.file is not None:
        command += ["--config", str(told.file.absolute())]
    files = [Path(name).absolute() for place, name in flags.items() if place[0] == "tls"]
    for place, value in flags.items():
        if place != ("node", "data"):
            command += _words(place, value)
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
        reads=files,
    )
    return unit, directory


def _words(place: tuple[str, str], value: Any) -> list[str]:
    """A flag as it is typed. Files have to be found from anywhere."""
    if value is True:
        return [FLAGS[place]]
    values = value if isinstance(value, list) else [Path(value).absolute() if place[0] == "tls" else value]
    return [word for one in values for word in (FLAGS[place], str(one))]


def _owner(directory: Path) -> str:
    """Who runs the node of a data directory: whose it is; where there is none yet, who types, also behind sudo."""
    try:
        return owner(directory)
    except (OSError, KeyError):
        return os.environ.get("SUDO_USER") or user()


@service.command("print")
@unit_options
@click.option(
    "--for",
    "manager",
    type=click.Choice(tuple(MANAGERS)),
    default=SERVICE_MANAGER,
    show_default=True,
    help="De qual sistema. / Of which system.",
)
def print_unit(unit: Unit, data: Path, manager: str) -> None:
    """Mostra a unidade. / Show the unit, the property list or the task.

    Nada é instalado. / Nothing is installed.

    \b
    comanda service print --data /srv/comanda
    """
    for line in MANAGERS[manager].text(unit).splitlines():
        say(line)


@service.command()
@unit_options
@click.option("--folder", type=click.Path(path_type=Path), help="Onde fica o arquivo. / Where the file goes.")
def install(unit: Unit, data: Path, folder: Path | None) -> None:
    """Instala e inicia o serviço (root). / Install and start the service (as root, as administrator).

    Ele volta com a máquina, e quando cai ou trava. / It comes back at boot, and when it fails or hangs.

    \b
    sudo comanda service install --data /srv/comanda
    sudo comanda service install --data /srv/comanda --host 10.0.0.5 --tls-cert hub.pem --tls-key hub.key
    """
    manager = MANAGERS[SERVICE_MANAGER]
    manager.text(unit)  # refused before anything is made
    try:
        _make(data, unit.user)
        file = start(manager, unit, folder or manager.folder or data)
    except OSError as error:
        raise click.ClickException(f"{error.filename or data}: {error.strerror}") from error
    say(f"{file}: {unit.user}, {data}")
    say(manager.look)


def _make(directory: Path, user: str) -> None:
    """Make a data directory that is not there; it is the user's. Raises OSError and ConfigError."""
    try:
        make_folder(directory, user)
    except KeyError as error:
        raise ConfigError(f"{user} is no user of this machine") from error
