"""A terminal is sent what it may read: live, after an outage, at first, and of the archived part of the log."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from node.config.sections import Config, TerminalConfig
from tests.archives import archive
from tests.harness import Client, World, settle_all

if TYPE_CHECKING:
    from pathlib import Path

TYPES = ("orders", "products", "customers", "cashier_operations")
KITCHEN = TerminalConfig(write=["orders", "customers"], read=["orders"])
WATCH = TerminalConfig(write=[], read=["customers"])
"""A monitor that reads neither the audit nor the figures."""
CONFIG = evolve(Config(), terminals={**Config().terminals, "kds": KITCHEN, "monitor": WATCH})


def written(ana: Client, suffix: str) -> None:
    for entity_type in TYPES:
        ana.do(entity_type, f"{entity_type}-{suffix}", "CREATE", {"note": suffix})


def sent(client: Client) -> set[str]:
    """The entity types of everything that a terminal was sent."""
    found = {m["operation"]["entity_type"] for m in client.inbox if m["type"] == "data_sync"}
    found |= {m["conflict"]["entity_type"] for m in client.inbox if m["type"] == "sync_conflict"}
    return found | {m["type"] for m in client.inbox if m["type"] in ("audit_log", "terminal_status_update")}


@pytest.mark.parametrize("archived", [False, True])
def test_a_kitchen_screen_that_reads_orders_is_sent_nothing_else(tmp_path: Path, archived: bool) -> None:
    with closing(World(tmp_path / "node", config=CONFIG)) as world:
        ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
        kitchen, screen = Client(world, "kds-1", "kds").connect(), Client(world, "painel", "monitor").connect()
        everybody = [ana, bia, kitchen, screen]
        written(ana, "1")
        for person, phone in ((ana, "1"), (bia, "2")):
            person.write("customers", "rita", "CREATE", {"phone": phone})
        settle_all(world, everybody)
        for away in (kitchen, screen):
            away.disconnect()
        written(ana, "2")
        settle_all(world, [ana, bia])
        if archived:
            archive(world)
        for back in (kitchen, screen):
            back.connect()
        settle_all(world, everybody)
        late = Client(world, "kds-2", "kds").connect()
        settle_all(world, [*everybody, late])
        assert sent(kitchen) == sent(late) == {"orders"}
        assert kitchen.shown("orders") == ana.shown("orders") == late.shown("orders")
        assert sent(screen) == {"customers"}


def test_what_a_terminal_may_not_read_it_may_not_write(tmp_path: Path) -> None:
    with closing(World(tmp_path / "node", config=CONFIG)) as world:
        kitchen = Client(world, "kds-1", "kds").connect()
        refused = kitchen.write("customers", "rita", "CREATE", {"phone": "1"})
        world.settle()
        kitchen.receive()
        assert kitchen.answer(refused)["code"] == 4008
        taken = kitchen.write("orders", "mesa-1", "CREATE", {"note": "x"})
        world.settle()
        kitchen.receive()
        assert kitchen.answer(taken)["status"] == "applied"
