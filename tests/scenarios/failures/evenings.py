"""Evenings that together pass through what messages reach: each plays one kind of trouble on a hub and a leaf.

`floor`: what happens in every restaurant. `kinds`: fields of every kind, written on both sides of an outage, decided
and restored. `large`: what is larger than a message, and more than may be kept. `turns`: what takes several turns.
`strangers`: a node that is set back, copied, or says what is not so. `broken`: disks that do not read, and code of
the node that fails already.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from attrs import evolve

from node.config.example import example_toml
from node.config.reading import parse
from node.config.sections import Config
from node.core.core import Core
from node.core.delivery.terminal_feed import TerminalFeed
from node.core.entities.entity import Entity
from node.core.inbox import Inbox
from node.core.keyring import fingerprint
from node.core.links.heads import HEAD_INTERVAL_MS
from node.core.links.link import Link
from node.core.log.log import Log
from node.core.operations.held import Held
from node.core.operations.replica import Replica
from node.core.sessions.session import Session
from node.core.sessions.token_bucket import Bucket
from node.runtime.keys import signatures
from tests.archives import archive
from tests.rogue import Rogue, sign_together
from tests.scenarios.failures.poison import PlantedError, Store, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from storage.records import EntityRow, LogRow

ORDER = {"status": "pending", "items": [{"id": "1", "name": "Feijoada", "quantity": 2}]}


def floor(directory: Path) -> Store:
    """Terminals, a link with parked rows, states, digests, locks, conflicts, a failing disk, an archive, restarts."""
    store = Store(directory)
    hub, leaf, _ = store.worlds
    pos = store.terminal(0, "pos-1")
    kds = store.terminal(0, "kds-1", "kds", confirms=False)
    late = store.terminal(0, "kds-2", "kds")
    monitor = store.terminal(0, "mon-1", "monitor")
    waiter = store.terminal(1, "waiter-1", "waiter")
    cashier = store.terminal(1, "pos-2", by_position=True)
    store.link(1)
    store.quiet()
    pos.write("orders", "mesa-1", "CREATE", ORDER)
    pos.write("products", "p-1", "CREATE", {"name": "Suco", "stock": 12})
    pos.write("customers", "c-1", "CREATE", {"name": "Ana", "phone": "1"})
    pos.write("cashier_operations", "x-1", "CREATE", {"amount": 10})
    store.quiet()
    late.disconnect()
    store.terminals.remove(late)
    items = [*ORDER["items"], {"id": "2", "name": "Suco", "quantity": 1}]
    waiter.write("orders", "mesa-1", "UPDATE", {"status": "preparing", "items": items})
    cashier.write("products", "p-1", "UPDATE", {"stock": 11})
    pos.write("products", "p-1", "UPDATE", {"stock": {"$inc": -2}})
    store.quiet()
    _locks(store, pos, waiter)
    _partition(store, pos, waiter, cashier)
    _resolutions(store, pos, cashier)
    _deletions(store, pos, cashier)
    _strange(store, pos)
    _disk(store, pos)
    kds.disconnect()
    kds.connect(full=True)
    store.quiet()
    with suppress(Exception):  # its request is answered so, and everybody else goes on
        archive(hub, hub.store.head - 3)
    late.connect()
    store.terminals.append(late)
    store.quiet()
    store.link(2)
    store.quiet()
    _moves(store, waiter)
    monitor.disconnect()
    monitor.connect(full=True)
    for world in store.worlds:
        world.advance(61_000)
    store.quiet()
    pos.write("orders", "mesa-9", "CREATE", ORDER)
    leaf.settle()
    store.crash(1)
    for terminal in (waiter, cashier):
        terminal.session = None
    store.quiet()
    return store


def _locks(store: Store, pos: Terminal, waiter: Terminal) -> None:
    mesa = {"entity_type": "orders", "entity_id": "mesa-1"}
    waiter.send({"type": "acquire_lock", **mesa, "lock_id": "lock-1", "timeout": 5_000})
    store.quiet()
    pos.write("orders", "mesa-1", "UPDATE", {"note": "sem sal"})
    waiter.write("orders", "mesa-1", "UPDATE", {"note": "sem cebola"}, lock_id="lock-1")
    pos.send({"type": "acquire_lock", **mesa})
    store.quiet()
    waiter.send({"type": "release_lock", "lock_id": "lock-1", "terminal_id": "waiter-1"})
    store.quiet()
    pos.send({"type": "acquire_lock", **mesa, "lock_id": "lock-2", "timeout": 1_000})
    store.quiet()
    for world in store.worlds:
        world.advance(2_000)
    waiter.send({"type": "acquire_lock", **mesa, "lock_id": "lock-3", "timeout": 1_000})
    store.quiet()
    pos.send({"type": "release_lock", "lock_id": "lock-2"})
    pos.send({"type": "acquire_lock", **mesa, "lock_id": "lock-6", "breaks": "waiter-1"})
    store.quiet()
    pos.send({"type": "release_lock", "lock_id": "lock-6"})
    store.quiet()
    _contested(store, pos, waiter)


def _contested(store: Store, pos: Terminal, waiter: Terminal) -> None:
    """Locks that another node's terminal has, that are broken, and that were granted while nobody could be asked."""
    other = store.terminal(0, "pos-9")
    for number, (first, second) in enumerate(((pos, waiter), (waiter, pos), (other, pos))):
        lock = {"type": "acquire_lock", "entity_type": "orders", "entity_id": f"lock-{number}", "timeout": 600_000}
        for terminal, more in ((first, {}), (second, {}), (pos, {"breaks": first.name})):
            terminal.send({**lock, "lock_id": f"{terminal.name}-{number}-{len(more)}", **more})
            store.quiet()
    store.wires[0].cut()
    alone = {"entity_type": "orders", "entity_id": "alone", "timeout": 600_000, "lock_id": "alone-1"}
    waiter.send({"type": "acquire_lock", **alone})
    store.worlds[1].settle()
    store.worlds[1].advance(1_000)
    store.quiet()
    waiter.send({"type": "release_lock", "lock_id": "alone-1"})
    other.disconnect()
    store.terminals.remove(other)
    store.quiet()


