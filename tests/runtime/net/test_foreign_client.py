"""The Python `websockets` library as a client: what we send and take is what others understand."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from tests.patience import PATIENCE_S, connect
from tests.runtime.rig import until

if TYPE_CHECKING:
    from tests.runtime.rig import Server

PARAMETERS: dict[str, dict[str, Any] | None] = {
    "no compression": None,
    "plain offer": {},
    "client window left open": {"client_max_window_bits": True},
    "small client window": {"client_max_window_bits": 10},
    "no client context takeover": {"client_no_context_takeover": True},
    "no server context takeover": {"server_no_context_takeover": True},
}


def _talk(server: Server, seed: int, parameters: dict[str, Any] | None) -> bool:
    """Many messages of all sizes there and back. Whether they were compressed."""
    dice = random.Random(seed)
    offers = [] if parameters is None else [ClientPerMessageDeflateFactory(**parameters)]
    with connect(server.url(), ssl=server.context, extensions=offers, compression=None, max_size=None) as client:
        compressed = bool(client.protocol.extensions)
        for _ in range(60):
            length = dice.choice((0, 1, 125, 126, 1_023, 1_024, 5_000, 70_000))
            text = "".join(dice.choice("abc ção🥑") for _ in range(length))
            client.send(
                text if dice.random() < 0.7 else [text[: length // 3], text[length // 3 :]]
            )  # or in fragments
            assert client.recv(timeout=PATIENCE_S) == text
        assert client.ping(b"here").wait(PATIENCE_S)
        client.close(1000, "done")
    return compressed


@pytest.mark.parametrize("name", PARAMETERS)
async def test_websockets_understands_us_and_we_it(server: Server, name: str) -> None:
    compressed = await trio.to_thread.run_sync(partial(_talk, server, len(name), PARAMETERS[name]))
    assert compressed is (name != "no compression")
    await until(lambda: server.handler.endings == [(1000, "done")])


async def test_websockets_sees_our_close_code_and_reason(server: Server) -> None:
    def shut() -> tuple[int, str]:
        with connect(server.url("/shut"), ssl=server.context, open_timeout=PATIENCE_S) as client:
            with pytest.raises(ConnectionClosedError) as closed:
                client.recv(timeout=PATIENCE_S)
            assert closed.value.rcvd is not None
            return closed.value.rcvd.code, closed.value.rcvd.reason

    assert await trio.to_thread.run_sync(shut) == (4001, "Invalid terminal ID")
