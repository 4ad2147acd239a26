"""Nodes that the tests of this folder share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.nodes import started

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def node_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A node that nobody kills and that holds little."""
    process = started(tmp_path_factory.mktemp("node"))
    yield process.port
    process.end()
