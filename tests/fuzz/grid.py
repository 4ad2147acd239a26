"""The grid: every documented message, each of its members wrong in turn, in each state that its entity may be in.

A cell is (message, member, value, state). A node with a history (in memory, on disk, archived, deleted, locked, in
conflict, frozen, unknown) is sent the message by a guest. Whatever it is, the node lives and everybody else is
served; the guest gets exactly one answer, well formed and naming what the message carried; what was confirmed is
there, also after a crash, and `comanda verify` finds nothing.

    python -m tests.fuzz grid --seconds 600
"""

from __future__ import annotations

import itertools
import json
import logging
import random
import re
import shutil
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from node.config.example import example_toml
from node.config.reading import load
from node.core.history.verify import Verification
from node.wire.close_codes import DOCUMENTED
from node.wire.codec import RESOLUTIONS
from node.wire.messages import KINDS
from node.wire.outgoing import LONGEST_ERROR
from storage.sqlite.history_reader import HistoryReader
from tests.archives import archive
from tests.fuzz.cores import SHM
from tests.harness import Client, World
from tests.wire.test_refusals_name import MISSING, VALUES, carried, fields, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Report = Callable[["Cell | None", Exception], None]

COPIES = 12
"""Entities of each state in one node. Each cell takes its own; then comes a fresh node."""

CELLS_OF_A_GUEST = 60
"""A guest is closed after 100 unreadable messages, so another one comes before that."""

STATES: dict[str, tuple[str, str]] = {
    "in memory": ("orders", "mem"),
    "on disk": ("orders", "disk"),
    "archived": ("orders", "arch"),
    "deleted": ("orders", "del"),
    "deleted, on disk": ("products", "deldisk"),
    "locked by another": ("orders", "locked"),
    "locked by the guest": ("orders", "own"),
    "counted": ("products", "stock"),
    "in conflict": ("customers", "disputed"),
    "frozen": ("cashier_operations", "frozen"),
    "unknown": ("orders", "none"),
    "of an unknown type": ("ghosts", "none"),
}
"""State -> its entity type and how its entities' ids begin."""

DATA: dict[str, dict[str, Any]] = {
    "orders": {"status": "ready", "items": [{"id": "1", "name": "Moqueca", "quantity": 2}], "total": 89.5},
    "products": {"stock": 5, "price": 7.25, "name": "Guaraná"},
    "customers": {"name": "Ana", "phone": "5550-0001", "points": 3},
    "cashier_operations": {"amount": 50, "kind": "withdrawal"},
    "ghosts": {"a": 1},
}

VALUES_MORE: list[Any] = [
    *(2**53, -(2**63), 1e15, 1e300, 5e-324, 0.1 + 0.2, -0.0, "9,5", "9", "mem-0", "disk-0", "none-0", "orders"),
    *(
        {"$inc": -1e-9},
        {"$inc": "1"},
        {"$inc": None},
        {"$set": 3},
        {"$inc": 1, "$set": 1},
        [{"id": "1"}, {"id": "1"}],
    ),
    *([{"id": 1, "quantity": {"$inc": 1}}], [{"id": None}], [{"id": "@group"}], {"status": "paid"}, {"": ""}),
    *(
        "CREATE",
        "DELETE",
        "BULK_UPDATE",
        "merge",
        "accept_local",
        "high",
        "guest-0",
        "l-own-0",
        "2026-01-15T12:00:00",
    ),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-23:59", "2026-01-15T10:30:00+99:99", "١٢", "a" * 128),
]
EVERY_VALUE = [MISSING, *VALUES, *VALUES_MORE]

ANSWERS = {
    *("sync_confirmation", "sync_error", "lock_acquired", "lock_failed", "lock_released", "pong"),
    *("data_sync", "sync_conflict", "conflict_resolution", "connection_established"),
}


def stands_in(where: str, sent: Any) -> bool:
    """Whether a place is one of this message: it is there, or could be where it is missing."""
    steps = re.findall(r"\.([^.\[\]]*)|\[(\d+)\]", where.removeprefix("$"))
    if where != "$" + "".join(f"[{number}]" if number else f".{name}" for name, number in steps):
        return where.startswith("$")  # a name with such characters in it
    for at, (name, number) in enumerate(steps):
        if number:
            if not isinstance(sent, list) or int(number) >= len(sent):
                return False
            sent = sent[int(number)]
        elif not isinstance(sent, dict):
            return False
        elif name not in sent:
            return at == len(steps) - 1
        else:
            sent = sent[name]
    return True


