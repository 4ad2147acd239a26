"""Short graces, so that no test waits for the other side of a close."""

from __future__ import annotations

import pytest

from tests.runtime.rig import hurry


@pytest.fixture(autouse=True)
def _short_graces(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
