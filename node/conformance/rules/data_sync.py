"""What an operation carries, whom it reaches, in which order, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.conformance.expect import given, has, holds, integer, same, seconds, that
from node.conformance.rule import Kind, rule

if TYPE_CHECKING:
    from typing import Any

    from node.conformance.scene import Fate, Scene
    from node.conformance.terminal import Terminal

HEADING = "Sincronização de Dados: Data Sync"
FIELDS = ("id", "entity_type", "entity_id", "operation", "data", "version", "timestamp", "terminal_id", "user_id")
NUMBERS = {"zero": 0, "minus": -7, "total": 25.5, "cents": 0.01, "large": 9_007_199_254_740_991, "long": 123456.789}


async def came_to(scene: Scene, watcher: Terminal, fate: Fate) -> dict[str, Any]:
    """The operation as this terminal got it."""
    await scene.delivered(fate, watcher)
    for message in watcher.heard:
        if message.get("type") == "data_sync" and message["operation"].get("id") == fate.operation["id"]:
            return dict(message["operation"])
    raise AssertionError("delivered() has seen it")


@rule("data_sync.fields", HEADING, "Other clients get the operation with every documented field.")
async def fields(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = scene.name("order")
    data = {"id": entity_id, "status": "pending"}
    fate = await scene.stored(author, "orders", entity_id, "CREATE", data, version=1)
    operation = await came_to(scene, watcher, fate)
    has(operation, *FIELDS, "requires_lock", "priority")
    integer(operation["version"], "version")
    seconds(operation["timestamp"], "timestamp")


@rule("data_sync.unchanged", HEADING, "They get it as it was sent: what it is about, who wrote it, its priority.")
async def unchanged(scene: Scene) -> None:
    author, watcher = await scene.terminal(user="user-77"), await scene.terminal("kds")
    entity_id = scene.name("order")
    fate = await scene.stored(
        author, "orders", entity_id, "CREATE", {"id": entity_id, "status": "pending"}, version=1
    )
    names = ("entity_type", "entity_id", "operation", "terminal_id", "user_id", "requires_lock", "priority")
    holds(await came_to(scene, watcher, fate), **{name: fate.operation[name] for name in names})


@rule("data_sync.timestamp", HEADING, "They get the timestamp that its author gave it.")
async def timestamp(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = scene.name("order")
    fate = await scene.stored(author, "orders", entity_id, "CREATE", {"id": entity_id}, version=1)
    came = (await came_to(scene, watcher, fate)).get("timestamp")
    sent = fate.operation["timestamp"]
    that(abs(seconds(came, "timestamp") - seconds(sent, "timestamp")) < 0.0015, f"the timestamp {sent}", came)


@rule("data_sync.every_type_of_terminal", HEADING, "It reaches pos, kds and waiter terminals.")
async def every_type_of_terminal(scene: Scene) -> None:
    author, *others = await scene.terminals("pos", "pos", "kds", "waiter")
    entity_id = scene.name("order")
    fate = await scene.stored(author, "orders", entity_id, "CREATE", {"id": entity_id}, version=1)
    await scene.delivered(fate, *others)


@rule("data_sync.from_every_writer", HEADING, "Orders that a pos, a kds and a waiter change reach everybody else.")
async def from_every_writer(scene: Scene) -> None:
    everybody = await scene.terminals("pos", "kds", "waiter")
    entity_id = await scene.created(everybody[0], "orders")
    for number, author in enumerate(everybody):
        others = [terminal for terminal in everybody if terminal is not author]
        await scene.shows(author, "orders", entity_id) if number else None
        fate = await scene.stored(author, "orders", entity_id, "UPDATE", {"note": f"from {author.kind}"})
        await scene.delivered(fate, *others)


@rule("data_sync.order", HEADING, "The operations of one terminal arrive in the order in which it sent them.")
async def order(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    operations = [scene.name("op") for _ in range(30)]
    for operation_id in operations:
        entity_id = scene.name("order")
        operation = author.operation(operation_id, "orders", entity_id, "CREATE", {"id": entity_id}, version=1)
        await author.send({"type": "data_sync", "operation": {**operation, "requires_lock": False}})
    await scene.until(lambda: watcher.delivered[operations[-1]])
    synced = [message for message in watcher.heard if message.get("type") == "data_sync"]
    came = [message["operation"].get("id") for message in synced if message["operation"].get("id") in operations]
    that(came == operations, "30 operations in order", f"{len(came)}: {came}")


@rule("data_sync.once", HEADING, "An operation whose id was already taken is not applied and not sent out again.")
async def once(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "products", {"name": "n", "price": 1})
    fate = await scene.stored(author, "products", entity_id, "UPDATE", {"price": 2})
    await scene.stored(author, "products", entity_id, "UPDATE", {"price": 3})
    await scene.shows(watcher, "products", entity_id, price=3)
    await scene.submit(author, fate.operation)
    await scene.settled("products", author, watcher)
    count = watcher.delivered[fate.operation["id"]]
    that(count == 1, "one data_sync of an operation sent twice", count)
    await scene.shows(watcher, "products", entity_id, price=3)


@rule(
    "data_sync.again_answered",
    HEADING,
    "An operation that is sent again is answered again: its author did not hear the first answer.",
    kind=Kind.READING,
)
async def again_answered(scene: Scene) -> str:
    author = await scene.terminal()
    entity_id = await scene.created(author, "products", {"price": 1})
    fate = await scene.stored(author, "products", entity_id, "UPDATE", {"price": 2})
    again = await scene.submit(author, fate.operation)
    that(again.answer, "an answer to the second one", "nothing")
    return again.status


@rule(
    "data_sync.id_names_one",
    HEADING,
    "Another operation under an id that is taken does not replace the first.",
    kind=Kind.READING,
)
async def id_names_one(scene: Scene) -> str:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "products", {"price": 1})
    fate = await scene.stored(author, "products", entity_id, "UPDATE", {"price": 2})
    other = {**fate.operation, "data": {"price": 99, "version": 2}}
    again = await scene.submit(author, other)
    await scene.settled("products", author, watcher)
    that(watcher.delivered[fate.operation["id"]] == 1, "one data_sync of this id", watcher.delivered)
    await scene.shows(watcher, "products", entity_id, price=2)
    return again.status


@rule(
    "data_sync.example",
    HEADING,
    "The documented example, an UPDATE with its version inside and outside, is answered.",
)
async def example(scene: Scene) -> str:
    author = await scene.terminal(user="user123")
    entity_id = scene.name("order")
    data = {"id": entity_id, "status": "preparing", "items": [{"sku": "a", "n": 1}], "version": 2}
    fate = await scene.write(author, "orders", entity_id, "UPDATE", data, version=2)
    that(fate.status != "silent", "an answer", "nothing")
    return fate.status


@rule(
    "data_sync.defaults_of_the_client",
    "Cliente JavaScript Completo: syncData",
    "The client's defaults are accepted: no lock, medium priority, and version 1 where data has none.",
)
async def defaults_of_the_client(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "orders")
    whole = author.operation(scene.name("op"), "orders", entity_id, "UPDATE", {"status": "ready"}, version=1)
    operation = {**whole, "data": {"status": "ready"}, "requires_lock": False, "priority": "medium"}
    fate = await scene.submit(author, operation, locking=False)
    that(fate.stored, "it is accepted", fate.answer)
    await scene.shows(watcher, "orders", entity_id, status="ready")


@rule("data_sync.priorities", HEADING, "The priorities medium, high and critical of the document are accepted.")
async def priorities(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    for priority in ("medium", "high", "critical"):
        entity_id = scene.name("product")
        data = {"id": entity_id}
        fate = await scene.stored(author, "products", entity_id, "CREATE", data, version=1, priority=priority)
        holds(await came_to(scene, watcher, fate), priority=priority)


@rule("data_sync.numbers", HEADING, "Numbers arrive with the value they were sent with.")
async def numbers(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "orders", NUMBERS)
    await scene.shows(watcher, "orders", entity_id, **NUMBERS)


@rule("data_sync.other_entities_keep", HEADING, "An operation changes its own entity only.")
async def other_entities_keep(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    one, other = [await scene.created(author, "orders") for _ in range(2)]
    await scene.stored(author, "orders", one, "UPDATE", {"status": "ready"})
    await scene.settled("orders", author, watcher)
    await scene.shows(watcher, "orders", one, status="ready")
    await scene.shows(watcher, "orders", other, status="pending")


@rule(
    "data_sync.same_id_in_two_types",
    HEADING,
    "An entity is its type and its id: one id in two types is two entities.",
)
async def same_id_in_two_types(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = scene.name("thing")
    for entity_type in ("products", "customers"):
        data = {"id": entity_id, "name": entity_type}
        await scene.stored(author, entity_type, entity_id, "CREATE", data, version=1)
    await scene.shows(watcher, "products", entity_id, name="products")
    await scene.shows(watcher, "customers", entity_id, name="customers")


@rule(
    "data_sync.fresh_screen",
    HEADING,
    "Data that was changed comes with the newest values only, never older ones after.",
)
async def fresh_screen(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "orders", {"n": 0})
    for number in range(1, 11):
        await scene.stored(author, "orders", entity_id, "UPDATE", {"n": number})
    await scene.shows(watcher, "orders", entity_id, n=10)
    seen = [
        message["operation"]["data"]["n"]
        for message in watcher.heard
        if message.get("type") == "data_sync"
        and message["operation"].get("entity_id") == entity_id
        and "n" in message["operation"]["data"]
    ]
    that(seen == sorted(seen) and same(given(seen[-1], "n"), 10), "growing values", seen)
