"""Asking a running node over HTTP, and the option that says which one."""

from __future__ import annotations

import os
from typing import Any

import click
import httpx
import orjson

from node.cli.output import say
from node.printable import printable

TOKEN = "COMANDA_TOKEN"
"""Environment variable with the token that a running node is asked with."""

LONG_S = 3_600.0
"""How long an answer may take that copies or archives a database."""

url_option = click.option("--url", default="http://localhost:8001", show_default=True, help="O nó. / The node.")


def ask(url: str, path: str, method: str = "GET", timeout_s: float = 30.0) -> dict[str, Any]:
    """The JSON object with which a running node answers.

    url: `http://host:port`. path: with its query. Raises ClickException where the node cannot be reached, or answers
    with another status than 200 or with something else than JSON.
    """
    token = os.environ.get(TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.request(method, url.rstrip("/") + path, headers=headers, timeout=timeout_s)
        body: dict[str, Any] = orjson.loads(answer.content)  # which takes no half of a surrogate pair
    except (httpx.HTTPError, ValueError) as error:
        raise click.ClickException(f"{url}: {error}") from error
    if answer.status_code != 200:
        raise click.ClickException(f"{url}: {answer.status_code} {printable(str(body.get('error')))}")
    return body


def say_zone(said: dict[str, Any] | None) -> None:
    """Say in which zone the node read a time that names none. said: what its answer says of the time."""
    zone = (said or {}).get("assumed_zone")
    if zone is not None:
        say(f"sem fuso: lido em {zone} / without an offset: read as {zone}", err=True)
