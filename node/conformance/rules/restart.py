"""What is left after a node was killed or stopped, and is started again. Needs --start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from node.conformance.expect import iso, that
from node.conformance.rule import Kind, Need, rule
from node.conformance.rules.conflicts import dispute
from node.conformance.rules.resolutions import decide
from node.conformance.wire import NO_CLOSE_FRAME

if TYPE_CHECKING:
    from node.conformance.scene import Scene

QUEUE = "Visão Geral: Fila de mensagens"
RECONNECT = "Visão Geral: Reconexão automática"
HANDLING = "Códigos de Erro: Tratamento de Erros"
NEEDS = (Need.START,)


async def kill_and_start(scene: Scene) -> None:
    process = scene.subject.started()
    scene.note("kill -9 of the node, and a start")
    await process.kill()
    await process.start()


@rule("restart.kept", QUEUE, "What was accepted before a kill -9 is there after it.", needs=NEEDS)
async def kept(scene: Scene) -> None:
    author, waiter = await scene.terminals("pos", "waiter")
    await waiter.leave()
    ids = [await scene.created(author, "orders", {"n": number}) for number in range(10)]
    await kill_and_start(scene)
    back = await scene.come_back(waiter)
    for number, entity_id in enumerate(ids):
        await scene.shows(back, "orders", entity_id, n=number)


@rule("restart.newest", QUEUE, "With the values it had last, and what was deleted stays so.", needs=NEEDS)
async def newest(scene: Scene) -> None:
    author, waiter = await scene.terminals("pos", "waiter")
    one, two = [await scene.created(author, "orders", {"n": 0}) for _ in range(2)]
    await scene.shows(waiter, "orders", two)
    await waiter.leave()
    await scene.stored(author, "orders", one, "UPDATE", {"n": 7})
    await scene.stored(author, "orders", two, "DELETE", {"deleted_at": iso(time.time())})
    await kill_and_start(scene)
    back, other = await scene.come_back(waiter), await scene.come_back(author)
    await scene.shows(back, "orders", one, n=7)
    await scene.settled("orders", other, back)
    await scene.shows(back, "orders", one, n=7)
    scene.gone(back, "orders", two)


@rule("restart.both_come_back", RECONNECT, "Terminals are let in again, and operations flow.", needs=NEEDS)
async def both_come_back(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    await kill_and_start(scene)
    author, watcher = await scene.come_back(author), await scene.come_back(watcher)
    entity_id = await scene.created(author, "orders", {"status": "after"})
    await scene.shows(watcher, "orders", entity_id, status="after")


@rule("restart.sent_again", QUEUE, "An operation from before that is sent again after it counts once.", needs=NEEDS)
async def sent_again(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "products", {"price": 1})
    fate = await scene.stored(author, "products", entity_id, "UPDATE", {"price": 2})
    await scene.stored(author, "products", entity_id, "UPDATE", {"price": 3})
    await scene.shows(watcher, "products", entity_id, price=3)
    await kill_and_start(scene)
    author, watcher = await scene.come_back(author), await scene.come_back(watcher)
    watcher.screen["products", entity_id] = {"price": 3}
    await scene.submit(author, fate.operation)
    await scene.settled("products", author, watcher)
    await scene.shows(watcher, "products", entity_id, price=3)


@rule("restart.versions_grow", "Operações Suportadas: UPDATE", "Versions go on growing.", needs=NEEDS)
async def versions_grow(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "orders")
    for number in range(3):
        await scene.stored(author, "orders", entity_id, "UPDATE", {"n": number})
    await scene.shows(watcher, "orders", entity_id, n=2)
    before = watcher.versions["orders", entity_id]
    await kill_and_start(scene)
    author, watcher = await scene.come_back(author), await scene.come_back(watcher)
    await scene.stored(author, "orders", entity_id, "UPDATE", {"n": 3}, version=before + 1)
    await scene.shows(watcher, "orders", entity_id, n=3)
    after = watcher.versions["orders", entity_id]
    that(after > before, f"a version above {before}", after)


@rule(
    "restart.conflict_open",
    "Estratégias de Resolução: Manual Resolution",
    "A conflict that was open can still be decided.",
    needs=NEEDS,
)
async def conflict_open(scene: Scene) -> None:
    at = await dispute(scene)
    await kill_and_start(scene)
    author, watcher = await scene.come_back(at.first), await scene.come_back(at.watcher)
    version = max(at.conflict["local_version"], at.conflict["remote_version"]) + 1
    await decide(author, at, "accept_remote", {"amount": 777.0, "version": version})
    await scene.shows(watcher, "cashier_operations", at.entity_id, amount=777.0)


@rule(
    "restart.stopped",
    HANDLING,
    "A node that is stopped ends its connections with a code after which clients come back: not 4001 to 4003.",
    kind=Kind.READING,
    needs=NEEDS,
)
async def stopped(scene: Scene) -> str:
    terminal = await scene.terminal()
    process = scene.subject.started()
    scene.note("SIGTERM to the node, and a start")
    await process.stop()
    code = await terminal.ended(scene.patience)
    await process.start()
    that(code is not None and code not in (4001, 4002, 4003), "an end, and not 4001, 4002 or 4003", code)
    return "no close frame" if code == NO_CLOSE_FRAME else f"close {code}"
