"""Asking a running node, and the options that say which one.

On the node's own machine the control socket of its data directory answers, which needs no token. A node elsewhere is
asked at its URL, with the token of the environment.
"""

from __future__ import annotations

import os
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import httpx

from node.asking import Unanswered, Unreached, ask_here, object_of
from node.asking import pages as pages_of
from node.cli.addresses import ASKED
from node.cli.output import say
from node.cli.secure import secure_options, secured
from node.config.sections import NodeSection
from node.control import is_there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "COMANDA_TOKEN"
"""Environment variable with the token that a node is asked with at a URL."""

DATA = "COMANDA_NODE_DATA"
"""Environment variable with the data directory, of the node itself as of those who ask it."""

LONG_S = 3_600.0
"""How long an answer may take that copies or archives a database."""

DEFAULT_URL = "http://localhost:8001"
CONTROL = "control:"
"""What stands before a data directory where its control socket is meant, in the place of a URL."""


class NoNode(click.ClickException):
    """Nobody listens there."""


def node_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--data` and `--url`, with what `secure_options` adds. The command gets `url`: an `http://host:port`, or
    `control:` and a data directory.

    Without either it is the control socket of the default data directory, else the default URL.
    """

    @click.option("--data", type=click.Path(path_type=Path), help="Nó desta máquina. / A node here.  [comanda-data]")
    @click.option("--url", type=ASKED, help=f"Um nó em outro lugar. / A node elsewhere.  [{DEFAULT_URL}]")
    @secure_options
    @wraps(command)
    def asked(*arguments: Any, data: Path | None, url: str | None, **more: Any) -> Any:
        if data is not None and url is not None:
            raise click.UsageError("--data ou / or --url")
        return command(*arguments, url=where_asked(data, url), **more)

    return asked


def where_asked(data: Path | None, url: str | None) -> str:
    """Where a command asks, as `node_option` says."""
    if url is not None:
        return url
    directory = Path(os.environ.get(DATA) or NodeSection().data) if data is None else data
    if data is None and not is_there(directory):
        return DEFAULT_URL
    return f"{CONTROL}{directory}"


def ask(url: str, path: str, method: str = "GET", timeout_s: float = 30.0) -> dict[str, Any]:
    """The JSON object with which a running node answers.

    url: as `node_option` gives it. path: with its query. Raises ClickException where the node answers with another
    status than 200 or with something else than JSON; NoNode where it cannot be reached.
    """
    try:
        if url.startswith(CONTROL):
            return ask_here(Path(url.removeprefix(CONTROL)), path, method, timeout_s)
        token = os.environ.get(TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        trust = secured().context() if url.startswith("https:") else True
        place = url.rstrip("/") + path
        return object_of(httpx.request(method, place, headers=headers, timeout=timeout_s, verify=trust), url)
    except Unreached as error:
        raise NoNode(str(error)) from error
    except Unanswered as error:
        raise click.ClickException(str(error)) from error
    except (httpx.ConnectError, OSError) as error:
        raise NoNode(f"{url}: {error}") from error
    except (httpx.HTTPError, ValueError) as error:
        raise click.ClickException(f"{url}: {error}") from error


def pages(url: str, path: str, **query: object) -> Iterator[dict[str, Any]]:
    """As of `node.asking`. Raises as `ask` does."""
    return pages_of(partial(ask, url), path, **query)


def say_zone(said: dict[str, Any] | None) -> None:
    """Say in which zone the node read a time that names none. said: what its answer says of the time."""
    zone = (said or {}).get("assumed_zone")
    if zone is not None:
        say(f"sem fuso: lido em {zone} / without an offset: read as {zone}", err=True)
