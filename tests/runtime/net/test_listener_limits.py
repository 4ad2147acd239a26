"""The listener's limits: deadlines, numbers of connections, and how it stops."""

from __future__ import annotations

import errno

import pytest
import trio

from node.core import admission
from node.runtime.net import http, listener
from node.runtime.net.listener import Listener, ListenerLimits, open_listeners
from tests.patience import PATIENCE_S
from tests.runtime.net.test_listener import GET
from tests.runtime.rig import CLOSE, Echo, Frame, arrivals, frame, serving, until, upgrade


async def test_half_a_head_is_408_and_an_idle_connection_just_ends() -> None:
    async with serving(ListenerLimits(head_timeout_s=0.05, idle_timeout_s=0.05)) as server:
        for sent in (b"", b"GET /hello HT", upgrade()[:-2]):
            client = await server.raw()
            assert await client.ask(sent) == 408
            assert b'"error"' in await client.rest()
    async with serving(ListenerLimits(head_timeout_s=1.0, idle_timeout_s=0.05)) as server:  # a whole head is in time
        client = await server.raw()
        assert await client.ask(GET) == 200
        await client.body()
        assert await client.rest() == b""
        client = await server.raw()
        assert await client.ask(GET + b"GET /hel") == 200  # the second one has a deadline of its own
        await client.body()
        assert await client.status() == 408
        client = await server.raw()
        assert await client.ask(b"GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab") == 408


async def test_a_websocket_outlives_the_head_deadline() -> None:
    async with serving(ListenerLimits(head_timeout_s=0.5, idle_timeout_s=0.05)) as server:
        client, slow = await server.websocket(), await server.raw()
        assert await slow.status() == 408
        await client.echoes()


@pytest.mark.parametrize("limit", ["most", "most_per_address"])
async def test_one_connection_too_many_is_503_until_another_ends(limit: str) -> None:
    async with serving(came=arrivals(**{limit: 2})) as server:
        first, second = await server.websocket(), await server.websocket()
        third = await server.raw()
        assert await third.ask(upgrade()) == 503
        assert b"too many connections" in await third.rest()
        assert server.arrivals.statistics.connections_refused == 1
        await first.aclose()
        await third.aclose()
        await until(lambda: server.arrivals.open == 1)
        fourth = await server.websocket()
        await fourth.echoes()
        await second.echoes()


async def test_far_too_many_connections_are_just_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "REFUSED_AT_ONCE", 0)
    async with serving(came=arrivals(most=1)) as server:
        healthy, client = await server.websocket(), await server.raw()
        assert await client.rest() == b""
        await healthy.echoes()
        await healthy.aclose()
        await until(lambda: server.arrivals.open == 0)
        assert not server.arrivals.by_address


async def test_a_websocket_handler_that_fails_closes_1011_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server:
        healthy, client = await server.websocket(), await server.websocket("/boom")
        assert await client.ends() == 1011
        await healthy.echoes()
        assert "on purpose" in caplog.text


async def test_stopping_closes_everybody_with_1001_and_finishes_answers() -> None:
    async with serving() as server:
        clients = [await server.websocket() for _ in range(3)]
        asking = await server.raw()
        await asking.put(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: len(server.handler.requests) == 4)
        server.scope.cancel()
        server.handler.release.set()
        with trio.CancelScope(shield=True):
            for client in clients:
                found = await client.next()
                assert found == Frame(CLOSE, (1001).to_bytes(2, "big") + b"the node is stopping")
                await client.put(frame(found.payload, CLOSE))
                assert await client.next() is None
            assert await asking.status() == 200
            assert b'"path":"/wait"' in await asking.body()
            assert await asking.rest() == b""
            await until(lambda: server.arrivals.open == 0)
            with pytest.raises(OSError, match="connect"):
                await server.raw()
    assert [code for code, _ in server.handler.endings] == [1001] * 3


async def test_stopping_waits_for_nobody_who_does_not_answer() -> None:
    with trio.fail_after(PATIENCE_S):
        async with serving() as server:
            client = await server.websocket("/fan")
            await server.raw()
            waiting = await server.raw()
            await waiting.put(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: len(server.handler.requests) == 2)
            server.scope.cancel()
            with trio.CancelScope(shield=True):
                assert await client.ends() == 1001
                assert await waiting.status() is None


async def test_a_listener_cancelled_before_it_began_ends_at_once() -> None:
    listeners = await open_listeners("127.0.0.1", 0)
    with trio.fail_after(PATIENCE_S), trio.CancelScope() as scope:
        scope.cancel()
        await Listener(handler=Echo(), limits=ListenerLimits(), arrivals=arrivals()).serve(listeners)
    assert scope.cancelled_caught
    for opened in listeners:
        await trio.aclose_forcefully(opened)


async def test_localhost_is_both_addresses_on_one_port() -> None:
    listeners = await open_listeners("localhost", 0)
    names = [opened.socket.getsockname() for opened in listeners]
    for opened in listeners:
        await trio.aclose_forcefully(opened)
    assert names[0][0] == "127.0.0.1"
    if len(names) == 2:
        assert names[1][:2] == ("::1", names[0][1])


async def test_localhost_is_refused_where_another_has_its_other_half(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[trio.SocketListener] = []
    bind = trio.open_tcp_listeners

    async def taken(port: int, *, host: str) -> list[trio.SocketListener]:
        if host == "::1":
            raise OSError(errno.EADDRINUSE, "taken")
        opened.extend(await bind(port, host=host))
        return opened[-1:]

    monkeypatch.setattr(trio, "open_tcp_listeners", taken)
    with pytest.raises(OSError, match="taken"):
        await open_listeners("localhost", 0)
    assert len(opened) == listener.BIND_ATTEMPTS
    assert all(one.socket.fileno() == -1 for one in opened)


def test_an_error_answer_takes_any_text() -> None:
    assert http.error_response(404, "lone \ud800").body == b'{"error":"lone ?"}'
