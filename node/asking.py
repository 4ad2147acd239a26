"""Asking the node of a data directory, through its control socket. It needs no token."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson

from node.control import door, is_there
from node.printable import printable
from storage.system import unix_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

PAGE = 500
"""What is asked for at once of an answer that comes in pages."""


class Unanswered(Exception):
    """A node answers with another status than 200, with something else than JSON, or breaks off."""


class Unreached(Unanswered):
    """Nobody listens there."""


def ask_here(directory: Path, path: str, method: str = "GET", timeout_s: float = 30.0) -> dict[str, Any]:
    """The JSON object with which it answers. path: with its query. Raises Unanswered."""
    import httpx  # a node that is never asked for this has none

    try:
        if not is_there(directory):
            raise Unreached(f"nenhum nó em / no node runs in {directory}")
        with door(directory) as way:
            if way.address is not None:
                _knock(way.address)
            # No TLS is spoken there, and to make a context for it takes longer than most answers.
            transport = httpx.HTTPTransport(uds=way.address, verify=False)
            host = "localhost" if way.address is not None else f"127.0.0.1:{way.port}"
            with httpx.Client(transport=transport, headers=way.headers) as client:
                answer = client.request(method, f"http://{host}{path}", timeout=timeout_s)
        return object_of(answer, str(directory))
    except (httpx.ConnectError, OSError) as error:
        raise Unreached(f"{directory}: {error}") from error
    except (httpx.HTTPError, ValueError) as error:
        raise Unanswered(f"{directory}: {error}") from error


def object_of(answer: httpx.Response, place: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises Unanswered, and ValueError for what is no JSON."""
    body: dict[str, Any] = orjson.loads(answer.content)  # which takes no half of a surrogate pair
    if answer.status_code != 200:
        raise Unanswered(f"{place}: {answer.status_code} {printable(str(body.get('error')))}")
    return body


def _knock(address: str) -> None:
    """Raises OSError where nobody listens there: httpcore does not close a UNIX socket that it could not connect."""
    with unix_socket(socket.SOCK_STREAM) as knocking:
        knocking.connect(address)


def pages(ask: Callable[[str], dict[str, Any]], path: str, **query: object) -> Iterator[dict[str, Any]]:
    """The pages of an answer, from the first one on, each asked for when it is wanted.

    path: without a query. query: its parameters; what is None is left out. Raises as `ask` does.
    """
    after: object = None
    while True:
        said = {name: value for name, value in {**query, "limit": PAGE, "after": after}.items() if value is not None}
        page = ask(f"{path}?{urlencode(said)}")
        yield page
        after = page.get("next")
        if after is None:
            return