def _partition(store: Store, pos: Terminal, waiter: Terminal, cashier: Terminal) -> None:
    hub, leaf = store.worlds[:2]
    wire = store.wires[0]
    wire.cut()
    mesa = {"entity_type": "orders", "entity_id": "mesa-1"}
    waiter.send({"type": "acquire_lock", **mesa, "lock_id": "lock-4", "timeout": 60_000})
    pos.send({"type": "acquire_lock", **mesa, "lock_id": "lock-5", "timeout": 60_000})
    for terminal, phone in ((pos, "2"), (cashier, "3")):
        terminal.write("customers", "c-1", "UPDATE", {"phone": phone})
        terminal.write("cashier_operations", "x-1", "UPDATE", {"amount": 10 + int(phone)})
        terminal.write("products", "p-1", "UPDATE", {"price": int(phone)})
    pos.write("orders", "mesa-1", "UPDATE", {"status": "ready"})
    waiter.write("orders", "mesa-1", "UPDATE", {"status": "paid", "items": [ORDER["items"][0]]}, lock_id="lock-4")
    cashier.write("products", "p-2", "CREATE", {"stock": 3})
    both = [{"entity_id": "p-1", "data": {"stock": 7}}, {"entity_id": "p-2", "data": {"stock": 2}}]
    cashier.write("products", None, "BULK_UPDATE", {"updates": both})
    pos.write("customers", "c-2", "CREATE", {"name": "Bia"})
    pos.write("customers", "c-2", "DELETE", {})
    first = waiter.write("orders", "mesa-2", "CREATE", ORDER)
    waiter.write("orders", "mesa-2", "UPDATE", {"status": "ready"})
    waiter.write("orders", "mesa-2", "DELETE", {})
    hub.settle()
    leaf.settle()
    wire.damage = partial(_damaged, first)
    wire.connect()
    for _ in range(40):
        if not (wire.step(0) or wire.step(1)):
            break
        hub.settle()
        leaf.settle()
    hub.advance(1_001)
    wire.damage = None
    wire.cut()
    store.quiet()
    with suppress(Exception):  # its request is answered so, and everybody else goes on
        hub.core.retry_quarantine()
    store.quiet()


def _damaged(lost: str, frame: bytes) -> bytes:
    """One operation of a frame is lost, and one says what no node says: its followers wait."""
    messages = orjson.loads(frame)
    if not isinstance(messages, list):
        return frame
    messages = [message for message in messages if message.get("operation", {}).get("id") != lost]
    for message in messages:
        if message.get("operation", {}).get("entity_id") == "c-1":
            message["link"]["lock_status"] = "damaged"
    return orjson.dumps(messages)


def _resolutions(store: Store, pos: Terminal, cashier: Terminal) -> None:
    for terminal, side in ((pos, "accept_remote"), (cashier, "accept_local")):
        for message in terminal.of("sync_conflict"):
            conflict = message["conflict"]
            if conflict["state"] == "open":
                terminal.send({"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": side})
        store.quiet()
    pos.write("cashier_operations", "x-1", "UPDATE", {"amount": 99})
    store.quiet()


def _deletions(store: Store, pos: Terminal, cashier: Terminal) -> None:
    """Entities that are deleted over what was not seen: one is decided either way, and one is created again."""
    for name in ("c-3", "c-4", "c-5"):
        pos.write("customers", name, "CREATE", {"name": "Caio", "phone": "1"})
    store.quiet()
    pos.write("customers", "c-5", "DELETE", {})
    store.quiet()
    pos.write("customers", "c-5", "CREATE", {"name": "Caio"})
    store.wires[0].cut()
    for name in ("c-3", "c-4"):
        pos.write("customers", name, "DELETE", {})
        cashier.write("customers", name, "UPDATE", {"phone": "2"})
    store.quiet()
    open_ones = [m["conflict"] for m in pos.of("sync_conflict") if m["conflict"]["entity_id"] in ("c-3", "c-4")]
    for conflict, side in zip(open_ones, ("accept_local", "accept_remote"), strict=False):
        pos.send({"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": side})
    store.quiet()


