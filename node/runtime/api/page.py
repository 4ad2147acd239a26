"""The page at `/`: static files shipped beside this package, no build step."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from node.runtime.net.http import Response

TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}


@cache
def _file(name: str) -> bytes:
    return (files("node") / "ui" / name).read_bytes()


def page(name: str) -> Response:
    """One of the page's files."""
    return Response(200, _file(name), f"{TYPES[name.rpartition('.')[2]]}; charset=utf-8")
