"""The page at `/`: static files shipped beside this package, no build step."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from node.runtime.net.http import Response

POLICY = "default-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:; frame-ancestors 'none'"


@cache
def _html() -> bytes:
    return (files("node") / "ui" / "index.html").read_bytes()


def page() -> Response:
    return Response(
        200,
        _html(),
        "text/html; charset=utf-8",
        (("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff")),
    )