def _disk(store: Store, pos: Terminal) -> None:
    """The hub's disk stores nothing for a while. What was sent then is sent again."""
    hub = store.worlds[0]
    operation = pos.operation("orders", "mesa-5", "CREATE", ORDER)
    hub.failing = True
    pos.submit(operation)
    pos.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-5", "lock_id": "unstored"})
    hub.settle()
    hub.failing = False
    store.quiet()
    pos.submit(operation)
    store.quiet()


def _strange(store: Store, pos: Terminal) -> None:
    """What no program of ours sends."""
    for timestamp in ("", '"\\ud800"}', "1e999}"):
        pos.say('{"type": "ping", "timestamp": ' + timestamp)
    pos.send({"type": "ping", "performance": {"memory_usage": 40.5}})
    pos.send({"type": "ping", "timestamp": 7})
    pos.send({"type": "who"})
    pos.send({"type": "sync_confirmation", "operation_id": "never"})
    pos.send({"type": "release_lock", "lock_id": "never"})
    pos.send({"type": "conflict_resolution", "conflict_id": "never", "resolution": "accept_local"})
    pos.send({"type": "data_sync", "operation": {"id": "a", "entity_type": "none", "operation": "CREATE"}})
    pos.write("orders", "mesa-3", "UPDATE", {"total": 1e300, "deep": [[[{"a": [1.5, None, True]}]]]})
    pos.send({"type": "data_sync", "operation": pos.operation("nothing", "n-1", "CREATE", {})})
    store.quiet()


def _moves(store: Store, waiter: Terminal) -> None:
    """The waiter's last write is sent to another node before the first one passed it on. A later one waits until what
    came meanwhile was read."""
    store.wires[0].cut()
    operation = waiter.operation("orders", "mesa-4", "CREATE", ORDER)
    waiter.submit(operation)
    store.worlds[1].settle()
    other = Terminal(store.worlds[0], "waiter-1", "waiter").connect()
    other.submit(operation)
    store.worlds[0].settle()
    other.receive()
    other.disconnect()
    store.quiet()
    waiter.send({"type": "data_sync", "operation": operation})
    store.quiet()
    waiter.disconnect()
    operation = waiter.operation("orders", "mesa-4", "UPDATE", {"status": "preparing"})
    store.worlds[1].advance(10_000)
    waiter.connect()
    store.quiet()
    waiter.submit(operation)
    store.quiet()


# ------------------------------------------------------------------ fields of every kind

LINES = [
    {"id": "1", "name": "Cerveja", "quantity": 1, "status": "pending"},
    {"id": "2", "name": "Vinho", "quantity": 2, "status": "sent"},
    {"id": "3", "name": "Pudim", "quantity": 1},
]
BILL = {"status": "pending", "items": LINES, "payments": [], "amount_paid": 0, "total": 30, "discount": 0}


NOTES = """
[entities.notes]
priority = "low"
requires_lock = false
conflict_resolution = "last_write_wins"
audit_required = true
"""


def _with_kinds() -> Config:
    """What we advise, with a group, and a type whose conflicts are decided by the latest write."""
    said = example_toml().replace("# [entities.orders]\n# groups", "[entities.orders]\ngroups")
    return parse(said + NOTES)


WITH_KINDS = _with_kinds()


def kinds(directory: Path) -> Store:
    store = Store(directory, WITH_KINDS)
    pos, kds = store.terminal(0, "pos-1"), store.terminal(0, "kds-1", "kds")
    waiter, cashier = store.terminal(1, "waiter-1", "waiter"), store.terminal(1, "pos-2", by_position=True)
    store.terminal(0, "mon-1", "monitor")
    store.link(1)
    store.quiet()
    for number in range(4):
        pos.write("orders", f"mesa-{number}", "CREATE", BILL)
        pos.write("customers", f"c-{number}", "CREATE", {"name": "Ana", "phone": "1", "points": 5})
    pos.write("products", "p-1", "CREATE", {"name": "Suco", "price": 7})
    pos.write("products", "p-2", "CREATE", {"name": "Bolo", "stock": 10})
    store.quiet()
    pos.write("products", "p-1", "UPDATE", {"stock": {"$inc": 24}})
    pos.write("products", "p-1", "UPDATE", {"stock": 24})
    kds.write("orders", "mesa-0", "UPDATE", {"items": [{**LINES[0], "status": "ready"}, *LINES[1:]]})
    store.quiet()
    _apart(store, pos, kds, waiter, cashier)
    store.quiet()
    _decided(store, pos, waiter)
    _restored(store, pos)
    store.link(2)
    store.quiet()
    _copies(store, cashier)
    _afresh(store, pos)
    hub = store.worlds[0]
    with suppress(Exception):  # its request is answered so, and everybody else goes on
        archive(hub, hub.store.head - 3)
    _misfits(store, pos)
    store.crash(1)
    for terminal in (waiter, cashier):
        terminal.session = None
    store.quiet()
    return store


