"""Who asks behind a proxy, and which proxy is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.admission import Arrivals
from node.core.statistics import Statistics
from node.errors import ConfigError
from node.runtime.net.proxies import SIGNS, Proxies, came_through
from tests.runtime.rig import arrivals, serving, until, upgrade

NAMED = Proxies(["127.0.0.1", "10.0.0.0/24", "fd00::/8"])


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({}, "10.0.0.1"),
        ({"x-forwarded-for": "192.0.2.7"}, "192.0.2.7"),
        ({"x-forwarded-for": "192.0.2.7:4711"}, "192.0.2.7"),
        ({"x-forwarded-for": "6.6.6.6, 192.0.2.7, 10.0.0.2"}, "192.0.2.7"),
        ({"x-forwarded-for": "6.6.6.6, made up"}, "10.0.0.1"),
        ({"x-forwarded-for": "made up, 192.0.2.7"}, "192.0.2.7"),
        ({"x-forwarded-for": "[2001:db8::7]:1"}, "2001:db8::7"),
        ({"x-forwarded-for": "2001:db8::7, fd00::1"}, "2001:db8::7"),
        ({"forwarded": "for=192.0.2.7;proto=https;by=10.0.0.1"}, "192.0.2.7"),
        ({"forwarded": 'for=6.6.6.6, For="[2001:db8::7]:4711"'}, "2001:db8::7"),
        ({"forwarded": "for=unknown"}, "10.0.0.1"),
        ({"forwarded": "for=192.0.2.7", "x-forwarded-for": "6.6.6.6, 192.0.2.7"}, "192.0.2.7"),
        ({"forwarded": "for=6.6.6.6", "x-forwarded-for": "192.0.2.7"}, None),
        ({"forwarded": "for=192.0.2.7", "x-forwarded-for": "6.6.6.6"}, None),
        ({"forwarded": "", "x-forwarded-for": "192.0.2.7"}, None),
    ],
)
def test_the_client_is_the_first_that_no_named_proxy_is(headers: dict[str, str], client: str | None) -> None:
    assert NAMED.client(headers, "10.0.0.1") == client


@given(st.text(max_size=30), st.sampled_from(["forwarded", "x-forwarded-for"]))
def test_a_stranger_makes_himself_nobody_else(said: str, header: str) -> None:
    assert NAMED.client({header: said}, "192.0.2.66") == "192.0.2.66"
    assert NAMED.client({"x-forwarded-for": f"{said}, 192.0.2.66"}, "10.0.0.1") == "192.0.2.66"


@given(st.text(max_size=30))
def test_nobody_names_himself_in_the_header_that_the_proxy_does_not_write(said: str) -> None:
    written = {"forwarded": "for=192.0.2.66", "x-forwarded-for": "192.0.2.66"}
    for header in written:
        assert NAMED.client({**written, header: said}, "10.0.0.1") in ("192.0.2.66", None)


async def test_a_request_of_two_clients_is_refused() -> None:
    async with serving(proxies=Proxies(["127.0.0.1"])) as server:
        client = await server.raw()
        assert await client.ask(upgrade("/echo", "X-Forwarded-For: 192.0.2.1", "Forwarded: for=127.0.0.1")) == 400


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(ConfigError, match="proxies"):
        Proxies(["nginx"])


def test_the_signs_of_a_proxy() -> None:
    assert not came_through({"host": "a", "user-agent": "b"})
    for sign in SIGNS:
        assert came_through({sign: ""})


async def test_connections_behind_a_named_proxy_count_for_their_clients() -> None:
    proxies = Proxies(["127.0.0.1"])
    came = Arrivals(most=100, most_per_address=1, statistics=Statistics(started_ms=0), shared=proxies.named)
    async with serving(came=came, proxies=proxies) as server:
        first = await server.websocket("/echo", "X-Forwarded-For: 192.0.2.1")
        second = await server.websocket("/echo", "X-Forwarded-For: 192.0.2.2")
        assert [request.peer for request in server.handler.requests] == ["192.0.2.1:0", "192.0.2.2:0"]
        third = await server.raw()
        assert await third.ask(upgrade("/echo", "X-Forwarded-For: 192.0.2.1")) == 503
        await first.echoes()
        await second.echoes()


async def test_who_shows_no_token_shuts_nobody_out() -> None:
    async with serving(came=arrivals(most=3)) as server:
        kept = await server.websocket()
        idle = [await server.raw() for _ in range(10)]
        newcomer = await server.websocket()
        await newcomer.echoes()
        await kept.echoes()
        await until(lambda: server.arrivals.open <= 3)
        assert await idle[0].rest() == b""
