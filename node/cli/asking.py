"""Asking a running node, and the options that say which one.

On the node's own machine the control socket of its data directory answers, which needs no token. A node elsewhere is
asked at its URL, with the token of the environment.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click
import httpx
import orjson

from node.cli.addresses import ASKED
from node.cli.output import say
from node.cli.secure import secure_options, secured
from node.config.sections import NodeSection
from node.control import door, is_there
from node.printable import printable
from storage.system import unix_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "COMANDA_TOKEN"
"""Environment variable with the token that a node is asked with at a URL."""

DATA = "COMANDA_NODE_DATA"
"""Environment variable with the data directory, of the node itself as of those who ask it."""

PAGE = 500
"""What is asked for at once of an answer that comes in pages."""

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
        with ExitStack() as opened:
            if url.startswith(CONTROL):
                directory = Path(url.removeprefix(CONTROL))
                if not is_there(directory):
                    raise NoNode(f"nenhum nó em / no node runs in {directory}")
                way = opened.enter_context(door(directory))
                if way.address is not None:
                    _knock(way.address)
                transport = httpx.HTTPTransport(uds=way.address)
                client = opened.enter_context(httpx.Client(transport=transport, headers=way.headers))
                host = "localhost" if way.address is not None else f"127.0.0.1:{way.port}"
                answer = client.request(method, f"http://{host}{path}", timeout=timeout_s)
            else:
                token = os.environ.get(TOKEN)
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                trust = secured().context() if url.startswith("https:") else True
                place = url.rstrip("/") + path
                answer = httpx.request(method, place, headers=headers, timeout=timeout_s, verify=trust)
        body: dict[str, Any] = orjson.loads(answer.content)  # which takes no half of a surrogate pair
    except (httpx.ConnectError, OSError) as error:
        raise NoNode(f"{url}: {error}") from error
    except (httpx.HTTPError, ValueError) as error:
        raise click.ClickException(f"{url}: {error}") from error
    if answer.status_code != 200:
        raise click.ClickException(f"{url}: {answer.status_code} {printable(str(body.get('error')))}")
    return body


def _knock(address: str) -> None:
    """Raises OSError where nobody listens there: httpcore does not close a UNIX socket that it could not connect."""
    with unix_socket(socket.SOCK_STREAM) as knocking:
        knocking.connect(address)


def pages(url: str, path: str, **query: object) -> Iterator[dict[str, Any]]:
    """The pages of an answer, from the first one on, each asked for when it is wanted.

    path: without a query. query: its parameters; what is None is left out. Raises as `ask` does.
    """
    after: object = None
    while True:
        said = {name: value for name, value in {**query, "limit": PAGE, "after": after}.items() if value is not None}
        page = ask(url, f"{path}?{urlencode(said)}")
        yield page
        after = page.get("next")
        if after is None:
            return


def say_zone(said: dict[str, Any] | None) -> None:
    """Say in which zone the node read a time that names none. said: what its answer says of the time."""
    zone = (said or {}).get("assumed_zone")
    if zone is not None:
        say(f"sem fuso: lido em {zone} / without an offset: read as {zone}", err=True)