def _apart(store: Store, pos: Terminal, kds: Terminal, waiter: Terminal, cashier: Terminal) -> None:
    """Both sides of an outage write the same fields."""
    store.wires[0].cut()
    new = store.terminal(1, "pos-3")
    beer, wine, cake = LINES
    two = {**beer, "quantity": 2, "status": "sent"}
    pos.write("orders", "mesa-0", "UPDATE", {"items": [two, cake], "total": 40, "discount": 5, "amount_paid": 10})
    waiter.write(
        "orders", "mesa-0", "UPDATE", {"items": [beer, {**wine, "quantity": {"$inc": 1}}, cake], "total": 35}
    )
    waiter.write("orders", "mesa-0", "UPDATE", {"status": "ready", "amount_paid": {"$inc": 7}})
    kds.write("orders", "mesa-0", "UPDATE", {"status": "preparing"})
    # a line moves to another order while somebody changes it
    pos.write("orders", "mesa-1", "UPDATE", {"items": [wine, cake]})
    pos.write("orders", "mesa-2", "UPDATE", {"items": [*LINES, {**beer, "id": "9"}, {**beer, "moved": True}][:4]})
    waiter.write("orders", "mesa-1", "UPDATE", {"items": [{**beer, "quantity": 4}, wine, cake]})
    moved = [
        {"entity_id": "mesa-1", "data": {"items": [beer, cake]}},
        {"entity_id": "mesa-3", "data": {"items": [wine]}},
    ]
    waiter.write("orders", None, "BULK_UPDATE", {"updates": moved})
    # paid over what is not seen
    cashier.write("orders", "mesa-3", "UPDATE", {"status": "paid", "payments": [{"id": "p", "amount": 30}]})
    pos.write("orders", "mesa-3", "DELETE", {})
    waiter.write("orders", "mesa-2", "DELETE", {})
    for terminal, phone in ((pos, "2"), (cashier, "3")):
        terminal.write("customers", "c-1", "UPDATE", {"phone": phone, "points": {"$inc": 1}})
        terminal.write("customers", "c-2", "UPDATE", {"points": None if phone == "2" else {"$set": 9}})
        terminal.write("notes", "n-1", "CREATE", {"text": phone, "more": {"a": [phone]}})
        terminal.write("products", "p-1", "UPDATE", {"stock": 20 + int(phone)})
    new.write("products", "p-2", "UPDATE", {"stock": 4, "version": 2})
    new.write("products", "p-2", "UPDATE", {"stock": 3, "version": 3})  # it counts its own write on
    pos.write("customers", "c-3", "DELETE", {})
    waiter.write("customers", "c-3", "UPDATE", {"phone": "7"})
    store.worlds[0].settle()
    store.worlds[1].settle()


def _decided(store: Store, pos: Terminal, waiter: Terminal) -> None:
    """Every conflict is decided, one by values of its own; what is paid is not taken back."""
    seen = {m["conflict"]["id"]: m["conflict"] for m in pos.of("sync_conflict") if m["conflict"]["state"] == "open"}
    for number, conflict in enumerate(seen.values()):
        decision: dict[str, Any] = {"resolution": ("merge", "accept_local", "accept_remote")[number % 3]}
        if not number % 3:
            decision["resolved_data"] = dict(conflict["local_data"])
        pos.send({"type": "conflict_resolution", "conflict_id": conflict["id"], **decision})
    store.quiet()
    waiter.write("orders", "mesa-3", "UPDATE", {"status": "pending"})
    waiter.write("orders", "mesa-3", "DELETE", {})
    waiter.write("orders", "mesa-3", "CREATE", {"status": "pending"})
    store.quiet()
    pos.write("orders", "mesa-0", "UPDATE", {"status": "pending"})
    pos.write("orders", "mesa-3", "DELETE", {})
    pos.write("orders", "mesa-3", "CREATE", {**BILL, "version": 1})
    store.quiet()


def _restored(store: Store, pos: Terminal) -> None:
    """As `comanda explain --restore` sends it."""
    read = {"restores": "pos-1/pos-1.op-0", "read_upto": store.worlds[0].core.log.head}
    pos.write("customers", "c-1", "UPDATE", {"phone": "1"}, **read)
    pos.write("orders", "mesa-0", "UPDATE", {"items": LINES}, **read)
    store.quiet()


