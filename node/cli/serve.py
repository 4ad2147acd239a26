"""`comanda serve`: run a node."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import click
import trio

from node.cli.output import say
from node.config.reading import NAME, find, load
from node.config.sections import Config, NodeSection
from node.errors import ComandaError, ConfigError
from storage.sqlite.database import StorageError

LINK_TOKEN = "COMANDA_LINK_TOKEN"
"""Environment variable with the token this node shows to the nodes it dials."""

UNPROTECTED = (
    f"sem {NAME}, só os padrões: um pedido pago pode voltar atrás ou ser excluído, e valor pago e pontos não somam "
    f"(`comanda init` escreve as regras) / no {NAME}, only defaults: a paid order may go back or be deleted, and "
    "amounts paid and points do not add up (`comanda init` writes the rules)"
)
"""What is said where there is no configuration."""


@click.command()
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help=f"Arquivo TOML. / TOML file.  [{NAME}]"
)
@click.option("--host", help="Endereço. / Address to listen on.  [localhost]")
@click.option("--port", type=click.IntRange(0, 65535), help="Porta; 0 escolhe uma livre. / 0 picks one.  [8001]")
@click.option("--data", help="Diretório de dados. / Data directory.  [comanda-data]")
@click.option("--id", "node_id", help="Nome deste nó. / This node's id.")
@click.option("--upstream", metavar="URL", help="Nó acima (ws://host:porta). / The node above, which grants locks.")
@click.option("--peer", "peers", metavar="URL", multiple=True, help="Nó ao lado; repetível. / A node side by side.")
@click.option("--engine", type=click.Choice(["y_py", "pycrdt"]), help="Motor CRDT. / CRDT engine.  [y_py]")
@click.option("--tls-cert", metavar="FILE", help="Certificado (PEM): HTTPS e WSS. / Certificate: HTTPS and WSS.")
@click.option("--tls-key", metavar="FILE", help="A chave dele. / Its key.")
@click.option("--insecure", is_flag=True, default=None, help="Sem tokens fora do loopback. / No tokens needed.")
@click.option("--verbose", is_flag=True, help="Mostra cada conexão. / Log every connection.")
def serve(
    config_file: Path | None,
    host: str | None,
    port: int | None,
    data: str | None,
    node_id: str | None,
    upstream: str | None,
    peers: tuple[str, ...],
    engine: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    insecure: bool | None,
    verbose: bool,
) -> None:
    """Roda um nó até SIGTERM. / Run a node until SIGTERM."""
    from node.runtime.app import Started
    from node.runtime.app import serve as run
    from node.runtime.logs import configure

    configure(verbose=verbose)

    def started(node: Started) -> None:
        for url in node.urls:
            say(f"{node.node_id} {url}/ws/{{terminal_id}}?type={{pos|kds|waiter|monitor}}")
        say(f"configuração / configuration: {found}" if found is not None else UNPROTECTED)
        if node.open:
            say("sem tokens: qualquer programa desta máquina pode conectar / open: no token needed")
        sys.stdout.flush()

    found = config_file or find(Path(data or NodeSection().data))
    config = Config()
    try:
        config = load(found) if found is not None else config
        config = config.with_flags(host=host, port=port, data=data, id=node_id, engine=engine, insecure=insecure)
        config = config.with_links(upstream, peers, os.environ.get(LINK_TOKEN))
        config = config.with_tls(tls_cert, tls_key)
        if config.listen and (host is not None or port is not None):
            raise ConfigError("--host and --port do not go with the [[listen]] of the configuration")
        config.check()
        trio.run(partial(run, config, started))
    except (ComandaError, StorageError, OSError, ExceptionGroup) as error:
        raise _cannot_start(error, f"{host or config.node.host}:{port or config.node.port}") from error


class Misled(click.ClickException):
    """The node was told what cannot be."""

    exit_code = 2


def _cannot_start(error: Exception, address: str) -> Exception:
    """Why a node cannot start, as one sentence; status 2 where what it was told is wrong. Else the error itself.

    address: where it listens.
    """
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, ComandaError | StorageError):
        said = str(error)
    elif isinstance(error, OSError):
        said = f"{address}: {error}" if error.filename is None else f"{error.filename}: {error.strerror}"
    else:
        return error
    refused = Misled(said) if isinstance(error, ConfigError) else click.ClickException(said)
    return refused
