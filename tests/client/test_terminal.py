"""A terminal of the Python client whose connection is a test's own, text by text."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from node.client import Progress, State, StoreError, connect
from node.client.socket import NO_CLOSE_FRAME, NotConnected
from node.client.store import opened
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Line:
    """Greets, and says behind the confirmation of the first operation, at once with it, what is no message."""

    code, reason = NO_CLOSE_FRAME, ""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[list[str]](1)
        greeting = {"type": "connection_established", "terminal_id": "caixa-1", "server_time": "?"}
        self._send.send_nowait([json.dumps(greeting)])

    async def receive(self) -> list[str]:
        return await self._receive.receive()

    async def send(self, texts: list[str]) -> None:
        for message in map(json.loads, texts):
            if message["type"] == "data_sync":
                names = {"operation_id": message["operation"]["id"], "terminal_id": "caixa-1"}
                confirmation = {"type": "sync_confirmation", **names, "status": "applied"}
                await self._send.send([json.dumps(confirmation), "{"])

    async def goodbye(self) -> None:
        return None

    async def drop(self) -> None:
        self._send.close()


async def test_what_came_before_a_wrong_text_is_told_and_is_off_the_disk(tmp_path: Path) -> None:
    tries = count()

    async def dial(url: str, headers: Mapping[str, str], heard: Callable[[], None]) -> Line:
        if next(tries):
            raise NotConnected("once is enough")
        return Line()

    with trio.fail_after(PATIENCE_S):
        async with connect("ws://fake", "caixa-1", "pos", store=tmp_path / "queue", dial=dial) as terminal:
            await terminal.contact()
            events = aiter(terminal)
            order = await terminal.create("orders", "mesa-7", {"status": "pending"})
            told = []
            while State.CONFIRMED not in told:
                event = await anext(events)
                if isinstance(event, Progress):
                    told.append(event.state)
        queue = await opened(tmp_path / "queue", "caixa-1")
        assert await queue.unanswered() == []
        queue.close()
    assert order.state is State.CONFIRMED
    assert told == [State.SAVED, State.SENT, State.CONFIRMED]


async def test_a_terminal_of_a_store_of_head_office_says_which(tmp_path: Path) -> None:
    dialled: list[str] = []

    async def dial(url: str, headers: Mapping[str, str], heard: Callable[[], None]) -> Line:
        dialled.append(url)
        raise NotConnected("once is enough")

    store = tmp_path / "queue"
    with trio.fail_after(PATIENCE_S):
        async with connect("ws://fake", "caixa-1", "pos", realm="loja 17", store=store, dial=dial):
            while not dialled:
                await trio.lowlevel.checkpoint()
    assert parse_qs(urlsplit(dialled[0]).query)["realm"] == ["loja 17"]
    for realm in ("loja-18", None):
        with pytest.raises(StoreError, match="loja 17/caixa-1"):
            async with connect("ws://fake", "caixa-1", "pos", realm=realm, store=store, dial=dial):
                pass
