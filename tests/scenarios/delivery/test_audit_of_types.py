"""`audit_required`: of which types monitors are sent what is audited."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.config.sections import Config, EntityConfig
from tests.harness import Client, World, settle_all

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("late", [False, True], ids=["live", "from disk"])
def test_a_type_without_required_audit_is_audited_and_no_monitor_is_sent_it(tmp_path: Path, late: bool) -> None:
    entities = {"products": EntityConfig(audit_required=False)}
    world = World(tmp_path, config=Config(entities=entities), ring_rows=1)
    till, monitor = Client(world, "till").connect(), Client(world, "screen", "monitor").connect()
    settle_all(world, [till, monitor])
    if late:
        monitor.disconnect()
    till.do("products", "p", "CREATE", {"stock": 1})
    till.do("customers", "c", "CREATE", {"name": "Ana"})
    if late:
        monitor.connect()
    settle_all(world, [till, monitor])
    assert [message["entry"]["entity_type"] for message in monitor.of("audit_log")] == ["customers"]
    assert {row.entity_type for row in world.reader.audit(limit=10)} == {"products", "customers"}
    assert "p" in monitor.shown("products")
    world.close()