def _copies(store: Store, cashier: Terminal) -> None:
    """One operation that counts is accepted by two nodes, and what one of them did is replaced there."""
    store.wires[0].cut()
    stock = cashier.operation("products", "p-2", "UPDATE", {"stock": {"$inc": -1}, "price": 5})
    both = [{"entity_id": name, "data": {"stock": {"$inc": -1}}} for name in ("p-1", "p-2")]
    bulk = cashier.operation("products", None, "BULK_UPDATE", {"updates": both})
    items = cashier.operation("orders", "mesa-1", "UPDATE", {"items": [{**LINES[1], "quantity": {"$inc": 1}}]})
    sent = (stock, bulk, items)
    for operation in sent:
        cashier.submit(operation)
    store.worlds[1].settle()
    cashier.receive()
    cashier.write("products", "p-2", "UPDATE", {"price": 6})
    store.worlds[1].settle()
    other = Terminal(store.worlds[0], "pos-2").connect()
    for operation in sent:
        other.send({"type": "data_sync", "operation": operation})
    store.worlds[0].settle()
    other.disconnect()
    store.quiet()


def _afresh(store: Store, pos: Terminal) -> None:
    """Products that were counted are deleted, and created again."""
    for name, data in (("p-1", {"stock": {"$inc": 5}}), ("p-2", {"name": "Bolo"})):
        pos.write("products", name, "DELETE", {})
        store.quiet()
        pos.write("products", name, "CREATE", data)
        store.quiet()


def _misfits(store: Store, pos: Terminal) -> None:
    """Values that no kind takes, and some that only make a list one value."""
    wrong: list[dict[str, Any]] = [
        {"amount_paid": "nine"},
        {"amount_paid": {"$inc": "1"}},
        {"amount_paid": 1e300},
        {"items": [{"id": "1", "quantity": "x"}]},
        {"items": [{"id": "1", "quantity": {"$inc": None}}]},
        {"@group": 1},
        {"deleted_at": "2026-01-15"},
    ]
    for number, data in enumerate(wrong):
        operation = pos.operation("orders", "mesa-0", "UPDATE", data)
        pos.send({"type": "data_sync", "operation": {**operation, "id": f"wrong-{number}"}})
    for value in (
        [{"id": "1"}, {"id": "1"}],
        [{"id": None}],
        "none",
        [],
        [{"id": f"{n}"} for n in range(2_001)],
        LINES,
    ):
        pos.write("orders", "mesa-2", "UPDATE", {"items": value})
        store.quiet()
    for status in (7, None, "unheard", "pending"):
        pos.write("orders", "mesa-2", "UPDATE", {"status": status})
    pos.write("orders", "mesa-2", "UPDATE", {"amount_paid": None})
    pos.write("orders", "mesa-2", "UPDATE", {"amount_paid": {"$set": 3}})
    store.quiet()


# ------------------------------------------------------------------ what is large, and what is much

PHOTO = 30_000


def large_config(scale: int) -> Config:
    limits = evolve(Config().limits, message_bytes=scale * 65_536, entity_bytes=scale * 40_000, terminals=6)
    return evolve(Config(), limits=evolve(limits, quarantine_bytes=65_536, resident_bytes=65_536))


def large(directory: Path) -> Store:
    """The hub's terminals take messages of 64 KiB, those of the leaf sixteen times as much."""
    store = Store(directory, large_config(1), large_config(16))
    pos, late = store.terminal(0, "pos-1"), store.terminal(0, "kds-2", "kds")
    other = store.terminal(1, "pos-2")
    store.terminal(0, "mon-1", "monitor")
    store.link(1)
    store.quiet()
    for number in range(3):
        pos.write("products", f"p-{number}", "CREATE", {"name": "Suco", "photo": str(number) * PHOTO})
    store.quiet()
    late.disconnect()
    store.terminals.remove(late)
    store.wires[0].cut()
    for terminal, letter in ((pos, "a"), (other, "b")):
        terminal.write("products", "p-0", "UPDATE", {letter: letter * (8_000 if letter == "a" else PHOTO)})
        terminal.write("customers", "c-1", "CREATE", {"phone": letter * PHOTO})
        terminal.write("customers", "c-1", "UPDATE", {"phone": letter.upper() * PHOTO})
    other.write("products", "p-3", "CREATE", {"photo": "x" * 2 * 65_536, "name": "Bolo"})
    other.write("products", "p-4", "CREATE", {f"photo-{n}": str(n) * 60_000 for n in range(10)})
    both = [{"entity_id": f"p-{n}", "data": {"photo": "y" * PHOTO, "more": str(n)}} for n in range(3)]
    other.write("products", None, "BULK_UPDATE", {"updates": both})
    store.quiet()
    for message in other.of("sync_conflict"):
        if message["conflict"]["state"] == "open":
            decided = {"conflict_id": message["conflict"]["id"], "resolution": "accept_local"}
            other.send({"type": "conflict_resolution", **decided})
    store.quiet()
    other.write("products", "p-4", "UPDATE", {f"photo-{n}": None for n in range(10)})
    other.write("products", "p-3", "UPDATE", {"photo": None})
    store.quiet()
    pos.send(
        {
            "type": "data_sync",
            "operation": {**pos.operation("products", "p-1", "UPDATE", {"a": "z" * PHOTO}), "id": "big"},
        }
    )
    _passed_over(pos)
    late.connect()
    store.terminals.append(late)
    _many(store, pos)
    _much_that_is_bad(store)
    store.link(2)
    store.quiet()
    other.write("products", "p-5", "CREATE", {"photo": "x" * 200_000})
    store.quiet()
    other.write("products", "p-5", "DELETE", {})
    other.write("products", "p-3", "DELETE", {})
    other.write("products", "p-4", "DELETE", {})
    store.quiet()
    return store


