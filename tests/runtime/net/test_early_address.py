"""A node starts before its machine has the address where it listens."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest
import trio

from node.runtime.net.early_address import open_early
from node.runtime.net.listener import open_listeners

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LATER = "192.0.2.7"
"""Kept for documents: no machine has it."""


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize("host", [LATER, pytest.param("2001:db8::7", marks=IPV6)])
async def test_an_address_that_is_not_there_yet_is_listened_on_and_told(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    [listener] = await open_listeners(host, 0)
    async with listener:
        assert listener.socket.getsockname()[0] == host
    assert [one for one in caplog.messages if host in one] == caplog.messages
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=IPV6)])
async def test_who_connects_there_is_taken(host: str) -> None:
    [listener] = await open_early(host, 0)
    async with (
        listener,
        await trio.open_tcp_stream(host, listener.socket.getsockname()[1]) as client,
        await listener.accept() as served,
    ):
        await served.send_all(b"x")
        assert await client.receive_some(1) == b"x"


async def test_an_address_of_the_machine_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    for listener in await open_listeners("127.0.0.1", 0):
        await listener.aclose()
    assert caplog.messages == []


@pytest.mark.parametrize("opened", [open_early, open_listeners])
async def test_a_port_that_is_taken_is_still_an_error(
    opened: Callable[[str, int], Awaitable[list[trio.SocketListener]]],
) -> None:
    [first] = await open_early(LATER, 0)
    async with first:
        with pytest.raises(OSError, match="in use") as refused:
            await opened(LATER, first.socket.getsockname()[1])
    assert refused.value.errno == errno.EADDRINUSE
