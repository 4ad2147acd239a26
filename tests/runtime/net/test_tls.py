"""TLS at the listener and at the side that dials: who is recognised, who is not, and what the rude get.

That everything else of a connection is as it is in clear is held by the whole folder: see its `server`.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

import pytest
import trio

from node.runtime.net.client import ConnectError, connect
from node.runtime.net.listener import SPEAKS_TLS, ListenerLimits
from node.runtime.net.tls import HANDSHAKE_BYTES, NotTrusted, Session, Trust, bounded, connect_tls
from tests.authority import authority, make
from tests.runtime.rig import Raw, arrivals, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtime.rig import Server


async def plain(server: Server) -> Raw:
    """A client that speaks no TLS, where TLS is spoken."""
    client = Raw(await trio.open_tcp_stream("127.0.0.1", server.port))
    server.clients.append(client)
    return client


def pinned(*fingerprints: str) -> Trust:
    context = bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return Trust(context, frozenset(fingerprints))


def shown() -> str:
    return authority().fingerprint()


# ---------------------------------------------------------------------- who is recognised


async def test_a_server_is_recognised_by_its_authority_or_by_its_fingerprint() -> None:
    async with serving(tls=True) as server:
        for trust in (Trust(authority().context()), pinned(shown()), pinned("0" * 64, shown())):
            connection = await connect(server.url(), trust=trust)
            connection.close(1000, "")
            await connection.run()


async def test_a_server_that_is_not_recognised_gets_no_request(tmp_path: Path) -> None:
    other = make(tmp_path)
    for trust, why in (
        (None, "certificate is not accepted"),  # the system knows nothing of it
        (Trust(other.context()), "certificate is not accepted"),
        (pinned("0" * 64), f"another one, with the fingerprint {shown()}"),
    ):
        async with serving(tls=True) as server:
            with pytest.raises(ConnectError, match=why) as refused:
                await connect(server.url(), headers=[("Authorization", "Bearer secret")], trust=trust)
            assert refused.value.stranger
            await until(lambda server=server: server.arrivals.open == 0)  # type: ignore[misc]
            assert server.handler.requests == []
    async with serving(tls=True) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        with pytest.raises(NotTrusted, match="ostname mismatch"):
            await connect_tls(stream, "hub.local", Trust(authority().context()))
        await stream.aclose()


async def test_both_sides_refuse_what_is_older_than_tls_1_2() -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with serving(tls=True) as server:
        stream = trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", server.port), old)
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        await trio.aclose_forcefully(stream)
    assert bounded(ssl.create_default_context()).minimum_version == ssl.TLSVersion.TLSv1_2


# ---------------------------------------------------------------------- the rude


async def test_http_in_clear_is_told_that_this_address_speaks_tls(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tls=True) as server:
        for _ in range(3):
            client = await plain(server)
            assert await client.ask(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n") == 400
            assert SPEAKS_TLS.encode() in await client.rest()
        assert server.handler.requests == []
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(said) == 1, "one line for the same fault of the same address"
    assert "127.0.0.1:" in said[0]
    assert "does not speak TLS" in said[0]


async def test_a_dialling_node_is_told_that_the_other_side_speaks_no_tls() -> None:
    async with serving() as server:
        with pytest.raises(ConnectError, match="it does not speak TLS"):
            await connect(server.url().replace("ws:", "wss:"), trust=pinned())


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_handshake_that_does_not_come_is_given_up(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(ListenerLimits(head_timeout_s=0.05), tls=True) as server:
        client = await plain(server)
        await client.put(said)
        assert await client.rest() == b""
        await until(lambda: server.arrivals.open == 0)
    assert "no TLS handshake within 0.05 s" in caplog.text


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x03\xff\xff" + b"\x01" * 70_000,
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(HANDSHAKE_BYTES + 1),
    ],
)
async def test_what_is_no_handshake_ends_its_own_connection_only(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tls=True) as server:
        client = await plain(server)
        await client.put(said)
        await client.rest()
        await until(lambda: server.arrivals.open == 0)
        await (await server.websocket()).echoes()
    assert "could not connect with TLS: TLS: " in caplog.text


async def test_those_beyond_the_limit_are_told_so_under_tls() -> None:
    async with serving(came=arrivals(most=1), tls=True) as server:
        await server.websocket()
        assert await (await server.raw()).status() == 503


async def test_bytes_that_are_changed_on_the_way_end_the_connection() -> None:
    context = authority().context()
    async with serving(tls=True) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        session = Session(context, "127.0.0.1")
        received = b""
        while not session.shake(received):
            await stream.send_all(session.pending())
            received = await stream.receive_some(65_536)
        request = bytearray(session.sealed(b"GET /echo HTTP/1.1\r\nHost: node\r\n\r\n"))
        request[-1] ^= 1
        await stream.send_all(request)
        while await stream.receive_some(65_536):
            pass
        await until(lambda: server.arrivals.open == 0)
        assert server.handler.requests == []
        await stream.aclose()