def _passed_over(pos: Terminal) -> None:
    """A message above all limits is read as far as it names something."""
    if pos.session is None or not pos.here:
        return
    operation = pos.operation("orders", "mesa-1", "CREATE", {"a": [{"b": "x" * 100, "c": [1, {"d": None}]}] * 50})
    text = orjson.dumps({"type": "data_sync", "operation": {**operation, "id": "too-big"}})
    try:
        passed = pos.session.skim()
        for at in range(0, len(text), 700):
            passed.feed(text[at : at + 700])
        passed.end(len(text), 100)
    except Exception:
        pos.connection.close(1011, "internal error")


def _many(store: Store, pos: Terminal) -> None:
    """More terminals than a node remembers, and more messages than one may send."""
    for number in range(8):
        Terminal(store.worlds[0], f"guest-{number}", "kds").connect().disconnect()
        store.worlds[0].settle()
    if pos.session is not None:
        pos.session.bucket = Bucket(10, 2, 2, store.worlds[0].mono_ms)
    for number in range(6):
        pos.send({"type": "ping"})
        pos.write("orders", f"mesa-{number}", "CREATE", {"status": "pending"})
    for _ in range(3):
        store.worlds[0].advance(1_001)
        store.quiet()


def _much_that_is_bad(store: Store) -> None:
    """More than the quarantine has room for; somebody drops what is left."""
    hub = store.worlds[0]
    rogue = Rogue(hub, "relay")
    with suppress(Exception):  # its connection ends with it
        rogue.connect()
        rogue.say({"type": "speaks_for", "nodes": ["far-1", "far-2"]})
        for number in range(24):
            key = ("orders", f"far-{number}")
            note = {"note": str(number) * 4_000}
            far = {"origin": f"far-{1 + number % 2}"}
            rogue.say(rogue.operation(key, note, [(("total",), 1)], terminal="far-till", link=far))
            hub.settle()
    with suppress(Exception):
        hub.core.links.unlink(rogue.link)
    for row in list(hub.core.replica.quarantine):
        with suppress(Exception):
            hub.core.drop_parked(row.id)
    hub.settle()


# ------------------------------------------------------------------ what takes several turns

WIDE = {f"field-{number}": number for number in range(130)}


def _wide(value: object, of: str = "p") -> dict[str, Any]:
    fields = {f"field-{number}": value for number in range(4)}
    return {"updates": [{"entity_id": f"{of}-{number}", "data": fields} for number in range(24)]}


def _some_turns(store: Store, count: int) -> None:
    """Of the hub, in which it begins with what waits."""
    calls = store.worlds[0].calls
    for _ in range(count):
        if calls:
            calls.popleft()()


def _spoiled(operation_id: str, frame: bytes) -> bytes:
    """One operation says what no node says: what builds on it waits."""
    loaded = orjson.loads(frame)
    for message in loaded if isinstance(loaded, list) else [loaded]:
        if message.get("operation", {}).get("id") == operation_id:
            message["link"]["lock_status"] = "damaged"
    return orjson.dumps(loaded)


