"""One port for HTTP and WebSocket: what comes through, what is answered, and that nothing ends the server."""

from __future__ import annotations

import pytest
import trio

from node.runtime.net import http, listener
from node.runtime.net.listener import ListenerLimits
from tests.patience import PATIENCE_S
from tests.runtime.rig import TEXT, Frame, frame, key, serving, until, upgrade

GET = b"GET /hello HTTP/1.1\r\nHost: node\r\n\r\n"

# What is sent, and the statuses that will do; None: hung up on without an answer.
BAD_HEADS: dict[str, tuple[bytes, int | None]] = {
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "one line of nonsense": (b"hello\r\n\r\n", 400),
    "a frame instead of a request": (frame("hi") + b"\r\n\r\n", 400),
    "a request of HTTP/3.7": (b"GET / HTTP/3.7\r\nHost: a\r\n\r\n", 505),
    "no Host": (b"GET /hello HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a header without a colon": (b"GET /hello HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400),
    "a space before the colon": (b"GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "a NUL in a header": (b"GET /hello HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    "a target that is not ASCII": (b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a path that is not UTF-8": (b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a target that is no path": (b"GET hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a thousand parameters": (b"GET /hello?" + b"a=1&" * 1_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "two lengths": (b"GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "a length and a transfer encoding": (
        b"GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /",
        400,
    ),
    "a transfer encoding twice": (
        b"GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        501,
    ),
    "a header name with a space": (b"GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n", 400),
    "a folded header": (b"GET /hello HTTP/1.1\r\nHost: a\r\nX: y\r\n  \x00z\r\n\r\n", 400),
    "a length of minus one": (b"GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    "an unknown transfer encoding": (b"GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", 501),
    "a bad chunk": (b"GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a body beyond the limit": (
        b"GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70_000,
        413,
    ),
    "a head beyond the limit": (b"GET /hello HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 30_000 + b"\r\n\r\n", 431),
    "a head just beyond the limit": (b"GET /hello HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 16_384 + b"\r\n\r\n", 431),
    "a path beyond the limit": (upgrade("/echo/" + "a" * 17_000), 431),
    "an endless head": (b"GET /hello HTTP/1.1\r\n" + b"X: y\r\n" * 5_000, 431),
    "upgrade: Host not ASCII": (upgrade("/echo", "Host: nod\xe9"), 400),
    "upgrade: Connection not ASCII": (upgrade("/echo", "Connection: Upgrade, \xff"), 400),
    "upgrade: Upgrade not ASCII": (upgrade("/echo", "Upgrade: websocket\xa0"), 400),
    "upgrade: extensions not ASCII": (upgrade("/echo", "Sec-WebSocket-Extensions: permessage-d\xe9flate"), 400),
    "upgrade: subprotocol not ASCII": (upgrade("/echo", "Sec-WebSocket-Protocol: caf\xe9"), 400),
    "upgrade: key not ASCII": (upgrade("/echo", "Sec-WebSocket-Key: \xe9\xe9"), 400),
    "upgrade: no key": (upgrade("/echo", without="sec-websocket-key"), 400),
    "upgrade: a short key": (upgrade("/echo", "Sec-WebSocket-Key: AAAA"), 400),
    "upgrade: a key that is no base64": (upgrade("/echo", f"Sec-WebSocket-Key: {'!' * 22}=="), 400),
    "upgrade: two keys": (upgrade("/echo", f"Sec-WebSocket-Key: {key()}\r\nSec-WebSocket-Key: {key()}"), 400),
    "upgrade: no version": (upgrade("/echo", without="sec-websocket-version"), 426),
    "upgrade: version 8": (upgrade("/echo", "Sec-WebSocket-Version: 8"), 426),
    "upgrade: version not ASCII": (upgrade("/echo", "Sec-WebSocket-Version: 1\xb3"), 400),
    "upgrade: Connection without upgrade": (upgrade("/echo", "Connection: keep-alive"), 400),
    "upgrade: no Connection": (upgrade("/echo", without="connection"), 400),
    "upgrade: no Upgrade": (upgrade("/echo", without="upgrade"), 400),
    "upgrade: POST": (upgrade("/echo", method="POST"), 400),
    "upgrade: HTTP/1.0": (upgrade("/echo", version="1.0"), 400),
    "upgrade: with a body": (upgrade("/echo", "Content-Length: 3") + b"abc", 400),
    "upgrade: with a chunked body": (upgrade("/echo", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "upgrade: a path that is no WebSocket": (upgrade("/hello"), 404),
    "upgrade: a foreign page": (upgrade("/echo", "Origin: http://elsewhere"), 403),
    "upgrade: a handler that fails": (upgrade("/raise"), 500),
    "a handler that fails": (b"GET /broken HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 500),
    "hanging up in the head": (b"", None),
}

GOOD_UPGRADES: dict[str, bytes] = {
    "as browsers do": upgrade(
        "/echo", "Connection: keep-alive, Upgrade", "Upgrade: WebSocket", "Origin: http://node"
    ),
    "two Connection lines": upgrade("/echo", "Connection: keep-alive\r\nConnection: upgrade"),
    "a Host with an empty label": upgrade("/echo", "Host: a..b"),
    "a Host with a long label": upgrade("/echo", "Host: " + "a" * 100),
    "the target in absolute form": upgrade("http://node/echo?x=http://y"),
    "a header of ours that is not ASCII": upgrade("/echo", "X-Terminal: caf\xe9"),
    "an empty body": upgrade("/echo", "Content-Length: 0"),
    "subprotocols nobody speaks": upgrade("/echo", "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: ,"),
}


@pytest.mark.parametrize("shape", BAD_HEADS)
async def test_a_bad_head_is_answered_and_a_healthy_connection_goes_on(shape: str) -> None:
    sent, status = BAD_HEADS[shape]
    async with serving() as server:
        healthy = await server.websocket()
        client = await server.raw()
        await client.put(sent)
        if status is None:
            await client.stream.send_eof()
        assert await client.status() == status
        if status is not None:
            assert b'"error"' in await client.body()
            assert client.header("content-type") == "application/json"
        assert await client.rest() == b""
        await healthy.echoes()
        assert server.handler.texts == ["still here"]


async def test_an_answer_reaches_a_client_that_is_still_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LINGER_S", 5.0)
    async with serving() as server:
        client = await server.raw()
        await client.put(b"GET /hello HTTP/1.1\r\nX: ", *[b"a" * 65_536] * 30)
        assert await client.status() == 431
        assert await client.rest() != b""
        await client.aclose()
        await until(lambda: server.arrivals.open == 0)


@pytest.mark.parametrize("shape", GOOD_UPGRADES)
async def test_a_good_upgrade_comes_through(shape: str) -> None:
    async with serving() as server:
        client = await server.raw()
        assert await client.ask(GOOD_UPGRADES[shape]) == 101
        await client.echoes()


async def test_a_wrong_version_is_told_the_right_one() -> None:
    async with serving() as server:
        client = await server.raw()
        assert await client.ask(upgrade("/echo", "Sec-WebSocket-Version: 7")) == 426
        assert client.header("sec-websocket-version") == "13"


async def test_frames_that_come_with_the_head_are_not_lost() -> None:
    async with serving() as server:
        client = await server.raw()
        texts = [b"%d" % number * 1_000 for number in range(10)]
        assert await client.ask(upgrade() + b"".join(map(frame, texts))) == 101
        for text in texts:
            assert await client.next() == Frame(TEXT, text)


async def test_the_handler_sees_path_query_headers_and_peer() -> None:
    async with serving() as server:
        client = await server.raw()
        wanted = (
            b"GET /a%20b%C3%A3?name=jo%C3%A3o+s&x=1&x=2&empty= HTTP/1.1\r\nHost: n\r\nX-A: one\r\nx-a: two\r\n\r\n"
        )
        assert await client.ask(wanted) == 404
        request = server.handler.requests[0]
        assert (request.method, request.path) == ("GET", "/a bã")
        assert request.target.startswith("/a%20b")
        assert request.query == {"name": ["joão s"], "x": ["1", "2"], "empty": [""]}
        assert (request.first("x"), request.first("none")) == ("1", None)
        assert request.headers["x-a"] == "one, two"
        address, port = client.stream.socket.getsockname()
        assert request.peer == f"{address}:{port}"


# ---------------------------------------------------------------------- HTTP


async def test_a_connection_is_kept_for_many_requests_pipelined_or_not() -> None:
    async with serving() as server:
        client = await server.raw()
        assert await client.ask(GET * 3) == 200
        await client.body()
        for _ in range(2):
            assert await client.status() == 200
            await client.body()
        assert await client.ask(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n") == 404
        await client.body()
        assert await client.ask(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n") == 500
        await client.body()
        assert await client.ask(GET) == 200
        assert b'"path":"/hello"' in await client.body()


async def test_http_1_0_and_connection_close_end_after_the_answer() -> None:
    async with serving() as server:
        for sent in (
            b"GET /hello HTTP/1.0\r\n\r\n",
            b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ):
            client = await server.raw()
            assert await client.ask(sent) == 200
            assert client.header("connection") == "close"
            assert b'"path":"/hello"' in await client.rest()


async def test_head_has_the_length_and_no_body() -> None:
    async with serving() as server:
        client = await server.raw()
        assert await client.ask(b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n") == 200
        assert int(client.header("content-length") or 0) > 10
        assert await client.ask(b"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n") == 200
        assert await client.ask(GET) == 200  # nothing lies between


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"HEAD hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"HEAD /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413),
        (upgrade(method="HEAD"), 400),
        (upgrade("/echo", without="sec-websocket-version", method="HEAD"), 400),
    ],
)
async def test_a_refused_head_has_no_body_either(sent: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """A body, even of an error, is more than h11 lets out to a HEAD: the connection ended without an answer."""
    async with serving() as server:
        client = await server.raw()
        await client.put(sent, b"{}" * 50_000 if status == 413 else b"")
        assert await client.status() == status
        assert client.header("content-length") != "0"
        assert await client.rest() == b""
    assert not caplog.records


async def test_a_bad_request_behind_a_head_gets_its_body() -> None:
    async with serving() as server:
        client = await server.raw()
        assert await client.ask(b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n") == 200
        assert await client.ask(b"what\r\n\r\n") == 400
        assert b'"error"' in await client.body()


async def test_other_methods_are_405_and_the_connection_goes_on() -> None:
    async with serving() as server:
        client = await server.raw()
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            sent = f"{method} /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{{}}".encode()
            assert await client.ask(sent) == 405
            assert client.header("allow") == "GET, HEAD"
            await client.body()
        assert await client.ask(GET) == 200


async def test_a_body_is_read_and_100_continue_is_said() -> None:
    async with serving() as server:
        client = await server.raw()
        head = b"GET /hello HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        assert await client.ask(head) == 100
        assert await client.ask(b"abc") == 200
        assert b'"body":"abc"' in await client.body()


async def test_another_upgrade_is_ignored() -> None:
    async with serving() as server:
        client = await server.raw()
        for _ in range(2):
            sent = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
            assert await client.ask(sent) == 200
            await client.body()


async def test_a_stream_is_sent_chunked_and_to_http_1_0_until_the_end() -> None:
    async with serving() as server:
        client = await server.raw()
        assert await client.ask(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n") == 200
        assert client.header("transfer-encoding") == "chunked"
        while not client.buffer.endswith(b"0\r\n\r\n"):
            assert await client.take()
        assert client.buffer == b"2\r\n0;\r\n2\r\n1;\r\n2\r\n2;\r\n0\r\n\r\n"
        client.buffer = b""
        assert await client.ask(GET) == 200
        client = await server.raw()
        assert await client.ask(b"GET /stream HTTP/1.0\r\n\r\n") == 200
        assert await client.rest() == b"0;1;2;"


async def test_an_answer_that_nobody_takes_is_given_up() -> None:
    async with serving(ListenerLimits(write_timeout_s=0.05)) as server:
        client = await server.raw()
        assert await client.ask(b"GET /stream?n=5000 HTTP/1.1\r\nHost: a\r\n\r\n") == 200
        await until(lambda: server.arrivals.open == 0)
        await client.rest()
        assert not client.buffer.endswith(b"0\r\n\r\n")
        healthy = await server.websocket()
        await healthy.echoes()


# ---------------------------------------------------------------------- time and numbers


# ---------------------------------------------------------------------- failing and stopping


async def test_an_answer_is_given_up_once_its_client_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "GONE_S", 0)
    async with serving() as server:
        client = await server.raw()
        await client.stream.send_all(b"GET /wait HTTP/1.1\r\nHost: node\r\n\r\n")
        await until(lambda: bool(server.handler.requests))
        assert server.handler.waiting == 1
        await client.aclose()
        await until(lambda: server.handler.waiting == 0)
        assert not server.handler.release.is_set()


async def test_who_only_says_that_no_more_comes_still_gets_a_short_answer() -> None:
    async with serving() as server:
        client = await server.raw()
        await client.stream.send_all(b"GET /wait HTTP/1.1\r\nHost: node\r\n\r\n")
        await until(lambda: server.handler.waiting == 1)
        await client.stream.send_eof()
        server.handler.release.set()
        with trio.fail_after(PATIENCE_S):
            assert b"200" in await client.stream.receive_some(100)


async def test_a_request_that_follows_early_does_not_end_the_answer_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "GONE_S", 0)
    async with serving() as server:
        client = await server.raw()
        await client.stream.send_all(b"GET /wait HTTP/1.1\r\nHost: node\r\n\r\n" + GET)
        await until(lambda: server.handler.waiting == 1)
        server.handler.release.set()
        answers = b""
        with trio.fail_after(PATIENCE_S):
            while answers.count(b"200 ") < 2:
                answers += await client.stream.receive_some(1_000)
