"""The server's side of a WebSocket's handshake, for what stands between a client and a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from node.conformance.wire import accept_key, read_head

if TYPE_CHECKING:
    import trio


@frozen
class Request:
    """headers: by name, in small letters. rest: bytes that came behind the head."""

    path: str
    headers: dict[str, str]
    rest: bytes

    @property
    def welcome(self) -> bytes:
        """The answer that makes a WebSocket of it. Raises KeyError where it asks for none."""
        accepted = f"Sec-WebSocket-Accept: {accept_key(self.headers['sec-websocket-key'])}"
        return f"HTTP/1.1 101 -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accepted}\r\n\r\n".encode()


async def asked(stream: trio.abc.ReceiveStream) -> Request:
    """What somebody who dialled asks for."""
    head, rest = await read_head(stream)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(first.split(" ")[1], headers, rest)
