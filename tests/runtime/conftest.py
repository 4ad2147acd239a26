"""Fixtures of the runtime's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.runtime.net import websocket
from node.runtime.net.reading import SocketReader
from tests.runtime.rig import Server, hurry, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(autouse=True)
def _short_graces(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that read much behind a close: however slow the machine, it is not cut short."""
    monkeypatch.setattr(websocket, "CLOSE_GRACE_S", 60.0)


@pytest.fixture(params=["one reader", "a task each"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets that one task reads, and as on a system without epoll."""
    if request.param == "a task each":
        monkeypatch.setattr(SocketReader, "here", lambda looks=None: None)
