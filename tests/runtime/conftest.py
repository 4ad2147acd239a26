"""Fixtures of the runtime's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.runtime.net import outbox, tls, websocket
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


def _never_at_once(descriptor: int, data: bytes | memoryview, /) -> int:
    raise BlockingIOError


@pytest.fixture(params=["Linux", "macOS", "Windows"])
def _as_on_each_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One task reads all sockets; each is read by a task of its own; and none is written to but by a task."""
    if request.param != "Linux":
        monkeypatch.setattr(SocketReader, "here", lambda looks=None: None)
    if request.param == "Windows":
        for module in (outbox, tls):
            monkeypatch.setattr(module, "write_at_once", _never_at_once)
