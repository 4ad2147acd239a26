"""What a hostile node does to a client, and what is asked at the end."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import trio
from attrs import define, field, frozen

from node.conformance.terminal import Terminal
from node.conformance.wire import open_socket
from node.screen import without_version
from tests.client.door import Door, Message, dropping, unchanged
from tests.client.driver import FINAL, Client, Driver
from tests.patience import PATIENCE_S, http_get
from tests.processes import NodeProcess

numbers = count(1)

TYPES = ("orders", "products")
"""What is written."""


@frozen
class Verdict:
    """kept: every order that was saved is on the node. once: none is there twice. shown: the client shows just what
    the node shows."""

    kept: bool
    once: bool
    shown: bool

    @property
    def good(self) -> bool:
        return self.kept and self.once and self.shown


@define(eq=False)
class Scene:
    """One client, its door and its node. name: begins every id, so that scenes may share a node.

    keys: of everything it wrote. wrote: key -> the order that was written under it. counted: how often one was added
    to the counter. gone: keys of orders that a node set back to an older database may have lost.
    """

    name: str
    client: Client
    node: NodeProcess
    door: Door
    folder: Path
    nursery: trio.Nursery
    driver: Driver = field(init=False)
    _started: list[Driver] = field(factory=list)
    keys: list[str] = field(factory=list)
    wrote: dict[str, str] = field(factory=dict)
    counted: int = 0
    gone: set[str] = field(factory=set)

    # ------------------------------------------------------------------ the client

    async def open(self, kind: str = "pos") -> None:
        """Start the client's process, with a queue on disk, and let it dial."""
        self.driver = await Driver.start(self.client, self.nursery, self.folder, self.door.patience)
        self._started.append(self.driver)
        await self.dial(kind)

    async def dial(self, kind: str = "pos") -> None:
        url, store = f"ws://127.0.0.1:{self.door.port}", str(self.folder / "queue")
        await self.driver.do("open", url=url, terminal_id=self.name, type=kind, token=None, store=store)

    async def end(self) -> None:
        """No process is left."""
        for driver in self._started:
            await driver.kill()

    async def start_again(self) -> None:
        """The program was killed: another one takes up its queue."""
        settled = {key: states for key, states in self.driver.states.items() if states[-1] in FINAL}
        await self.open()
        self.driver.states |= settled

    async def write(self, orders: int) -> list[str]:
        """As many orders, and one more on the counter with each; the keys, all saved by the client."""
        keys = []
        for _ in range(orders):
            key, counting = f"k{next(numbers)}", f"k{next(numbers)}"
            self.wrote[key] = f"{self.name}-{key}"
            await self.write_one(key, "CREATE", "orders", self.wrote[key], {"status": "pending", "note": key})
            await self.write_one(counting, "UPDATE", "products", self.name, {"stock": {"$inc": 1}})
            self.counted += 1
            keys += [key, counting]
        self.keys += keys
        await self.driver.until(lambda: all(key in self.driver.states for key in keys))
        return keys

    async def write_one(self, key: str, kind: str, entity_type: str, entity_id: str, data: dict[str, Any]) -> None:
        words = {"operation": kind, "entity_type": entity_type, "entity_id": entity_id, "data": data}
        await self.driver.do("write", key=key, **words)

    async def settled(self, keys: list[str]) -> None:
        await self.driver.until(lambda: self.driver.settled(keys))

    # ------------------------------------------------------------------ somebody else

    async def others_write(self, *writes: tuple[str, str, dict[str, Any]]) -> list[str]:
        """An honest till writes beside it, to the node itself: entity type, id and fields. The ids of the operations,
        all confirmed."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.node.port)
        name = f"{self.name}-other-{next(numbers)}"
        socket = await open_socket(stream, "node", f"/ws/{name}?type=pos")
        till = Terminal(name, "pos", None, socket, lambda line: None)
        ids = [f"{name}-{next(numbers)}" for _ in writes]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(till.run, lambda: None)
            for operation_id, (entity_type, entity_id, data) in zip(ids, writes, strict=True):
                operation = {"id": operation_id, "entity_type": entity_type, "entity_id": entity_id}
                operation |= {"operation": "UPDATE", "data": data}
                await till.send({"type": "data_sync", "operation": operation})
            for operation_id in ids:
                answer = await till.wait(
                    lambda message, wanted=operation_id: message.get("operation_id") == wanted, PATIENCE_S
                )
                assert answer is not None
                assert answer["type"] == "sync_confirmation", answer
            await till.drop()
            nursery.cancel_scope.cancel()
        return ids

    def on_node(self, entity_type: str) -> dict[str, dict[str, Any]]:
        found, after = {}, ""
        while after is not None:
            path = f"http://127.0.0.1:{self.node.port}/api/v1/entities/{entity_type}?limit=1000&after={after}"
            page = http_get(path).json()
            found |= {entity["entity_id"]: entity["data"] for entity in page["entities"]}
            after = page["next"]
        return without_version(found)

    # ------------------------------------------------------------------ the end

    async def verdict(self) -> Verdict:
        """Nothing is hostile any more: what is there once the client has settled and shown everything?"""
        door = self.door
        assert door.wrong == []
        door.to_terminal = door.to_node = unchanged
        door.cutting = lambda payload: payload
        door.answers, door.closes_with, door.shut = (lambda message: []), [], False
        await self.settled(self.keys)
        await self._followed()
        orders, products = (self.on_node(entity_type) for entity_type in TYPES)
        missing = {key for key, order in self.wrote.items() if orders.get(order, {}).get("note") != key}
        stock = products.get(self.name, {}).get("stock", 0)
        screens = [without_version(await self.driver.shown(entity_type)) for entity_type in TYPES]
        kept = missing <= self.gone and stock >= self.counted - len(missing)
        return Verdict(kept, stock <= self.counted, screens == [orders, products])

    async def _followed(self) -> None:
        """Until the client has confirmed rows that came after all others.

        Within a first synchronisation a row may come as its entity's state, under another id and before other states;
        what is written then comes behind all of them.
        """
        while True:
            last = [(kind, f"{self.name}-last-{next(numbers)}") for kind in TYPES]
            rows = await self.others_write(*[(*entity, {"note": "last"}) for entity in last])
            await self.door.until(lambda wanted=last: self.door.taken().issuperset(wanted))
            if self.door.confirmed.issuperset(rows):
                return


Run = Callable[[Scene], Awaitable[None]]


@frozen
class Scenario:
    """run: everything up to the end. alone: with a node of its own. usual: part of every run."""

    says: str
    run: Run
    alone: bool = False
    usual: bool = False


SCENARIOS: dict[str, Scenario] = {}


def scenario(says: str, *, alone: bool = False, usual: bool = False) -> Callable[[Run], Run]:
    def register(run: Run) -> Run:
        SCENARIOS[run.__name__] = Scenario(says, run, alone, usual)
        return run

    return register


@scenario("nothing is wrong")
async def honest(scene: Scene) -> None:
    await scene.open()
    await scene.settled(await scene.write(3))


@scenario("the confirmation is lost, somebody writes the same order, the connection breaks", usual=True)
async def confirmation_lost(scene: Scene) -> None:
    door = scene.door
    door.to_terminal = dropping("sync_confirmation")
    await scene.open()
    key, _ = await scene.write(1)
    await door.until(lambda: door.got["sync_confirmation"] >= 2)
    (row,) = await scene.others_write(("orders", scene.wrote[key], {"status": "ready"}))
    await door.until(lambda: row in door.confirmed)
    await door.cut()
    door.to_terminal = unchanged


@scenario("an operation is lost on its way, and the connection stands")
async def operation_lost(scene: Scene) -> None:
    scene.door.to_node = dropping("data_sync", 3)
    await scene.open()
    await scene.write(3)
    await scene.door.until(lambda: scene.door.sent["data_sync"] >= 6)


@scenario("every message comes twice, both ways")
async def doubled(scene: Scene) -> None:
    scene.door.to_terminal = scene.door.to_node = lambda message: [message, message]
    await scene.open()
    keys = await scene.write(3)
    await scene.others_write(("orders", scene.wrote[keys[0]], {"status": "ready"}))
    await scene.settled(keys)


@scenario("the connection is half open: nothing passes, and nobody says so", usual=True)
async def half_open(scene: Scene) -> None:
    await scene.open()
    await scene.settled(await scene.write(1))
    scene.door.freeze()
    await scene.write(2)


@scenario("the connection breaks again and again while it writes")
async def flapping(scene: Scene) -> None:
    door = scene.door
    await scene.open()
    for _ in range(4):
        sent = door.sent["data_sync"]
        await scene.write(2)
        await door.until(lambda sent=sent: door.sent["data_sync"] > sent)
        await door.cut()


@scenario("nobody answers at first")
async def nobody_there(scene: Scene) -> None:
    door = scene.door
    door.shut = True
    await scene.open()
    await scene.write(2)
    tried = door.tried
    await door.until(lambda: door.tried >= tried + 8)


@scenario("4004 three times: the node takes it for connected still")
async def already_connected(scene: Scene) -> None:
    scene.door.closes_with = [4004] * 3
    await scene.open()
    await scene.write(2)


@scenario("4003 for a while; the program opens it anew", usual=True)
async def token_refused(scene: Scene) -> None:
    door = scene.door
    door.closes_with = [4003] * 50
    await scene.open()
    await scene.driver.until(lambda: any(event.get("up") is False for event in scene.driver.events))
    await scene.write(2)
    assert door.tried == 1, "4003 asks for somebody: it does not go away by dialling"
    door.closes_with = []
    await scene.driver.close()
    await scene.dial()


@scenario("1013 in the middle of a backlog, twice")
async def too_slow(scene: Scene) -> None:
    door = scene.door
    await scene.others_write(*[("orders", f"{scene.name}-{n}", {"note": "backlog"}) for n in range(60)])
    await scene.open()
    for _ in range(2):
        rows = door.got["data_sync"]
        await door.until(lambda rows=rows: door.got["data_sync"] >= rows + 10)
        await door.cut(1013)
    await scene.write(1)


@scenario("rows of urgent types overtake others")
async def overtaken(scene: Scene) -> None:
    held: list[Message] = []
    most = 20

    def urgent_first(message: Message) -> list[Message]:
        if len(held) >= most or message["type"] != "data_sync":
            return [message]
        held.append(message)
        if len(held) < most:
            return []
        return sorted(held, key=lambda one: one["operation"]["entity_type"] != "orders")

    scene.door.to_terminal = urgent_first
    types = ("products", "orders") * 10
    await scene.others_write(*[(kind, f"{scene.name}-{n % 3}", {"note": n}) for n, kind in enumerate(types)])
    await scene.open()
    await scene.write(2)
    await scene.others_write(*[(kind, f"{scene.name}-{n % 3}", {"note": -n}) for n, kind in enumerate(types)])


@scenario("the node cannot store at first: 1011 with `retry`")
async def not_stored(scene: Scene) -> None:
    refused: list[Message] = []

    def refuse(message: Message) -> list[Message]:
        if message["type"] != "data_sync" or len(refused) >= 3:
            return []
        operation = message["operation"]
        refused.append(operation)
        names = {"operation_id": operation["id"], "entity_type": None, "entity_id": None, "terminal_id": scene.name}
        return [{"type": "sync_error", **names, "error": "disk full", "code": 1011, "retry": True}]

    scene.door.answers, scene.door.to_node = refuse, dropping("data_sync", 3)
    await scene.open()
    await scene.write(3)
    await scene.door.until(lambda: len(refused) >= 3)


@scenario("messages and fields that nobody knows")
async def unknown_messages(scene: Scene) -> None:
    strange: list[Message] = [{"type": "horoscope", "sign": "lion"}, {"type": "sync_error", "error": "?"}]
    scene.door.to_terminal = lambda message: [*strange, {**message, "moon": {"phase": 3}}]
    await scene.open()
    await scene.settled(await scene.write(2))


@scenario("a write that is refused, and nothing follows")
async def not_allowed(scene: Scene) -> None:
    await scene.open("waiter")
    key = f"k{next(numbers)}"
    await scene.write_one(key, "CREATE", "products", f"{scene.name}-forbidden", {"note": key})
    await scene.settled([key])
    assert scene.driver.states[key][-1] == "refused"


@scenario("an answer comes three times, and says something else each time")
async def answered_otherwise(scene: Scene) -> None:
    def otherwise(message: Message) -> list[Message]:
        if message["type"] != "sync_confirmation":
            return [message]
        names = {name: message[name] for name in ("operation_id", "terminal_id")}
        refusal = {"type": "sync_error", **names, "entity_type": None, "entity_id": None, "error": "?", "code": 4009}
        return [message, {**message, "status": "lost"}, refusal]

    scene.door.to_terminal = otherwise
    await scene.open()
    keys = await scene.write(3)
    await scene.settled(keys)
    assert {scene.driver.states[key][-1] for key in keys} == {"confirmed"}


@scenario("the answers to another terminal's operations of the same ids come to this one")
async def anothers_answers(scene: Scene) -> None:
    told: Message = {"terminal_id": "somebody-else", "version": 1, "timestamp": "2026-01-15T19:30:00.000Z"}

    def answers(message: Message) -> list[Message]:
        if message["type"] != "data_sync":
            return []
        names = {"operation_id": message["operation"]["id"], **told}
        refusal = {"type": "sync_error", **names, "error": "?", "code": 4006}
        return [{"type": "sync_confirmation", **names, "status": "applied"}, refusal]

    scene.door.answers, scene.door.to_node = answers, dropping("data_sync", 3)
    await scene.open()
    await scene.write(3)
    await scene.door.until(lambda: scene.door.sent["data_sync"] >= 9)


@scenario("a message is cut in the middle of a letter")
async def cut_letter(scene: Scene) -> None:
    door = scene.door
    cut: list[bytes] = []

    def cutting(payload: bytes) -> bytes:
        if cut or "ê".encode() not in payload:
            return payload
        cut.append(payload)
        return payload.replace("ê".encode(), "ê".encode()[:1])

    await scene.open()
    keys = await scene.write(1)
    await scene.settled(keys)
    tried, door.cutting = door.tried, cutting
    await scene.others_write(("orders", scene.wrote[keys[0]], {"dish": "bebê"}))
    await door.until(lambda: door.tried > tried)


@scenario("three hundred messages that say nothing come before each one that does")
async def flooded(scene: Scene) -> None:
    noise: list[Message] = [
        {"type": "pong", "server_time": "?"},
        {"type": "lock_released", "lock_id": "none", "entity_type": "orders", "entity_id": "none"},
        {"type": "sync_confirmation", "operation_id": "none", "terminal_id": scene.name, "status": "applied"},
    ]
    scene.door.to_terminal = lambda message: [*noise * 100, message]
    await scene.open()
    await scene.settled(await scene.write(2))


@scenario("the node greets after each row once more")
async def greeted_again(scene: Scene) -> None:
    greetings: list[Message] = []

    def again(message: Message) -> list[Message]:
        if message["type"] == "connection_established":
            greetings.append(message)
        return [message, *greetings[-1:]] if message["type"] == "data_sync" else [message]

    scene.door.to_terminal = again
    await scene.others_write(*[("orders", f"{scene.name}-{n}", {"note": "there"}) for n in range(5)])
    await scene.open()
    await scene.settled(await scene.write(2))


@scenario("the node is killed while it is written to", alone=True, usual=True)
async def node_killed(scene: Scene) -> None:
    await scene.open()
    await scene.write(3)
    await scene.door.until(lambda: scene.door.got["sync_confirmation"] >= 1)
    scene.node.kill()
    await scene.write(3)
    scene.node.start()


@scenario("the node comes back with an older database", alone=True, usual=True)
async def older_database(scene: Scene) -> None:
    node, door = scene.node, scene.door
    await scene.open()
    await scene.settled(await scene.write(2))
    node.stop()
    copy = scene.folder / "older"
    shutil.copytree(node.data, copy)
    node.start()
    keys = await scene.write(2)
    await scene.settled(keys)
    scene.gone = scene.wrote.keys() & set(keys)
    door.shut = True
    node.stop()
    await scene.write(2)
    for file in node.data.glob("comanda.db*"):
        file.unlink()
    for file in copy.glob("comanda.db*"):
        shutil.copyfile(file, node.data / file.name)
    node.start()


@scenario("the program is killed in the middle of a send", usual=True)
async def program_killed(scene: Scene) -> None:
    door = scene.door
    await scene.open()
    door.to_node = dropping("data_sync")
    await scene.write(3)
    await door.until(lambda: door.sent["data_sync"] >= 3)
    await scene.driver.kill()
    await scene.start_again()


@scenario("the program is killed when everything was stored and nothing confirmed")
async def program_killed_unconfirmed(scene: Scene) -> None:
    door = scene.door
    door.to_terminal = dropping("sync_confirmation")
    await scene.open()
    await scene.write(3)
    await door.until(lambda: door.got["sync_confirmation"] >= 6)
    await scene.driver.kill()
    await scene.start_again()
