"""Passing a request on to another process, and all bytes after it both ways: the other one answers, and judges."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio
from attrs import field

from crdt.classes import frozen
from node.control import SECRET
from node.runtime.net.reading import READ_BYTES
from node.runtime.net.tls import TlsError, TlsStream, Trust, connect_tls

if TYPE_CHECKING:
    from node.runtime.net.http import HttpConnection, Request

PASSED = "comanda-passed"
"""The header of a request that was passed on: nobody passes it on once more."""

OFFICE = "comanda-office"
"""The header with the token of a process of head office that passes on what its machine's user asks."""

CONNECT_S = 5.0

Stream = trio.SocketStream | TlsStream


class NotPassed(Exception):
    """The other process cannot be reached."""


@frozen
class Way:
    """To another process. address: ws://host:port, or wss:// with how it is recognised. token: that of this process,
    where it is its machine's user who asks; "" for anybody else, whose own token is passed on."""

    address: str
    trust: Trust | None = None
    token: str = field(default="", repr=False)


async def pass_on(http: HttpConnection, request: Request, way: Way) -> None:
    """Until either side has ended. Raises NotPassed where nothing has been passed on."""
    there = await _opened(way)
    try:
        await there.send_all(_head(request, way.token) + http.h11.trailing_data[0])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_copy, http.stream, there)
            await _copy(there, http.stream)
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(there)


async def _opened(way: Way) -> Stream:
    parts = urlsplit(way.address)
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        with trio.fail_after(CONNECT_S):
            stream = await trio.open_tcp_stream(parts.hostname, port)
            if way.trust is None:
                return stream
            try:
                return await connect_tls(stream, parts.hostname, way.trust)
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
    except (OSError, TlsError, trio.TooSlowError, trio.BrokenResourceError) as error:
        raise NotPassed(f"{way.address}: {error or 'no answer in time'}") from error


def _head(request: Request, token: str) -> bytes:
    """The request as it came, marked; the last one of its connection, as another one may mean another realm."""
    headers = {name: value for name, value in request.headers.items() if name not in (SECRET, PASSED, OFFICE)}
    if "upgrade" not in headers:
        headers["connection"] = "close"
    headers[PASSED] = "1"
    if token:
        headers[OFFICE] = token
    lines = [f"{request.method} {request.target} HTTP/{request.http_version}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _copy(source: Stream, target: Stream) -> None:
    """All that comes, and its end."""
    try:
        while received := await source.receive_some(READ_BYTES):
            await target.send_all(received)
        await target.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