def updated(sent: Any) -> list[Any]:
    """The entities that a message updates at once."""
    for name in ("operation", "data", "updates"):
        sent = sent.get(name) if isinstance(sent, dict) else None
    return [one.get("entity_id") for one in sent if isinstance(one, dict)] if isinstance(sent, list) else []


@frozen
class Cell:
    kind: str
    path: tuple[str, ...]
    value: Any
    state: str

    def __str__(self) -> str:
        value = "missing" if self.value is MISSING else json.dumps(self.value)
        return f"{self.kind} {'.'.join(self.path)} = {value[:120]} ({self.state})"


def message(kind: str, state: str, number: int, own_id: str) -> dict[str, Any]:
    """A good message of a kind, about an entity in this state."""
    entity_type, prefix = STATES[state]
    entity = {"entity_type": entity_type, "entity_id": f"{prefix}-{number}"}
    terminal = {"terminal_id": "guest"}
    when = {"timestamp": "2026-01-15T10:00:00.000Z"}
    data = {**DATA[entity_type], "version": 2}
    if kind in KINDS:
        operation = {"id": own_id, **entity, "operation": kind, "data": data, "version": 2, **when, **terminal}
        operation |= {"user_id": "lia", "requires_lock": True, "priority": "high", "lock_id": f"l-own-{number}"}
        if kind == "DELETE":
            operation["data"] = {"deleted_at": "2026-01-15T10:00:00.000Z", "version": 2}
        if kind == "BULK_UPDATE":
            del operation["lock_id"]  # the entity's id stays, as some clients put one into every operation
            operation["data"] = {"updates": [{"entity_id": entity["entity_id"], "data": data}]}
        return {"type": "data_sync", "operation": operation}
    lock = {"lock_id": f"l-{'own' if state == 'locked by the guest' else 'new'}-{number}"}
    return {
        "acquire_lock": {"type": "acquire_lock", **entity, **terminal, "timeout": 30_000, **lock},
        "release_lock": {"type": "release_lock", **lock, **terminal},
        "sync_confirmation": {"type": "sync_confirmation", "operation_id": own_id, **terminal, **when, "seq": 3},
        "ping": {"type": "ping", **when, "performance": {"response_time": 21, "memory_usage": 61.5}},
        **{
            side: {
                "type": "conflict_resolution",
                "conflict_id": f"conflict of {number}",  # the grid puts the conflict's id here
                "resolution": side,
                "resolved_data": {name: value for name, value in data.items() if name != "id"},
                **terminal,
                "id": own_id,
                "reason": "asked the guest",
            }
            for side in RESOLUTIONS
        },
    }[kind]


MESSAGE_KINDS = (*KINDS, "acquire_lock", "release_lock", *RESOLUTIONS, "sync_confirmation", "ping")


def cells() -> Iterator[Cell]:
    """All of them: some 70,000."""
    for kind, state in itertools.product(MESSAGE_KINDS, STATES):
        if kind in ("ping", "sync_confirmation") and state != "in memory":
            continue
        for path in ((), *fields(message(kind, state, 0, "x"))):
            for value in EVERY_VALUE if path else [None]:
                yield Cell(kind, path, value, state)


