"""What evenings of honest nodes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.core.operations.quarantine import BAD, Quarantine

if TYPE_CHECKING:
    from storage.records import ParkedRow


@pytest.fixture
def kept_out(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The entity and the reason wherever a node took an operation for one that no honest node writes.

    Also where it took the operation later: a quarantine that is empty at the end does not show that.
    """
    found: list[tuple[str, str]] = []

    def add(quarantine: Quarantine, row: ParkedRow) -> None:
        if row.state == BAD:
            found.append((row.entity_id, row.reason))
        original(quarantine, row)

    original = Quarantine.add
    monkeypatch.setattr(Quarantine, "add", add)
    return found
