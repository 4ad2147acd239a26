"""A node that is told nonsense says much, so the targets silence it: only as long as they run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Else the tests that come after would find nothing logged."""
    before = _silenced()
    yield
    assert _silenced() == before


def _silenced() -> dict[str, tuple[int, bool, int]]:
    loggers = {"comanda": logging.getLogger("comanda"), "": logging.getLogger()}
    return {name: (logger.level, logger.propagate, logger.manager.disable) for name, logger in loggers.items()}
