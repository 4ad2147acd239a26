"""Asking a running node over HTTP."""

from __future__ import annotations

import os
from typing import Any

import click
import httpx

TOKEN = "COMANDA_TOKEN"


url_option = click.option("--url", default="http://localhost:8001", show_default=True, help="O nó. / The node.")


def ask(url: str, path: str, method: str = "GET", timeout_s: float = 30.0) -> dict[str, Any]:
    """JSON of a running node; its token comes from the environment. Raises ClickException."""
    token = os.environ.get(TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.request(method, url.rstrip("/") + path, headers=headers, timeout=timeout_s)
        body: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise click.ClickException(f"{url}: {error}") from error
    if answer.status_code != 200:
        raise click.ClickException(f"{url}: {answer.status_code} {body.get('error')}")
    return body
