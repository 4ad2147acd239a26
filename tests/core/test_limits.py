"""A bound on everything that the core keeps: each table says what bounds it, and a newcomer at the bound is served.

The walk finds every dict, set, list and queue that an object of the core holds. One that is not in the table below
has to be given its line: what ends its growth.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import node.core
from node.core import faults
from node.core.admission import Admission, Caller, Enter, Refuse
from node.core.entities import reach, residents
from node.core.entities.reach import Reach, note_claim
from node.core.links import feed, links
from node.core.log import view
from node.core.operations import knowledge
from node.core.statistics import Statistics
from tests.harness import Client, World, settle_all

if TYPE_CHECKING:
    from collections.abc import Callable

ONE_MESSAGE = "what one message or one page has"
CONNECTED = "[limits] connections"
TERMINALS = "[limits] terminals"
NODES = "admission.MOST_NODES"
LEASES = "LockTable.max_leases"
ENTITY = "[limits] entity_bytes"
TYPES = "the configured entity types"
RESIDENT = "[limits] resident_entities, resident_bytes"
QUARANTINE = "quarantine.MOST, [limits] quarantine_bytes"
GROUP = "what is not stored yet: connections wait for it"
WINDOW = "[limits] window_rows"
FIXED = "as many as there are priority classes, or buckets"

BOUNDS = {
    "admission.Admission.seats": CONNECTED,
    "admission.Arrivals.by_address": CONNECTED,
    "admission.Arrivals.strangers": CONNECTED,
    "anti_entropy.": ONE_MESSAGE,
    "asked.Asked": ONE_MESSAGE,
    "budget.Budget": FIXED,
    "change.": ONE_MESSAGE,
    "conflicts.Conflicts": "open conflicts, and CLOSED_KEPT",
    "core.Core._again": GROUP,
    "core.Core._in_flight": GROUP,
    "core.Core.damaged": "what a start found damaged",
    "cursors.Cursors._gone": TERMINALS,
    "cursors.Cursors._moved_cursors": TERMINALS,
    "cursors.Cursors._moved_followers": NODES,
    "cursors.Cursors.nodes": NODES,
    "cursors.Cursors.sendings": TERMINALS,
    "cursors.Cursors.terminals": TERMINALS,
    "devices.Devices": "devices.MOST",
    "digests.Digests": TYPES,
    "digests.TypeDigest": FIXED,
    "entity.Entity.claims": "reach.MOST_CLAIMS",
    "entity.Entity.held": "entity.MOST_HELD",
    "entity.Entity.lowest": ENTITY,
    "entity.Entity.seqs": ENTITY,
    "entity.Entity.shapes": "entity.MOST_SHAPES",
    "entity.Entity.versions": ENTITY,
    "faults.Faults.causes": "faults.REMEMBERED",
    "faults.Faults.exhibits": "faults.EXHIBITS",
    "figures.Figures.points": "figures.MOST",
    "feed.History.pages": "feed.PAGES",
    "feed.LinkFeed._lacked": ONE_MESSAGE,
    "feed.LinkFeed._state_after": FIXED,
    "feed.LinkFeed._wanted": "feed.MOST_WANTED",
    "group.Group": GROUP,
    "hashes.Hashes._known": "hashes.HASHES",
    "heads.Heads._heard_ms": NODES,
    "heads.Heads.alarms": "heads.MOST_ALARMS",
    "heads.Heads.latest": "heads.TOLD of each node",
    "held.Held.partial": "operations of several entities during a first synchronisation",
    "held.Held.read": ONE_MESSAGE,
    "held.Held.recalled": ONE_MESSAGE,
    "held.Held.recent": "[limits] ring_rows, ring_bytes",
    "held_at.HeldAt": "as the number of positions that differ",
    "in_turns.InTurns._waiting": "what connections wait for",
    "inbox.Inbox._queue": "the socket is not read meanwhile",
    "keyring.Keyring": "keyring.NODES, KEYS_OF_NODE, PROVEN",
    "last_known.Movements": "MOST_MOVEMENTS of each counter and list, MOST_LINES_COUNTED, MOST_OF_A_LINE",
    "links.Links._elsewhere": TERMINALS,
    "links.Links._held_at": NODES,
    "links.Links.budgets": "links.MOST_BUDGETS",
    "links.Links.by_node": CONNECTED,
    "links.Links.minute": FIXED,
    "links.Links.left_out": NODES,
    "links.Links.newcomers": "links.NEWCOMERS_OF_NODE, and CONNECTED",
    "links.Links.peers": NODES,
    "links.Links.states_after": "links.MOST_BUDGETS",
    "links.Links.twins": "links.MOST_TWINS",
    "neighbours.Neighbours._own": CONNECTED,
    "neighbours.Neighbours.nodes": "neighbours.NODES",
    "neighbours.Said.terminals": ONE_MESSAGE,
    "knowledge.Knowledge._brought": "knowledge.MOST_BROUGHT",
    "knowledge.Knowledge.first_attempts": "knowledge.FIRST_ATTEMPTS_KEPT",
    "knowledge.Knowledge.reads": "knowledge.READS_KEPT",
    "knowledge.Knowledge.refusals": TERMINALS,
    "origins.Origins.known": "origins.NODES",
    "origins.Origins.said": NODES,
    "pairing.Invitations._open": "pairing.MOST",
    "pairing.Tries._wrong": "pairing.NETWORKS",
    "outages.Outages": "outages.MOST, MOST_PAST",
    "past.Past": "past.MOST of an entity",
    "peer_log.PeerLog.positions": FIXED,
    "quarantine.": QUARANTINE,
    "moved._Look": "moved.MOST_LOOKS, ABOUT",
    "replica.Replica.transfers": "moved.TERMINALS, OF_A_TERMINAL",
    "replica.Replica.contradictions": "replica.MOST_CONTRADICTIONS",
    "requests.LockRequests": "a lock request a connection, and LEASES",
    "settled.Documents": "settled.MOST_DOCUMENTS, MOST_BYTES",
    "residents.Residents._in_use": "what connections wait for",
    "residents.Residents.damaged": "residents.DAMAGED_SHOWN",
    "residents.Residents.entities": RESIDENT,
    "residents.Residents.taken": ONE_MESSAGE,
    "ring.Ring.rows": "[limits] ring_rows, ring_bytes",
    "sendings.Sendings": "sendings.KEPT",
    "sessions.Sessions": CONNECTED,
    "sessions.Sessions._were_elsewhere": TERMINALS,
    "statistics.": "statistics.SAMPLES, WINDOW_MS",
    "table.LockTable": LEASES,
    "terminal_clocks.TerminalClocks": TERMINALS,
    "terminal_feed.TerminalFeed._state_after": FIXED,
    "terminal_feed.TerminalFeed._stated": FIXED,
    "terminal_feed.TerminalFeed._untold": "open conflicts",
    "travellers.": "travellers.MOST_VISITS, MOST_QUESTIONS",
    "log.Log._when_signed": "links, between two commits",
    "view.LogView.class_heads": FIXED,
    "view.LogView.failed": "view.MOST_FAILED",
    "view.LogView.too_large": "view.MOST_NAMED",
    "window.Window._confirmed": WINDOW,
    "window.Window._pending": WINDOW,
    "window.Window._unheard": "[limits] window_rows, window.UNHEARD",
}


def tables() -> set[str]:
    """What the objects of the core hold that can grow."""
    found = set()
    for module in pkgutil.walk_packages(node.core.__path__, "node.core."):
        if ".history." in module.name:  # of one answer
            continue
        short = module.name.rpartition(".")[2]
        for name, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if cls.__module__ != module.name or not attrs.has(cls):
                continue
            for of in attrs.fields(cls):
                if str(of.type).startswith(("dict", "set", "list", "deque", "Counter")):
                    found.add(f"{short}.{name}.{of.name}")
    return found


def test_everything_that_grows_says_what_bounds_it() -> None:
    names = tables()
    assert len(names) > 100
    unsaid = {name for name in names if not any(name.startswith(bound) for bound in BOUNDS)}
    assert not unsaid, "give it a bound, and its line above"
    assert not {bound for bound in BOUNDS if not any(name.startswith(bound) for name in names)} - {"anti_entropy."}


# ------------------------------------------------------------------ at the bound


def _claims(world: World, number: int) -> Any:
    entity = world.core.replica.residents.entity(("orders", "mesa-1"))
    note_claim(entity, f"t-{number}", 1, Reach(0), 0)
    return entity.claims


def _damaged(world: World, number: int) -> Any:
    owner = world.core.replica.residents
    owner._is_damaged(("orders", f"o-{number}"), ValueError("cut"))
    return owner.damaged


def _causes(world: World, number: int) -> Any:
    owner = world.core.replica.faults
    owner.report("a test", b"", ValueError("planted"), ("t", number))
    return owner.causes


def _failed(world: World, number: int) -> Any:
    world.core.log.not_sent(("row", number))
    return world.core.log.failed


def _too_large(world: World, number: int) -> Any:
    world.core.log.leave_out(f"orders o-{number}", 1)
    return world.core.log.too_large


def _reads(world: World, number: int) -> Any:
    owner = world.core.replica.knowledge
    owner.has_read(f"t-{number}", ("orders", "mesa-1"), 1)
    return owner.reads


def _first_attempts(world: World, number: int) -> Any:
    owner = world.core.replica.knowledge
    client = Client(world, "pos-1").connect()
    assert client.session is not None
    entity = world.core.replica.residents.entity(("orders", "mesa-1"))
    first = owner.first_attempt(client.session.author, [entity], 0)
    owner.refused("pos-1", f"op-{number}", first)
    client.disconnect()
    return owner.first_attempts


def _brought(world: World, number: int) -> Any:
    owner = world.core.replica.knowledge
    owner.brought(f"t-{number}", 1, (1, 1, 1, 1))
    return owner._brought


def _budgets(world: World, number: int) -> Any:
    world.core.links.budget(f"n-{number}")
    return world.core.links.budgets


def _states_after(world: World, number: int) -> Any:
    world.core.links.came_up_to(f"n-{number}:epoch", {0: ("orders", "o")})
    return world.core.links.states_after


KEPT: dict[str, tuple[Any, Callable[[World, int], Any]]] = {
    "MOST_CLAIMS": (reach, _claims),
    "REMEMBERED": (faults, _causes),
    "MOST_FAILED": (view, _failed),
    "MOST_NAMED": (view, _too_large),
    "READS_KEPT": (knowledge, _reads),
    "FIRST_ATTEMPTS_KEPT": (knowledge, _first_attempts),
    "MOST_BROUGHT": (knowledge, _brought),
    "MOST_BUDGETS": (links, _budgets),
}


@pytest.mark.parametrize("name", KEPT)
def test_at_its_bound_a_table_lets_the_oldest_go_and_takes_the_newcomer(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module, put = KEPT[name]
    monkeypatch.setattr(module, name, 5)
    for number in range(12):
        table = put(world, number)
        assert len(table) <= 5
    assert any("11" in str(key) for key in table), "the newcomer is there"
    assert not any("o-0" in str(key) or "t-0" in str(key) or key == ("t", 0) for key in table)


def test_states_that_came_are_remembered_of_the_latest_nodes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST_BUDGETS", 5)
    for number in range(12):
        assert len(_states_after(world, number)) <= 5
    assert "n-11:epoch" in world.core.links.states_after


def test_what_is_damaged_beyond_the_bound_is_told_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(residents, "DAMAGED_SHOWN", 5)
    for number in range(12):
        assert len(_damaged(world, number)) <= 5
    assert "orders o-11 is damaged" in caplog.text


def test_a_node_beyond_the_bound_is_refused_by_name_and_a_known_one_is_not() -> None:
    known = {f"n-{number}" for number in range(1_000)}
    door: Admission[str] = Admission(node_id="hub", kinds=("pos",), nodes=known, most=10, statistics=Statistics(0))
    verdict = door.ask(Caller("n-new", node=True))
    assert isinstance(verdict, Refuse)
    assert (verdict.code, "1000 other nodes" in verdict.reason) == (4001, True)
    assert door.ask(Caller("n-1", node=True)) == Enter()
    assert door.ask(Caller("pos-1", "pos")) == Enter()


def test_what_a_link_asks_for_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_WANTED", 5)
    link_feed = feed.LinkFeed(total=lambda: 0, operations=lambda: 0, later=lambda act: None)
    client = Client(world, "pos-1").connect()
    assert client.session is not None
    delivery: Any = client.session.delivery
    delivery.closed = True
    for _ in range(3):
        link_feed.want(delivery, range(4))
    assert len(link_feed._wanted) == 5


def test_every_level_is_below_its_limit_and_has_a_name(world: World) -> None:
    clients = [Client(world, f"pos-{number}").connect() for number in range(3)]
    clients[0].do("orders", "mesa-1", "CREATE", {"status": "pending"})
    settle_all(world, clients)
    levels = world.core.levels()
    assert len({name for name, _, _ in levels}) == len(levels)
    assert all(0 <= level <= limit for _, level, limit in levels)
    assert {"terminals", "nodes", "quarantine_bytes", "resident_bytes", "ring_bytes", "outbox_bytes"} <= {
        name for name, _, _ in levels
    }