class Grid:
    """Sends cells to a node, and a fresh one when that is used up. Raises AssertionError for what must not be."""

    def __init__(self, copies: int = COPIES) -> None:
        self._copies = copies
        self._folder: Path | None = None
        self._left: dict[str, list[int]] = {}
        self._numbers = itertools.count()
        self._sent = 0
        self._conflicts: dict[str, str] = {}
        self.confirmed: set[str] = set()

    def __call__(self, cell: Cell) -> None:
        if not self._left.get(cell.state):
            self.close()
            self._fresh()
        if self._sent % CELLS_OF_A_GUEST == 0:
            self.guest.disconnect()
            self.guest = Client(self.world, "guest", "pos", pongs=False).connect()
            self._settle()
        self._sent += 1
        number = self._left[cell.state].pop()
        own_id = f"guest-{next(self._numbers)}"
        good = message(cell.kind, cell.state, number, own_id)
        if "conflict_id" in good:
            good["conflict_id"] = self._conflicts.get(f"{STATES[cell.state][1]}-{number}", "conflict-0")
        sent = put(good, cell.path, cell.value) if cell.path else good
        self._send(sent, json.dumps(sent))

    # ------------------------------------------------------------------ one message

    def _send(self, sent: dict[str, Any], text: str) -> None:
        answers = self._answers(text)
        for answer in answers:
            self._check(sent, answer)
        deciding = [a for a in answers if a["type"] not in ("data_sync", "sync_conflict", "conflict_resolution")]
        kind = sent.get("type")
        if kind == "sync_confirmation":
            assert len(deciding) <= 1, deciding
        else:
            assert len(deciding) == 1, deciding or "no answer"
        if deciding and deciding[0]["type"] == "sync_confirmation":
            first = deciding[0]
            self.confirmed.add(first["operation_id"])
            again = [a for a in self._answers(text) if a["type"] in ("sync_confirmation", "sync_error")]
            assert [(a["type"], a.get("status")) for a in again] == [("sync_confirmation", "duplicate")], again
            assert again[0]["version"] == first["version"]

    def _answers(self, text: str) -> list[dict[str, Any]]:
        assert self.guest.session is not None
        self.guest.inbox.clear()
        self.guest.session.receive(text)
        self._settle()
        assert self.guest.connection.closed is None, self.guest.connection.closed
        assert self.world.core.health.ok, self.world.core.trouble
        assert self.world.core.replica.faults.count == 0, "the node's own code failed"
        return self.guest.inbox

    def _settle(self) -> None:
        self.world.settle()
        while self.guest.receive() + self.healthy.receive():
            self.world.settle()

    def _check(self, sent: dict[str, Any], answer: dict[str, Any]) -> None:
        assert answer["type"] in ANSWERS, answer
        if answer["type"] == "lock_failed":
            assert carried(sent).items() <= answer.items()
        if answer["type"] != "sync_error":
            return
        assert answer["code"] in DOCUMENTED, answer
        assert answer["code"] not in (4001, 4002, 4003, 4004, 4005)
        assert len(answer["error"]) <= 3 * LONGEST_ERROR
        assert all(text.isprintable() for text in answer.values() if isinstance(text, str)), answer
        expected = carried(sent)
        if answer.get("entity_id") in updated(sent):  # named is the one of its entities that stops a BULK_UPDATE
            expected.pop("entity_id", None)
        assert expected.items() <= answer.items(), answer
        if answer["code"] in (4006, 4007, 4008):
            assert stands_in(answer["where"], sent), answer
        if answer.get("kept"):
            assert self.world.reader.audit(kinds=("refused",), after=0)

    # ------------------------------------------------------------------ the node

    def _fresh(self) -> None:
        self._folder = Path(tempfile.mkdtemp(dir=SHM if SHM.is_dir() else None))
        settings = self._folder / "comanda.toml"
        settings.write_text(example_toml(), encoding="utf-8")
        self.world = World(self._folder / "data", config=load(settings), resident=10_000, window=10_000)
        self.confirmed.clear()
        self._sent = 0
        self._left = {state: list(range(self._copies)) for state in STATES}
        self.guest = Client(self.world, "guest", "pos", pongs=False).connect()
        self.healthy = Client(self.world, "healthy", "pos").connect()
        self._write_history()
        self.guest.connect()
        numbers = self.healthy.numbers
        self.healthy = Client(self.world, "healthy", "pos").connect(full=True)
        self.healthy.numbers = numbers
        self._settle()
        self._touch()

    def _write_history(self) -> None:
        made = [state for state in STATES if STATES[state][1] != "none"]
        self._create("archived")
        self._settle()
        archive(self.world, batch=1_000)
        for state in made:
            if state != "archived":
                self._create(state)
        self._settle()
        for state in ("deleted, on disk",):
            self._delete(state)
        rival = Client(self.world, "rival", "pos", confirms=False, pongs=False).connect()
        for state, name in (("in conflict", "phone"), ("frozen", "amount")):
            entity_type, prefix = STATES[state]
            for number in range(self._copies):
                self.healthy.write(entity_type, f"{prefix}-{number}", "UPDATE", {name: 1})
                rival.write(entity_type, f"{prefix}-{number}", "UPDATE", {name: 2, "version": 2})
        self._settle()
        rival.disconnect()
        self._settle()
        self.guest.disconnect()
        self.healthy.disconnect()
        self.world.crash()
        rows = self.world.core.replica.conflicts.known.values()
        self._conflicts = {row.entity_id: row.conflict_id for row in rows if row.state == "open"}
        assert len(self._conflicts) == 2 * self._copies, self._conflicts

    def _touch(self) -> None:
        """What is not on disk alone, and does not outlive a crash."""
        for number in range(self._copies):
            self.healthy.write("orders", f"mem-{number}", "UPDATE", {"note": "x"})
            self.healthy.send(
                {"type": "acquire_lock", "entity_type": "orders", "entity_id": f"locked-{number}", "timeout": 600_000}
            )
            mine = {"entity_type": "orders", "entity_id": f"own-{number}", "lock_id": f"l-own-{number}"}
            self.guest.send({"type": "acquire_lock", **mine, "timeout": 600_000})
        self._delete("deleted")
        self._settle()

    def _create(self, state: str) -> None:
        entity_type, prefix = STATES[state]
        for number in range(self._copies):
            self.healthy.write(entity_type, f"{prefix}-{number}", "CREATE", DATA[entity_type])

    def _delete(self, state: str) -> None:
        entity_type, prefix = STATES[state]
        for number in range(self._copies):
            self.healthy.write(entity_type, f"{prefix}-{number}", "DELETE", {})

    def close(self) -> None:
        """The end of a node: everybody is served, nothing confirmed is lost, also after a crash."""
        if self._folder is None:
            return
        folder, self._folder = self._folder, None
        try:
            self._works()
            self._holds()
            for client in (self.guest, self.healthy):
                client.disconnect()
            before = {entity_type: self.world.view(entity_type) for entity_type in DATA}
            self.world.crash()
            assert {entity_type: self.world.view(entity_type) for entity_type in DATA} == before
            self._holds()
        finally:
            self.world.close()
            shutil.rmtree(folder)
            self._left = {}

    def drop(self) -> None:
        """What failed is not gone on from."""
        if self._folder is not None:
            folder, self._folder = self._folder, None
            self.world.close()
            shutil.rmtree(folder)
        self._left = {}

    def _works(self) -> None:
        answer = self.healthy.do("products", "healthy", "UPDATE", {"n": next(self._numbers)})
        assert answer["type"] == "sync_confirmation", answer
        self._settle()
        for entity_type in DATA:
            shown = {
                entity: {name: value for name, value in data.items() if name != "version"}
                for entity, data in self.world.view(entity_type).items()
            }
            assert self.healthy.shown(entity_type) == shown, entity_type

    def _holds(self) -> None:
        rows = {row.operation_id for row in self.world.reader.audit(terminal_id="guest", limit=100_000)}
        assert self.confirmed <= rows, self.confirmed - rows
        with closing(HistoryReader(self.world.store.path)) as reader:
            found = [f"{f.where}: {f.what}" for f in Verification(reader, self.world.core.replica.registry, ()).run()]
        assert found == []


def run(chosen: list[Cell], seconds: float, report: Report, copies: int = COPIES) -> int:
    """Try cells one after the other for so long; how many were tried. A failure is told to `report`, and a fresh node
    goes on."""
    until, tried, grid = time.monotonic() + seconds, 0, Grid(copies)
    logger = logging.getLogger("comanda")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        for cell in chosen:
            if time.monotonic() > until:
                break
            tried += 1
            try:
                grid(cell)
            except Exception as error:
                report(cell, error)
                grid.drop()
        try:
            grid.close()
        except Exception as error:
            report(None, error)
    finally:
        logger.setLevel(level)
    return tried


def main(seconds: float, seed: int) -> int:
    """Print what is found; the number of findings."""
    every, found = list(cells()), 0
    random.Random(seed).shuffle(every)

    def report(cell: Cell | None, error: Exception) -> None:
        nonlocal found
        found += 1
        said = f"{type(error).__name__}: {str(error) or '-'}"[:600]
        print(f"FOUND {cell or 'at the end of a node'}\n      {said}", flush=True)

    tried = run(every, seconds, report)
    print(f"grid: seed {seed}, {tried:,} of {len(every):,} cells, {found} findings", flush=True)
    return found
