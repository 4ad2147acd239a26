"""A random evening of everything that terminals do, on all sides of a random mesh, from a seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from crdt.records import name_of
from node.config.example import example_toml
from node.config.reading import parse
from tests.harness import Client
from tests.mesh import Mesh

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = parse(example_toml() + '[entities.orders]\ngroups = [["total", "discount"]]\n')
STATUSES = ("pending", "preparing", "ready", "paid", "lost")
TYPES = ("orders", "products", "customers", "cashier_operations")


class Evening:
    """Random writes, locks, resolutions, outages and crashes on all sides of a random mesh."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        count = rng.randrange(2, 6)
        edges = [(n, rng.randrange(n), rng.random() < 0.7) for n in range(1, count)]
        if count > 2 and rng.random() < 0.5:
            a, b = rng.sample(range(count), 2)
            if not any({a, b} == {x, y} for x, y, _ in edges):
                edges.append((a, b, False))
        self.edges = edges
        self.mesh = Mesh(
            directory,
            count,
            edges,
            ring_rows=rng.choice([4, 64]),
            window=rng.choice([3, 32]),
            resident=rng.choice([1, 10, 1_000]),
            config=CONFIG,
        )
        self.clients = [
            Client(world, f"t{n}-{world.node_id}", confirms=rng.random() < 0.8)
            for world in self.mesh.worlds
            for n in range(rng.randrange(1, 3))
        ]
        self.confirmed: set[str] = set()
        """Names of operations (crdt.records.name_of)."""
        self.sent: list[dict[str, Any]] = []

    def step(self) -> None:
        rng, client = self.rng, self.rng.choice(self.clients)
        choice = rng.random()
        if choice < 0.06:
            rng.choice(self.mesh.wires).cut()
        elif choice < 0.16:
            wire = rng.choice(self.mesh.wires)
            if wire.links is None:
                wire.connect()
        elif choice < 0.4:
            wire = rng.choice(self.mesh.wires)
            for _ in range(rng.randrange(1, 4)):
                wire.step(rng.randrange(2))
        elif choice < 0.5:
            rng.choice(self.mesh.worlds).settle()
        elif choice < 0.53:
            number = rng.randrange(len(self.mesh.worlds))
            world = self.mesh.worlds[number]
            for other in self.clients:
                if other.world is world:
                    other.receive()
                    other.disconnect()
            self.mesh.crash(number)
        elif choice < 0.58:
            rng.choice(self.mesh.worlds).advance(rng.randrange(1, 40_000))
        elif client.session is None:
            client.connect().flush()
        elif choice < 0.62:
            client.disconnect()
        elif choice < 0.7:
            client.receive(rng.randrange(1, 6))
        elif choice < 0.76:
            entity = {
                "entity_type": rng.choice(["orders", "cashier_operations"]),
                "entity_id": f"e-{rng.randrange(3)}",
            }
            client.send({"type": "acquire_lock", "terminal_id": client.name, "timeout": 30_000, **entity})
        elif choice < 0.8:
            conflicts = [c for c in client.of("sync_conflict") if c["conflict"]["state"] == "open"]
            if conflicts:
                conflict_id = rng.choice(conflicts)["conflict"]["id"]
                side = rng.choice(["accept_local", "accept_remote"])
                client.send({"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": side})
        elif choice < 0.84 and self.sent:
            self.resend(client)
        else:
            self.write(client)

    def write(self, client: Client) -> None:
        rng = self.rng
        entity_type, entity_id = rng.choice(TYPES), f"e-{rng.randrange(3)}"
        data: dict[str, Any] = {name: rng.randrange(4) for name in rng.sample("abc", rng.randrange(1, 3))}
        if rng.random() < 0.3:
            data |= self.of_a_kind(entity_type, client.screen.get((entity_type, entity_id), {}))
        kind = rng.choices(["CREATE", "UPDATE", "DELETE", "BULK_UPDATE"], [3, 8, 1, 1])[0]
        if kind == "BULK_UPDATE":
            updates = [{"entity_id": f"e-{n}", "data": dict(data)} for n in range(rng.randrange(1, 3))]
            operation = client.operation(entity_type, None, kind, {"updates": updates})
        else:
            operation = client.operation(entity_type, entity_id, kind, {} if kind == "DELETE" else data)
        client.submit(operation)
        self.sent.append(operation)

    def of_a_kind(self, entity_type: str, shown: dict[str, Any]) -> dict[str, Any]:
        """Counters, lists, ranked statuses and groups, as a terminal writes them from what it shows."""
        rng = self.rng
        if entity_type == "products":
            stock = shown.get("stock")
            return {"stock": stock - 1 if isinstance(stock, int) else rng.choice([10, {"$inc": -2}, 7.5])}
        if entity_type != "orders":
            return {}
        if rng.random() < 0.4:
            return rng.choice(
                [{"total": rng.randrange(9)}, {"discount": 1, "total": 3}, {"status": rng.choice(STATUSES)}]
            )
        items = [item for item in shown.get("items") or [] if rng.random() < 0.8]
        items = [
            dict(item, qty=rng.randrange(3)) if rng.random() < 0.3 and isinstance(item, dict) else item
            for item in items
        ]
        items += [{"id": f"i-{rng.randrange(6)}"} for _ in range(rng.randrange(2))]
        if rng.random() < 0.3:
            rng.shuffle(items)
        return {"items": rng.choice([items, items, items, [1, 2], None])}

    def resend(self, client: Client) -> None:
        """The same operation again, also by a terminal of that name that has come to another node meanwhile."""
        operation = self.rng.choice(self.sent)
        owner = next(c for c in self.clients if c.name == operation["terminal_id"])
        if owner.session is not None:
            if any(m.get("operation_id") == operation["id"] for m in owner.of("sync_error")):
                owner.submit(operation)
            else:
                owner.send({"type": "data_sync", "operation": operation})
            return
        moved = Client(self.rng.choice([w for w in self.mesh.worlds if w is not owner.world]), owner.name)
        moved.connect()
        moved.send({"type": "data_sync", "operation": operation})
        moved.world.settle()
        moved.receive()
        self.note([moved])
        moved.disconnect()

    def note(self, clients: list[Client]) -> None:
        for client in clients:
            self.confirmed |= {name_of(client.name, m["operation_id"]) for m in client.of("sync_confirmation")}

    def end(self) -> None:
        for client in self.clients:
            if client.session is None:
                client.connect().flush()
        self.mesh.settle(lambda: sum(c.receive() for c in self.clients))
        self.note(self.clients)