def turns(directory: Path) -> Store:
    """Operations that are decided in several turns, among small ones, refused ones, and a disk that fails."""
    store = Store(directory)
    hub = store.worlds[0]
    pos, third = store.terminal(0, "pos-1"), store.terminal(0, "pos-3")
    other = store.terminal(1, "pos-2")
    store.terminal(0, "mon-1", "monitor")
    store.link(1)
    store.quiet()
    third.write("orders", "mesa-3", "CREATE", {"status": "pending"})
    pos.write("products", None, "BULK_UPDATE", _wide(0))
    pos.write("orders", "mesa-1", "CREATE", WIDE)
    other.write("products", "p-3", "UPDATE", {"field-1": "other"})
    store.quiet()
    store.wires[0].cut()
    for number, terminal in enumerate((pos, other)):
        terminal.write("products", None, "BULK_UPDATE", _wide(1 + number))
        terminal.write("customers", None, "BULK_UPDATE", _wide(1 + number))
        terminal.write("orders", "mesa-1", "UPDATE", dict.fromkeys(WIDE, number))
    store.quiet()
    pos.write("products", None, "BULK_UPDATE", _wide(3))
    _some_turns(store, 3)
    third.write("products", "p-2", "UPDATE", {"field-1": "third"})
    third.write("products", None, "BULK_UPDATE", _wide(4))
    store.quiet()
    pos.write("products", "p-1", "DELETE", {})
    pos.write("products", None, "BULK_UPDATE", _wide(5))
    store.quiet()
    spoiled = pos.operation("products", None, "BULK_UPDATE", _wide(6, "q"))
    store.wires[0].damage = partial(_spoiled, spoiled["id"])
    pos.submit(spoiled)
    pos.write("products", None, "BULK_UPDATE", _wide(7, "q"))
    store.quiet()
    store.wires[0].damage = None
    for _ in range(3):
        for world in store.worlds:
            world.advance(61_000)
        store.quiet()
    pos.write("orders", "mesa-2", "CREATE", WIDE)
    _some_turns(store, 1)
    hub.failing = True
    third.write("orders", "mesa-4", "CREATE", {"status": "pending"})
    hub.settle()
    hub.failing = False
    with suppress(Exception):
        hub.recover()
    store.quiet()
    store.link(2)
    store.quiet()
    return store


# ------------------------------------------------------------------ who is not who it says


def strangers(directory: Path) -> Store:
    store = Store(directory)
    hub, leaf, _ = store.worlds
    pos, waiter = store.terminal(0, "pos-1"), store.terminal(1, "waiter-1", "waiter")
    store.terminal(0, "mon-1", "monitor")
    store.link(1)
    store.quiet()
    pos.write("orders", "mesa-1", "CREATE", {"status": "pending"})
    waiter.write("orders", "mesa-2", "CREATE", {"status": "pending"})
    store.quiet()
    backup = directory / "backup"
    shutil.copytree(leaf.directory, backup)
    waiter.write("orders", "mesa-3", "CREATE", {"status": "pending"})
    waiter.write("orders", "mesa-1", "UPDATE", {"total": 5})
    store.quiet()
    _set_back(store, waiter, backup)
    store.quiet()
    _set_back(store, waiter, backup)
    with suppress(Exception):  # as `comanda restore` does; what fails there is told at once
        leaf.core.replica.residents.write_as(next(leaf.writers))
    for number in range(9):
        waiter.write("orders", f"fork-{number}", "CREATE", {"status": "pending"})
    leaf.settle()
    store.quiet()
    _rogue(store, directory)
    for world in store.worlds:
        for _ in range(2):
            world.advance(HEAD_INTERVAL_MS)
    store.quiet()
    with suppress(Exception):
        hub.core.links.report_twin("another node with this node's id")
        orjson.dumps([hub.core.replica.keyring.report(), hub.core.replica.keyring.waiting])
    _moves(store, waiter)
    store.link(2)
    store.quiet()
    return store


def _set_back(store: Store, waiter: Terminal, backup: Path) -> None:
    """The leaf's disk is set back, and nothing on it tells."""
    store.wires[0].cut()
    waiter.disconnect()
    leaf = store.worlds[1]
    leaf.reader.close()
    leaf.store.abandon()
    shutil.rmtree(leaf.directory)
    shutil.copytree(backup, leaf.directory)
    leaf.calls.clear()
    leaf.timers.clear()
    leaf.mono_ms = 0
    leaf.boot()
    waiter.full = True
    waiter.screen.clear()


def _rogue(store: Store, directory: Path) -> None:
    """A node with a key of its own says what it may not; somebody decides about its key and its operations."""
    hub = store.worlds[0]
    core = hub.core
    for name, role in (("rogue", "downstream"), ("rogue", "peer")):
        (directory / f"{name}-{role}").mkdir()
        rogue = Rogue(hub, name, role, key=signatures(directory / f"{name}-{role}"))
        with suppress(Exception):  # its connection ends with it
            rogue.connect()
            rogue.say({"type": "speaks_for", "nodes": ["far-1", "n1"]})
            good = [
                rogue.operation(("orders", f"{name}-{n}"), {"a": n}, [(("a",), n)], kind="CREATE") for n in range(3)
            ]
            sign_together(good, rogue.key)
            rogue.say(*good)
            rogue.say(rogue.operation(("orders", "mesa-1"), {"b": 1}, [(("total",), 1)]))
            rogue.say(rogue.operation(("orders", "mesa-1"), {"b": 1}, [(("b",), 1)], link={"origin": "far-1"}))
            rogue.say(rogue.operation(("orders", "mesa-1"), {"b": 2}, [(("b",), 2)], link={"origin": "nobody"}))
            rogue.say(rogue.state(("orders", "mesa-2")), {"type": "nothing"})
            hub.settle()
        with suppress(Exception):
            hub.core.links.unlink(rogue.link)
    with suppress(Exception):  # requests of a person: each is answered so
        for node, keys in list(core.replica.keyring.offered.items()):
            core.decide_key("trust", node, fingerprint(next(iter(keys))))
        core.decide_key("trust", "rogue", "none")
        core.decide_key("forget", "rogue", fingerprint(rogue.key.public))
        hub.settle()
    for row in list(core.replica.quarantine):
        with suppress(Exception):
            core.drop_parked(row.id)
    hub.settle()


