"""Target: operations of a linked node whose updates hold any records, one after the other, at a node with a history.

An input is lines of JSON. Each is one operation: what it says, the records that its update adds, and which live
records it removes. Its bytes and its key are well made, so that what is wrong is what it does. `"@id"` stands for the
operation's id and `"@now"` for the time.
"""

from __future__ import annotations

from base64 import b64encode
from contextlib import closing
from typing import Any

import orjson

from crdt import hlc
from crdt.document import Document
from crdt.engine import EngineError
from crdt.records import name_of
from crdt.update_encoder import encode_edit
from node.config.sections import Config
from node.core.history.verify import Verification
from storage.records import link_key
from storage.sqlite.history_reader import HistoryReader
from tests.fuzz.cores import FreshNode
from tests.harness import Client, World
from tests.rogue import Rogue

VERIFIED_EVERY = 20
"""After so many inputs the node is started again and verified."""

LINES = [{"id": "1", "name": "Suco", "quantity": 2}, {"id": "2", "name": "Bolo"}]
MADE: list[tuple[str, str, dict[str, Any]]] = [
    ("orders", "o-1", {"status": "pending", "items": LINES, "total": 9}),
    ("products", "p-1", {"name": "Suco", "stock": 12, "price": 7}),
    ("customers", "c-1", {"name": "Ana", "phone": "1", "points": 3}),
    ("cashier_operations", "x-1", {"amount": 10}),
    ("orders", "gone", {"status": "pending"}),
]


def _record(path: list[str], value: object) -> list[object]:
    return ["f", path, value, "@now", "far-till", "@id", 9, "@now", "@now"]


def _operation(entity: int, data: dict[str, Any], *records: object, kind: str = "UPDATE", removes: Any = ()) -> bytes:
    said = {"entity": entity, "kind": kind, "data": data, "removes": list(removes)}
    return orjson.dumps({**said, "records": [["h", 1, {}], *records]})


class Records:
    def __init__(self) -> None:
        self._node = FreshNode(upstream=False)
        self._inputs = self._operations = 0
        self._world: World | None = None

    def __call__(self, data: bytes) -> None:
        world = self._node.fresh()
        try:
            if world is not self._world:
                self._world = world
                self._history(world)
            rogue = Rogue(world, "far").connect()
            for line in data.split(b"\n")[:8]:
                message = self._message(world, line)
                if message is not None and not rogue.closed:
                    rogue.say(message)
                    world.settle()
            self._node.works()
            if not rogue.closed:
                world.core.links.unlink(rogue.link)
            assert world.core.replica.faults.count == 0, "the node's own code failed"
            self._inputs += 1
            if self._inputs % VERIFIED_EVERY == 0:
                self._verified(world)
        except BaseException:
            self._node.broken()
            self._world = None
            raise

    def _history(self, world: World) -> None:
        rival = Client(world, "rival", confirms=False, pongs=False).connect()
        for entity_type, entity_id, data in MADE:
            self._node.healthy.write(entity_type, entity_id, "CREATE", data)
        for name in ("phone", "name"):
            self._node.healthy.write("customers", "c-1", "UPDATE", {name: "2"})
            rival.write("customers", "c-1", "UPDATE", {name: "3", "version": 2})
        self._node.healthy.write("orders", "gone", "DELETE", {})
        world.settle()
        rival.disconnect()
        world.settle()
        self._node.healthy.receive()
        world.settle()

    def _message(self, world: World, line: bytes) -> dict[str, Any] | None:
        """The operation of one line; None where the line is none, or no engine would write it."""
        self._operations += 1
        operation_id, writer = f"far-{self._operations}", 1_000_000 + self._operations
        now = hlc.pack(world.wall_ms)
        line = line.replace(b'"@id"', orjson.dumps(operation_id)).replace(b'"@now"', b"%d" % now)
        try:
            said = orjson.loads(line)
            entity_type, entity_id, _ = MADE[said["entity"] % len(MADE)]
            operation = {"id": operation_id, "entity_type": entity_type, "entity_id": entity_id}
            operation |= {
                "operation": said.get("kind"),
                "data": said.get("data"),
                "timestamp": hlc.iso(world.wall_ms),
            }
            orjson.dumps([operation])  # not too deep
            texts = [orjson.dumps(record).decode() for record in said["records"]]
            key = (entity_type, entity_id)
            stored = world.reader.fetch([key], (), ()).entities[key]
            live = sorted(Document.load(stored.snapshot, writer=writer, engine="pycrdt").by_id)
            removed = sorted({live[number % len(live)] for number in said["removes"] if live})
            update = encode_edit(writer, 0, texts, removed)
        except (ValueError, TypeError, KeyError, AttributeError, EngineError):
            return None
        before = {str(writer): 0, **{str(of): clock + 1 for of, clock in removed}}
        entry = [entity_type, entity_id, b64encode(update).decode(), before, [writer, 0, len(texts)]]
        link = {
            "updates": [entry],
            "key": link_key(name_of("far-till", operation_id), [entry]),
            "hlc": [now, now],
            "origin": "far",
            "terminal_id": "far-till",
            "user_id": None,
            "lock_status": "unlocked",
        }
        return {"type": "data_sync", "operation": {**operation, "terminal_id": "far-till"}, "link": link}

    def _verified(self, world: World) -> None:
        self._node.healthy.disconnect()
        world.crash()
        self._node.healthy = Client(world, "healthy").connect(full=True)
        self._node.healthy.numbers = iter(range(10**6 + self._inputs * 1_000, 10**9))  # type: ignore[assignment]
        world.settle()
        with closing(HistoryReader(world.store.path)) as reader:
            found = [f"{f.where}: {f.what}" for f in Verification(reader, Config().registry(), ()).run()]
        assert not found, found

    def close(self) -> None:
        self._node.close()
        self._world = None

    @staticmethod
    def seeds() -> list[bytes]:
        plain = _operation(0, {"status": "ready"}, _record(["status"], "ready"))
        first = _operation(0, {"total": 10, "note": "x"}, _record(["total"], 10), _record(["note"], "x"), removes=[0])
        line = _operation(0, {"items": [{"id": "3"}]}, _record(["items", "3"], {"id": "3"}), removes=[1, 2])
        stock = orjson.dumps(
            {
                "entity": 1,
                "kind": "UPDATE",
                "data": {"stock": {"$inc": -2}},
                "removes": [],
                "records": [["h", 1, {"stock": "-2"}]],
            }
        )
        phone = _operation(2, {"phone": "9"}, _record(["phone"], "9"), removes=[0, 1])
        amount = _operation(3, {"amount": 1}, _record(["amount"], 1), removes=[0])
        deleted = _operation(0, {}, _record(["deleted_at"], "2026-01-15T10:00:00.000Z"), kind="DELETE", removes=[0])
        revived = _operation(4, {"status": "x"}, _record(["status"], "x"), kind="CREATE", removes=[0])
        settled = _operation(1, {"stock": 3}, _record(["@settled", "stock"], "5"), _record(["@counted", "stock"], 1))
        every = [plain, first, line, stock, phone, amount, deleted, revived, settled]
        return [*every, b"\n".join(every), b"\n".join(every[::-1])]
