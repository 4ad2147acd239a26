"""A request that another process answers, and all that follows on its connection: byte for byte, both ways."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest
import trio

from node.control import SECRET
from node.runtime.net.http import error_response
from node.runtime.net.passing import OFFICE, PASSED, Way
from tests.runtime.rig import CLOSE, TEXT, Frame, Server, frame, serving, until, upgrade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from node.runtime.net.http import Request, Response


@asynccontextmanager
async def two(*, tls: bool = False, token: str = "") -> AsyncIterator[tuple[Server, Server]]:
    """One that answers `/here` itself, and the one to which it passes on everything else."""
    async with serving(tls=tls) as there:

        def way(request: Request) -> Way | Response | None:
            return None if request.path == "/here" else Way(there.url(""), there.trust, token)

        async with serving(way=way) as here:
            yield here, there


@pytest.mark.parametrize("tls", [False, True], ids=["in clear", "under TLS"])
async def test_a_websocket_runs_to_the_other_process(tls: bool) -> None:
    async with two(tls=tls) as (here, there):
        client = await here.websocket("/echo?realm=a")
        text = "ação " * 50_000
        await client.put(frame(text))
        assert await client.next() == Frame(TEXT, text.encode())
        await client.echoes()
        assert (there.handler.requests[0].target, here.handler.requests) == ("/echo?realm=a", [])


async def test_what_was_sent_with_the_head_is_passed_on_too() -> None:
    async with two() as (here, _):
        client = await here.raw()
        assert await client.ask(upgrade("/echo") + frame("at once")) == 101
        assert await client.next() == Frame(TEXT, b"at once")


async def test_the_end_of_either_side_is_the_end_of_both() -> None:
    async with two() as (here, there):
        shut = await here.websocket("/shut")
        assert await shut.ends() == 4001
        await shut.put(frame(b"", CLOSE))
        assert await shut.next() is None
        client = await here.websocket("/echo")
        await client.aclose()
        await until(lambda: len(there.handler.endings) == 2)
        await until(lambda: not here.arrivals.by_address)


async def test_a_request_is_answered_and_its_connection_ends() -> None:
    """What follows on the connection may mean another store."""
    async with two() as (here, there):
        client = await here.raw()
        get = b"GET /hello?name=x HTTP/1.1\r\nHost: node\r\nContent-Length: 4\r\nX-A: 1\r\nX-A: 2\r\n\r\nbody"
        assert await client.ask(get + b"GET /here HTTP/1.1\r\nHost: node\r\n\r\n") == 200
        assert orjson.loads(await client.body()) == {"path": "/hello", "name": "x", "body": "body"}
        assert await client.rest() == b""
        assert [request.headers["x-a"] for request in there.handler.requests] == ["1, 2"]
        own = await here.raw()
        assert await own.ask(b"GET /here HTTP/1.1\r\nHost: node\r\n\r\n") == 404, "its own answer"
        await own.body()
        assert await own.ask(get) == 200, "the second request of a connection is passed on too"


async def test_the_other_process_learns_that_it_was_passed_on_and_no_secret() -> None:
    async with two() as (here, there):
        client = await here.raw()
        said = (
            f"{SECRET}: s\r\n{PASSED}: no\r\n{OFFICE}: t\r\nAuthorization: Bearer t\r\nX-Forwarded-For: 10.0.0.1\r\n"
        )
        await client.ask(f"GET /hello HTTP/1.1\r\nHost: node\r\n{said}\r\n".encode())
        headers = there.handler.requests[0].headers
        assert (headers[PASSED], headers["connection"]) == ("1", "close")
        assert SECRET not in headers
        assert OFFICE not in headers
        assert (headers["authorization"], headers["x-forwarded-for"]) == ("Bearer t", "10.0.0.1")


async def test_the_other_process_is_shown_who_passes_on_what_its_own_user_asks() -> None:
    async with two(token="cmd_own") as (here, there):
        client = await here.raw()
        await client.ask(f"GET /hello HTTP/1.1\r\nHost: node\r\n{OFFICE}: another\r\n\r\n".encode())
        assert there.handler.requests[0].headers[OFFICE] == "cmd_own"
        assert "cmd_own" not in repr(Way("ws://a:1", None, "cmd_own"))


async def test_a_process_that_is_not_there_is_503() -> None:
    with trio.socket.socket() as nobody:
        await nobody.bind(("127.0.0.1", 0))
        address = f"ws://127.0.0.1:{nobody.getsockname()[1]}"
        async with serving(way=lambda request: Way(address)) as here:
            client = await here.raw()
            assert await client.ask(upgrade("/echo")) == 503
    async with serving(way=lambda request: error_response(503, "nobody")) as here:
        client = await here.raw()
        assert await client.ask(upgrade("/echo")) == 503
