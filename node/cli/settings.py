"""What a command is told of the configuration: its options, its file and the environment."""

from __future__ import annotations

import os
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crdt.engine import DEFAULT, ENGINES
from node.cli.addresses import DIALLED, LISTENING
from node.config.reading import NAME
from node.config.sources import FLAGS, Settings, settings
from node.config.upkeep import FORMATS
from node.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


class Misled(click.ClickException):
    """A command got settings that cannot be."""

    exit_code = 2


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags that are settings. The command gets `config_file`, and `flags` as `settings` takes them."""

    @click.option(
        "--config", "config_file", type=click.Path(path_type=Path), help=f"Arquivo TOML. / TOML file.  [{NAME}]"
    )
    @click.option("--host", type=LISTENING, help="Endereço. / Address to listen on.  [localhost]")
    @click.option("--port", type=click.IntRange(0, 65535), help="Porta; 0 escolhe uma livre. / 0 picks one.  [8001]")
    @click.option("--data", help="Diretório de dados. / Data directory.  [comanda-data]")
    @click.option("--id", help="Nome deste nó. / This node's id.")
    @click.option("--upstream", type=DIALLED, help="Nó acima (ws://host:porta). / The node above; it grants locks.")
    @click.option("--peer", type=DIALLED, multiple=True, help="Nó ao lado; repetível. / A node side by side.")
    @click.option("--engine", type=click.Choice(ENGINES), help=f"Motor CRDT. / CRDT engine.  [{DEFAULT}]")
    @click.option("--tls-cert", metavar="FILE", help="Certificado (PEM): HTTPS e WSS. / Certificate: HTTPS and WSS.")
    @click.option("--tls-key", metavar="FILE", help="A chave dele. / Its key.")
    @click.option("--tls-client-ca", metavar="FILE", help="Autoridades de quem conecta. / Of those who connect.")
    @click.option("--log-format", type=click.Choice(FORMATS), help="Do registro. / Of the log.  [auto]")
    @click.option("--verbose", is_flag=True, default=None, help="Mostra cada conexão. / Log every connection.")
    @click.option("--insecure", is_flag=True, default=None, help="Sem tokens fora do loopback. / No tokens needed.")
    @wraps(command)
    def told(config_file: Path | None, **options: Any) -> Any:
        given = {place: options.pop(flag.removeprefix("--").replace("-", "_")) for place, flag in FLAGS.items()}
        flags = {place: value for place, value in given.items() if value not in (None, ())}
        flags = {place: list(value) if isinstance(value, tuple) else value for place, value in flags.items()}
        return command(config_file=config_file, flags=flags, **options)

    return told


def settings_in(data: Path) -> Settings:
    """The settings of the node of a data directory, as a start without flags would read them. Raises ConfigError."""
    return settings(os.environ, flags={("node", "data"): str(data)})


def settings_told(config_file: Path | None, flags: dict[tuple[str, str], Any]) -> Settings:
    """The settings of a command with `settings_options`. Raises Misled."""
    try:
        return settings(os.environ, config_file, flags)
    except ConfigError as error:
        raise Misled(str(error)) from error
