"""CREATE, UPDATE, DELETE and BULK_UPDATE."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from node.conformance.expect import integer, iso, that
from node.conformance.rule import Kind, rule
from node.conformance.scene import is_error
from node.conformance.terminal import ENTITY_TYPES

if TYPE_CHECKING:
    from typing import Any

    from node.conformance.scene import Scene
    from node.conformance.terminal import Terminal

CREATE, UPDATE = "Operações Suportadas: CREATE", "Operações Suportadas: UPDATE"
DELETE, BULK = "Operações Suportadas: DELETE", "Operações Suportadas: BULK_UPDATE"
DATA: dict[str, Any] = {
    "name": "Pão de Açúcar ☕",
    "total": 25.5,
    "items": [{"sku": "a", "n": 2, "options": [None, True, {"k": "v"}]}],
    "n": 7,
}


async def create(entity_type: str, scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, entity_type, DATA)
    await scene.shows(watcher, entity_type, entity_id, **{**DATA, "id": entity_id})


for _type in ENTITY_TYPES:
    rule(
        f"operations.create_{_type}", CREATE, f"A CREATE of {_type} is accepted, and reaches others as it was sent."
    )(partial(create, _type))


async def answered(scene: Scene, author: Terminal, *operation: Any, **fields: Any) -> str:
    """The operation is answered one way or the other: accepted, refused, or with the close code of the document."""
    heard = len(author.heard)
    fate = await scene.write(author, *operation, **fields)
    wrong = any(map(is_error, author.heard[heard:])) or author.code in (4006, 4007)
    that(fate.status != "silent" or wrong, "an answer", f"nothing (close code {author.code})")
    return fate.status if author.code is None else f"close {author.code}"


@rule("operations.create_twice", CREATE, "A second CREATE of an entity is answered.", kind=Kind.READING)
async def create_twice(scene: Scene) -> str:
    author = await scene.terminal()
    entity_id = await scene.created(author, "orders")
    return await answered(scene, author, "orders", entity_id, "CREATE", {"id": entity_id, "status": "x"}, version=1)


@rule("operations.update_merges", UPDATE, "An UPDATE changes the fields it names; the others stay.")
async def update_merges(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "orders", {"status": "pending", "total": 10.0})
    await scene.stored(author, "orders", entity_id, "UPDATE", {"status": "preparing", "version": 2}, version=2)
    await scene.shows(watcher, "orders", entity_id, status="preparing", total=10.0)


@rule("operations.update_adds_fields", UPDATE, "An UPDATE may bring a field that was not there.")
async def update_adds_fields(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "customers", {"name": "n"})
    await scene.stored(author, "customers", entity_id, "UPDATE", {"phone": "11", "address": {"city": "São Paulo"}})
    await scene.shows(watcher, "customers", entity_id, name="n", phone="11", address={"city": "São Paulo"})


@rule("operations.version_grows", UPDATE, "With every change the version that others get is a larger integer.")
async def version_grows(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "orders")
    for status in ("preparing", "ready"):
        fate = await scene.stored(author, "orders", entity_id, "UPDATE", {"status": status})
        await scene.delivered(fate, watcher)
    versions = [
        integer(message["operation"].get("version"), "version")
        for message in watcher.heard
        if message.get("type") == "data_sync" and message["operation"].get("entity_id") == entity_id
    ]
    that(len(versions) > 2 and versions == sorted(set(versions)), "three growing versions", versions)


@rule(
    "operations.update_unknown",
    UPDATE,
    "An UPDATE of what nobody created is answered: stored, or refused as not found.",
    kind=Kind.READING,
)
async def update_unknown(scene: Scene) -> str:
    author = await scene.terminal()
    return await answered(scene, author, "orders", scene.name("ghost"), "UPDATE", {"status": "ready"}, version=2)


@rule("operations.delete", DELETE, "A DELETE is accepted, reaches others as one, and takes the entity away.")
async def delete(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "orders")
    await scene.shows(watcher, "orders", entity_id)
    data = {"deleted_at": iso(time.time()), "version": 2}
    fate = await scene.stored(author, "orders", entity_id, "DELETE", data, version=2)
    await scene.delivered(fate, watcher)
    scene.gone(watcher, "orders", entity_id)


@rule(
    "operations.delete_for_the_absent", DELETE, "A terminal that was away does not show what was deleted meanwhile."
)
async def delete_for_the_absent(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "waiter")
    entity_id = await scene.created(author, "orders")
    await scene.shows(watcher, "orders", entity_id)
    await watcher.leave()
    await scene.stored(author, "orders", entity_id, "DELETE", {"deleted_at": iso(time.time())})
    back = await scene.come_back(watcher)
    await scene.settled("orders", author, back)
    scene.gone(back, "orders", entity_id)


@rule("operations.delete_again", DELETE, "A second DELETE is answered, and the entity stays away.", kind=Kind.READING)
async def delete_again(scene: Scene) -> str:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "products", {"name": "n"})
    await scene.stored(author, "products", entity_id, "DELETE", {"deleted_at": iso(time.time())}, version=2)
    data = {"deleted_at": iso(time.time())}
    note = await answered(scene, author, "products", entity_id, "DELETE", data, version=3)
    await scene.settled("products", await scene.terminal(), watcher)
    scene.gone(watcher, "products", entity_id)
    return note


@rule("operations.delete_unknown", DELETE, "A DELETE of what nobody created is answered.", kind=Kind.READING)
async def delete_unknown(scene: Scene) -> str:
    author = await scene.terminal()
    data = {"deleted_at": iso(time.time())}
    return await answered(scene, author, "orders", scene.name("ghost"), "DELETE", data, version=2)


@rule("operations.update_deleted", UPDATE, "An UPDATE of what was deleted is answered.", kind=Kind.READING)
async def update_deleted(scene: Scene) -> str:
    author = await scene.terminal()
    entity_id = await scene.created(author, "products", {"name": "n"})
    await scene.stored(author, "products", entity_id, "DELETE", {"deleted_at": iso(time.time())}, version=2)
    return await answered(scene, author, "products", entity_id, "UPDATE", {"name": "late"}, version=3)


async def _bulk(scene: Scene, author: Terminal, *changes: tuple[str, dict[str, Any]]) -> None:
    updates = [{"entity_id": entity_id, "data": {**data, "version": 2}} for entity_id, data in changes]
    await scene.stored(author, "products", None, "BULK_UPDATE", {"updates": updates}, version=1)


@rule("operations.bulk", BULK, "A BULK_UPDATE changes every entity it names, and no other.")
async def bulk(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    one, two, three = [await scene.created(author, "products", {"name": "n", "price": 1}) for _ in range(3)]
    await _bulk(scene, author, (one, {"price": 10}), (two, {"price": 5}))
    await scene.shows(watcher, "products", one, price=10)
    await scene.shows(watcher, "products", two, price=5)
    await scene.settled("products", author, watcher)
    await scene.shows(watcher, "products", three, price=1)


@rule("operations.bulk_merges", BULK, "Fields that a BULK_UPDATE does not name stay.")
async def bulk_merges(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    one = await scene.created(author, "products", {"name": "n", "stock": 1, "price": 2.0})
    await _bulk(scene, author, (one, {"stock": 10}))
    await scene.shows(watcher, "products", one, name="n", stock=10, price=2.0)


@rule("operations.bulk_of_fifty", BULK, "A BULK_UPDATE of fifty entities changes all of them.")
async def bulk_of_fifty(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    ids = [scene.name("product") for _ in range(50)]
    for entity_id in ids:
        operation = author.operation(scene.name("op"), "products", entity_id, "CREATE", {"id": entity_id}, version=1)
        await author.send({"type": "data_sync", "operation": operation})
    await scene.shows(watcher, "products", ids[-1])
    await _bulk(scene, author, *((entity_id, {"price": number}) for number, entity_id in enumerate(ids)))
    for number, entity_id in enumerate(ids):
        await scene.shows(watcher, "products", entity_id, price=number)
