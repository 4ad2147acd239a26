"""The documents that describe the node to programs, each made when it is first asked for."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

import orjson

from node.runtime.net.http import Response


@cache
def _made(name: str) -> bytes:
    """What makes a document is loaded with it: few nodes are ever asked."""
    if name == "openapi":
        from node.runtime.api.openapi import openapi

        return orjson.dumps(openapi(version("comanda")))
    from node.wire.description.asyncapi import asyncapi
    from node.wire.description.schemas import document

    return orjson.dumps(asyncapi(version("comanda")) if name == "asyncapi" else document())


def described(name: str) -> Response:
    """name: asyncapi, schemas or openapi."""
    return Response(200, _made(name))
