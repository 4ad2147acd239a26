"""The page at `/`: static files shipped beside this package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from node.runtime.net.http import Response, error_response

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""What is served, by the end of its name; nothing else of a folder is."""

FOLDERS = {"ui": ("ui",), "client": ("client", "js")}
"""The first part of the address, and which folder of the package it is."""

BUILT = "ui/vendor/package-lock.json"
"""Stands there once `node/ui/build_hook.py` was through."""

HIDDEN = ("node_modules",)


@cache
def _served() -> Mapping[str, bytes]:
    """Every file by its address without the leading slash, so that an address never becomes a path."""
    found: dict[str, bytes] = {}
    for address, folder in FOLDERS.items():
        found.update(_below(files("node").joinpath(*folder), address))
    return found


def _below(folder: Traversable, address: str) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        return
    for one in folder.iterdir():
        if one.is_dir() and one.name not in HIDDEN:
            yield from _below(one, f"{address}/{one.name}")
        elif _type(one.name) or f"{address}/{one.name}" == BUILT:
            yield f"{address}/{one.name}", one.read_bytes()


def _type(name: str) -> str | None:
    return TYPES.get(name[name.rfind(".") :])


def page() -> Response:
    """What `/` shows; a sentence where the page was installed without what it is made with."""
    return _file("ui/index.html" if BUILT in _served() else "ui/missing.html")


def page_file(folder: str, parts: list[str]) -> Response:
    """One of the page's files. parts: of the address, decoded."""
    return _file("/".join([folder, *parts]))


def _file(address: str) -> Response:
    kind = _type(address)
    if kind is None or address not in _served():
        return error_response(404, f"the page has no file {address[:200]}")
    return Response(200, _served()[address], f"{kind}; charset=utf-8")