# ------------------------------------------------------------------ what fails already


def broken(directory: Path) -> Store:
    """Disks that do not read for a while, an entity that cannot be stored, a row that no disk takes."""
    store = Store(directory)
    hub, leaf, _ = store.worlds
    pos, kds = store.terminal(0, "pos-1"), store.terminal(0, "kds-1", "kds")
    waiter = store.terminal(1, "waiter-1", "waiter")
    store.link(1)
    store.quiet()
    for number in range(6):
        pos.write("orders", f"mesa-{number}", "CREATE", {"status": "pending"})
        waiter.write("customers", f"c-{number}", "CREATE", {"phone": "1"})
    store.quiet()
    for world in (hub, leaf):
        world.unreadable = lambda read, *rest: read in ("fetch", "reached", "state", "linked", "places", "wholes")
        for number in range(6):
            pos.write("orders", f"mesa-{number}", "UPDATE", {"status": "ready", "n": number})
            waiter.write("customers", f"c-{number}", "UPDATE", {"phone": "2"})
        kds.disconnect()
        kds.connect(full=True)
        for _ in range(3):
            store.worlds[0].advance(1_001)
            store.worlds[1].advance(1_001)
            store.quiet()
        world.unreadable = None
        for terminal in (pos, waiter, kds):
            terminal.flush()
        store.quiet()
    _unstorable(store, pos, waiter)
    _failing_code(store, pos, waiter)
    store.link(2)
    store.quiet()
    return store


FAILING: tuple[tuple[type, str], ...] = (
    (Replica, "durable"),
    (Core, "committed"),
    (Core, "_answer"),
    (Core, "_send"),
    (Core, "_refuse"),
    (Session, "_handle"),
    (Session, "_operation"),
    (Session, "_ping"),
    (TerminalFeed, "take"),
    (Link, "_take"),
    (Link, "pump"),
    (Inbox, "enqueue"),
    (Held, "moved"),
    (Log, "take"),
)
"""What fails once, each in turn, while both terminals write. Each surfaces elsewhere."""


@contextmanager
def failing_once(cls: type, name: str) -> Iterator[None]:
    before = getattr(cls, name)

    def fails(*arguments: Any, **named: Any) -> Any:
        setattr(cls, name, before)
        raise PlantedError(name)

    setattr(cls, name, fails)
    try:
        yield
    finally:
        setattr(cls, name, before)


def _failing_code(store: Store, pos: Terminal, waiter: Terminal) -> None:
    hub = store.worlds[0]
    for terminal in store.terminals:
        terminal.full = True
    for number, (cls, name) in enumerate(FAILING):
        with failing_once(cls, name):
            if name == "_refuse":
                hub.failing = True
            if name == "moved":
                with suppress(Exception):
                    archive(hub, hub.store.head - 3)
            if name == "_ping":
                pos.send({"type": "ping"})
            for terminal in (pos, waiter):
                terminal.write("orders", f"mesa-{number}", "CREATE", {"status": "ready", "n": number})
                terminal.write("orders", "mesa-1", "UPDATE", {"total": number})
            hub.settle()
            hub.failing = False
            store.quiet()
        for terminal in (pos, waiter):
            terminal.flush()
        store.quiet()


def _unstorable(store: Store, pos: Terminal, waiter: Terminal) -> None:
    row, append = Entity.row, Log.append

    def failing_row(entity: Entity) -> EntityRow:
        if entity.key[1] == "cannot-be-encoded":
            raise PlantedError("row")
        return row(entity)

    def failing_append(log: Log, written: LogRow) -> None:
        if written.entity_id == "cannot-be-stored":
            written.version = 2**63
        append(log, written)

    Entity.row, Log.append = failing_row, failing_append  # type: ignore[method-assign]
    try:
        for terminal in (pos, waiter):
            for name in ("cannot-be-encoded", "cannot-be-stored"):
                terminal.full = True
                terminal.write("orders", name, "CREATE", {"status": "pending"})
                terminal.write("orders", "mesa-1", "UPDATE", {"total": 1})
                store.quiet()
    finally:
        Entity.row, Log.append = row, append  # type: ignore[method-assign]


EVENINGS: dict[str, Callable[[Path], Store]] = {
    "floor": floor,
    "kinds": kinds,
    "large": large,
    "turns": turns,
    "strangers": strangers,
    "broken": broken,
}

FAILS_ALREADY = {"broken"}
"""Evenings in which the node's own code fails without a poisoned function."""
