"""Nothing reaches a terminal above the largest message, whatever was written: also what merged from two sides.

A write that makes an entity too large is refused with its reason. What two nodes accepted apart meets all the same.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from attrs import evolve

from node.config.sections import Config
from node.screen import without_version
from tests.harness import Client, Connection, World, settle_all
from tests.mesh import Mesh, Wire, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from node.wire.frames import Batch, Outgoing

MESSAGE = 60_000
CONFIG = evolve(Config(), limits=evolve(Config().limits, message_bytes=MESSAGE))
TYPES = ("orders", "products", "customers")


@pytest.fixture(autouse=True)
def _nothing_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal is ever sent a larger message. Links may be."""
    send = Connection.send

    def sending(connection: Connection, what: Outgoing | Batch) -> None:
        before = len(connection.frames)
        send(connection, what)
        if isinstance(connection.client, Client):
            for frame in list(connection.frames)[before:]:
                assert len(frame) <= MESSAGE, frame[:200]

    monkeypatch.setattr(Connection, "send", sending)


def _value(draw: Random, name: str) -> Any:
    size = draw.choice([1, 100, 4_000, 15_000, 30_000])
    text = draw.choice(["x", "é", '"', "\x01"]) * (size // draw.choice([1, 6]))
    if name == "items":
        return [{"id": f"i-{draw.randrange(5)}-{n}", "note": text[: size // 3]} for n in range(draw.randrange(4))]
    return [1e15] * (size // 5) if name == "numbers" else text


def _data(draw: Random) -> dict[str, Any]:
    names = draw.sample(["name", "photo", "notes", "items", "numbers", "phone"], draw.randrange(1, 4))
    return {name: _value(draw, name) for name in names}


def _write(draw: Random, client: Client) -> None:
    entity_type, kind = draw.choice(TYPES), draw.choice(["CREATE", "UPDATE", "UPDATE", "BULK_UPDATE", "DELETE"])
    if kind == "BULK_UPDATE":
        chosen = draw.sample(range(4), 3)
        data: dict[str, Any] = {"updates": [{"entity_id": f"e-{n}", "data": _data(draw)} for n in chosen]}
        client.write(entity_type, None, kind, data)
    else:
        beside = {"beside": "x" * 12_000} if draw.random() < 0.2 else {}
        data = {} if kind == "DELETE" else _data(draw)
        client.write(entity_type, f"e-{draw.randrange(4)}", kind, data, **beside)


def _decide(draw: Random, client: Client) -> None:
    told = [message["conflict"]["id"] for message in client.of("sync_conflict")]
    if told:
        side = draw.choice(["accept_local", "accept_remote", "merge"])
        message = {"type": "conflict_resolution", "conflict_id": draw.choice(told), "resolution": side}
        client.send({**message, "resolved_data": _data(draw)} if side == "merge" else message)


@pytest.mark.parametrize("seed", range(5))
def test_every_message_fits_and_screens_show_what_nodes_show(tmp_path: Path, seed: int) -> None:
    draw = Random(seed)
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], config=CONFIG, ring_rows=draw.choice([4, 64]))
    clients = [Client(mesh.worlds[n % 2], f"pos-{n}").connect() for n in range(4)]
    clients.append(Client(mesh.worlds[0], "monitor-1", "monitor").connect())
    mesh.settle()
    for _ in range(30):
        writer, choice = draw.choice(clients[:-1]), draw.random()
        if choice < 0.1:
            mesh.wires[0].cut()
        elif choice < 0.2 and mesh.wires[0].links is None:
            mesh.connect()
        elif choice < 0.25:
            writer.disconnect()
            if full := draw.random() < 0.5:
                writer.screen.clear()
            writer.connect(full=full)
        elif choice < 0.35:
            _decide(draw, writer)
        else:
            _write(draw, writer)
        if draw.random() < 0.5:
            settle_all(draw.choice(mesh.worlds), [])
            draw.choice(clients).receive()
    mesh.settle(lambda: sum(client.receive() for client in clients))
    assert shown(mesh.worlds[0]) == shown(mesh.worlds[1])
    for client in clients:
        _compare(client)
    for world in mesh.worlds:  # and whoever comes now
        screen = Client(world, "kds-9", "kds").connect(full=True)
        settle_all(world, [screen])
        _compare(screen)
    mesh.close()


def _compare(client: Client) -> None:
    """What the client shows is what its node shows, but for what it was told is too large."""
    said = client.of("sync_error")
    too_large = {(m["entity_type"], m["entity_id"]) for m in said if "more than a message may have" in m["error"]}
    for entity_type in TYPES:
        node, screen = without_version(client.world.view(entity_type)), client.shown(entity_type)
        for entity_id in node.keys() | screen.keys():
            if (entity_type, entity_id) not in too_large:
                assert screen.get(entity_id) == node.get(entity_id), (client.name, entity_type, entity_id)


# ------------------------------------------------------------------ one entity


def _largest(world: World) -> int:
    return world.core.replica.settings.entity_bytes


@pytest.mark.parametrize("way", ["CREATE", "UPDATE", "many", "list", "BULK_UPDATE"])
def test_a_write_that_makes_an_entity_too_large_is_refused_and_kept(tmp_path: Path, way: str) -> None:
    world = World(tmp_path, config=CONFIG)
    pos, kds = Client(world, "pos-1").connect(), Client(world, "kds-1", "kds").connect()
    half = "x" * (_largest(world) * 2 // 3)
    if way == "CREATE":
        answer = pos.do("products", "p-1", way, {"photo": half, "other": half})
    elif way == "BULK_UPDATE":
        updates = [{"entity_id": "p-0", "data": {"a": 1}}, {"entity_id": "p-1", "data": {"a": half, "b": half}}]
        answer = pos.do("products", None, way, {"updates": updates})
    elif way == "list":
        pos.do("products", "p-1", "CREATE", {"lines": [half]})
        answer = pos.do("products", "p-1", "UPDATE", {"lines": [half, half]})
    else:
        pos.do("products", "p-1", "CREATE", {"photo": half})
        pieces = [{"other": half}] if way == "UPDATE" else [{f"f{n}": half[:2_000]} for n in range(40)]
        for piece in pieces:
            answer = pos.do("products", "p-1", "UPDATE", piece)
    assert (answer["type"], answer["code"], answer["kept"]) == ("sync_error", 4006, True)
    assert answer["where"].startswith("$.operation.data")
    assert answer["entity_id"] == "p-1"
    assert str(_largest(world)) in answer["error"]
    settle_all(world, [pos, kds])
    assert pos.shown("products") == kds.shown("products") == without_version(world.view("products"))
    assert all(len(orjson.dumps(view)) <= _largest(world) for view in world.view("products").values())
    assert pos.do("products", "p-1", "UPDATE", {"photo": "y"})["status"] == "applied"
    world.close()


def test_an_operation_says_little_beside_its_data(world: World) -> None:
    pos = Client(world, "pos-1").connect()
    answer = pos.do("orders", "mesa-1", "CREATE", {"status": "pending"}, note="x" * 20_000)
    assert (answer["code"], answer["where"]) == (4006, "$.operation")


def _halves(mesh: Mesh, fields: Sequence[str]) -> list[Client]:
    """Two nodes that do not reach each other accept a half each."""
    clients = [Client(world, f"pos-{n}").connect() for n, world in enumerate(mesh.worlds)]
    for client, name in zip(clients, fields, strict=True):
        value = [{"id": client.name, "note": "x" * (_largest(client.world) * 3 // 4)}]
        assert client.do("orders", "mesa-1", "CREATE", {name: value})["status"] == "applied"
    mesh.wires.append(Wire(mesh.worlds[1], mesh.worlds[0], upstream=True))
    mesh.settle(lambda: sum(client.receive() for client in clients))
    return clients


def test_two_halves_that_two_nodes_accepted_meet_and_only_shrink_from_there(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [], config=CONFIG)
    clients = _halves(mesh, ["items", "payments"])
    assert shown(mesh.worlds[0]) == shown(mesh.worlds[1])
    for client in clients:
        assert client.shown("orders") == without_version(client.world.view("orders"))
    assert len(clients[0].shown("orders")["mesa-1"]) == 2
    assert clients[0].do("orders", "mesa-1", "UPDATE", {"note": "x" * 100})["code"] == 4006
    assert clients[0].do("orders", "mesa-1", "UPDATE", {"items": []})["status"] == "applied"
    assert clients[0].do("orders", "mesa-1", "UPDATE", {"note": "x" * 100})["status"] == "applied"
    mesh.settle(lambda: sum(client.receive() for client in clients))
    assert shown(mesh.worlds[0]) == shown(mesh.worlds[1])
    mesh.close()


def test_a_field_that_grew_past_any_message_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [], config=CONFIG)
    clients = _halves(mesh, ["items", "items"])
    screen = Client(mesh.worlds[0], "kds-9", "kds").connect(full=True)
    settle_all(mesh.worlds[0], [screen])
    for client in [*clients, screen]:
        (error,) = [m for m in client.of("sync_error") if m["entity_id"] == "mesa-1"]
        assert (error["code"], error["where"]) == (4006, "$.operation.data.items")
    clients[0].do("orders", "mesa-1", "UPDATE", {"status": "preparing"})
    assert clients[0].do("orders", "mesa-2", "CREATE", {"status": "pending"})["status"] == "applied"
    settle_all(mesh.worlds[0], [*clients, screen])
    assert screen.shown("orders")["mesa-2"]["status"] == "pending"
    mesh.close()
