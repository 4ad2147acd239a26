"""Whatever holds of a listener and its connections holds with TLS too.

A run tries one of the two of each test, the next day the other; a walk that says its own parts crosses both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runtime.rig import Server, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def pytest_itemcollected(item: pytest.Item) -> None:
    if "server" in getattr(item, "fixturenames", ()) and item.get_closest_marker("walk") is None:
        item.add_marker(pytest.mark.walk(2))


@pytest.fixture(params=[False, True], ids=["clear", "tls"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    async with serving(tls=request.param) as running:
        yield running
