"""Whatever holds of a listener and its connections holds with TLS too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runtime.rig import Server, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(params=[False, True], ids=["clear", "tls"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    async with serving(tls=request.param) as running:
        yield running