class EveningOfDecisions(Evening):
    """Much is deleted and changed apart, and everybody decides conflicts, also long after they changed.

    A node may come late, also one in the middle: it gets entities whole, and their history later.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        super().__init__(directory, seed)
        wires = self.mesh.wires
        others = [w for w in self.mesh.worlds if any(w not in (wire.dialler, wire.other) for wire in wires)]
        late = self.rng.choice(others) if others and self.rng.random() < 0.5 else None
        self._late_wires = [wire for wire in wires if late in (wire.dialler, wire.other)]
        self._late_clients = [client for client in self.clients if client.world is late]
        self.mesh.wires = [wire for wire in self.mesh.wires if wire not in self._late_wires]
        self.clients = [client for client in self.clients if client not in self._late_clients]

    def late_come(self) -> None:
        self.mesh.wires += self._late_wires
        self.clients += self._late_clients
        self._late_wires, self._late_clients = [], []

    def end(self) -> None:
        self.late_come()
        super().end()

    def step(self) -> None:
        rng, client, choice = self.rng, self.rng.choice(self.clients), self.rng.random()
        if rng.random() < 0.01:
            self.late_come()
        if client.session is None or choice >= 0.6:
            super().step()
        elif choice < 0.2:
            self.decide(client)
        elif choice < 0.3:
            self.submit(client, "DELETE", {})
        elif choice < 0.5:
            self.submit(client, "UPDATE", {rng.choice("abc"): rng.randrange(4)})
        else:
            client.receive(5)
            client.world.settle()

    def submit(self, client: Client, kind: str, data: dict[str, Any]) -> None:
        entity_type = self.rng.choice([*TYPES, "customers"])
        operation = client.operation(entity_type, "e-0", kind, data)
        client.submit(operation)
        self.sent.append(operation)

    def decide(self, client: Client) -> None:
        """Any conflict that anybody was told of."""
        rng = self.rng
        conflicts = [message["conflict"] for other in self.clients for message in other.of("sync_conflict")]
        if not conflicts:
            return
        conflict = rng.choice(conflicts)
        side = rng.choice(["accept_local", "accept_remote", "merge", "merge"])
        message = {"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": side}
        if side == "merge" or rng.random() < 0.2:
            given = [{"deleted_at": "2026-01-15T10:00:00.000Z"}, {"stock": 5}, {"items": [{"id": "i-1"}]}]
            written = [{name: 7} for name in "abc"]
            message["resolved_data"] = rng.choice([*given, *written, conflict["local_data"], conflict["remote_data"]])
        client.send(message)
