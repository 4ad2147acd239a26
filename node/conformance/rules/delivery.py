"""Terminals that were away, that flush a queue, that lost an answer, or that do not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from node.conformance.expect import that
from node.conformance.rule import Kind, rule

if TYPE_CHECKING:
    from node.conformance.scene import Scene

QUEUE = "Visão Geral: Fila de mensagens"
CLIENT = "Cliente JavaScript Completo: flushMessageQueue"
LATENCY = "Visão Geral: Latência baixa"


@rule("delivery.away", QUEUE, "A terminal that was away is sent what it missed.")
async def away(scene: Scene) -> None:
    author, waiter = await scene.terminals("pos", "waiter")
    await waiter.leave()
    entity_id = await scene.created(author, "orders", {"status": "while-away"})
    back = await scene.come_back(waiter)
    await scene.shows(back, "orders", entity_id, status="while-away")


@rule("delivery.away_dropped", QUEUE, "So is one whose connection broke without a close frame.")
async def away_dropped(scene: Scene) -> None:
    author, waiter = await scene.terminals("pos", "waiter")
    await waiter.drop()
    entity_id = await scene.created(author, "orders", {"status": "while-away"})
    back = await scene.come_back(waiter)
    await scene.shows(back, "orders", entity_id, status="while-away")


@rule("delivery.away_newest", QUEUE, "After catching up it shows the newest values of what changed several times.")
async def away_newest(scene: Scene) -> None:
    author, waiter = await scene.terminals("pos", "waiter")
    entity_id = await scene.created(author, "orders", {"n": 0})
    await scene.shows(waiter, "orders", entity_id)
    await waiter.leave()
    for number in range(1, 6):
        await scene.stored(author, "orders", entity_id, "UPDATE", {"n": number})
    back = await scene.come_back(waiter)
    await scene.shows(back, "orders", entity_id, n=5)
    await scene.settled("orders", author, back)
    await scene.shows(back, "orders", entity_id, n=5)


@rule("delivery.away_all_types", QUEUE, "It is sent what it missed of every entity type.")
async def away_all_types(scene: Scene) -> None:
    author, other = await scene.terminals("pos", "pos")
    await other.leave()
    types = ("orders", "products", "customers", "cashier_operations")
    ids = {entity_type: await scene.created(author, entity_type, {"name": "missed"}) for entity_type in types}
    back = await scene.come_back(other)
    for entity_type, entity_id in ids.items():
        await scene.shows(back, entity_type, entity_id, name="missed")


@rule("delivery.live_after_catching_up", QUEUE, "After catching up it gets what is new.")
async def live_after_catching_up(scene: Scene) -> None:
    author, waiter = await scene.terminals("pos", "waiter")
    await waiter.leave()
    await scene.created(author, "orders")
    back = await scene.come_back(waiter)
    entity_id = await scene.created(author, "orders", {"status": "live"})
    await scene.shows(back, "orders", entity_id, status="live")


@rule("delivery.client_queue", CLIENT, "What a client queued while it was away is taken in order when it is back.")
async def client_queue(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "orders", {"n": 0})
    await author.drop()
    queue = [
        author.operation(scene.name("op"), "orders", entity_id, "UPDATE", {"n": number}, version=number + 1)
        for number in range(1, 11)
    ]
    back = await scene.come_back(author)
    for operation in queue:
        await back.send({"type": "data_sync", "operation": {**operation, "requires_lock": False}})
    await scene.shows(watcher, "orders", entity_id, n=10)
    that(all(watcher.delivered[operation["id"]] for operation in queue), "every queued operation", watcher.delivered)


@rule(
    "delivery.sent_again",
    CLIENT,
    "An operation whose answer was lost with the connection and that is sent again counts once.",
)
async def sent_again(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = scene.name("order")
    data = {"id": entity_id, "status": "pending"}
    operation = author.operation(scene.name("op"), "orders", entity_id, "CREATE", data, version=1)
    operation["requires_lock"] = False
    await author.send({"type": "data_sync", "operation": operation})
    await author.drop()
    back = await scene.come_back(author)
    await back.send({"type": "data_sync", "operation": operation})
    await scene.shows(watcher, "orders", entity_id, status="pending")
    await scene.settled("orders", back, watcher)
    count = watcher.delivered[operation["id"]]
    that(count == 1, "one data_sync of an operation sent twice", count)


@rule(
    "delivery.slow_reader",
    LATENCY,
    "A terminal that does not read what it is sent holds up nobody else.",
    kind=Kind.READING,
)
async def slow_reader(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    seat = scene.subject.take("waiter")
    deaf = await scene.subject.connect(scene.subject.path(seat.name, "waiter", None), seat.token)
    filler = "x" * 20_000
    began = trio.current_time()
    for _ in range(40):
        entity_id = await scene.created(author, "orders", {"note": filler})
        await scene.shows(watcher, "orders", entity_id)
    await deaf.drop()
    scene.subject.give_back(seat)
    took = trio.current_time() - began
    that(took < scene.patience, f"40 operations within {scene.patience:g} s", f"{took:.1f} s")


@rule("delivery.everybody", LATENCY, "One operation reaches ten terminals.")
async def everybody(scene: Scene) -> None:
    author, *watchers = await scene.terminals("pos", *["kds"] * 5, *["waiter"] * 5)
    entity_id = scene.name("order")
    fate = await scene.stored(author, "orders", entity_id, "CREATE", {"id": entity_id}, version=1)
    await scene.delivered(fate, *watchers)
