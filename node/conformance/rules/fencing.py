"""What locks are for: who may write meanwhile, and what becomes of a lease that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.conformance.expect import has, holds, that, word
from node.conformance.rule import Kind, rule
from node.conformance.rules.locks import denied, free_again, granted, release

if TYPE_CHECKING:
    from node.conformance.scene import Scene

ERROR = "Sincronização de Dados: Sync Error"
HEADING = "Sistema de Bloqueio: Acquire Lock, Lock Acquired"
SHORT_MS = 400


@rule(
    "fencing.refused", ERROR, "While another terminal has the lock a write is refused by sync_error, and not applied."
)
async def refused(scene: Scene) -> None:
    holder, other, watcher = await scene.terminals("pos", "pos", "kds")
    entity_id = await scene.created(holder, "orders")
    await granted(scene, holder, entity_id)
    fate = await scene.write(other, "orders", entity_id, "UPDATE", {"status": "stolen"}, version=2, locking=False)
    that(fate.status == "refused", "sync_error", fate.answer or fate.status)
    await scene.settled("orders", other, watcher)
    await scene.shows(watcher, "orders", entity_id, status="pending")


@rule("fencing.error_fields", ERROR, "That sync_error has every documented field.")
async def error_fields(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    entity_id = await scene.created(holder, "orders")
    await granted(scene, holder, entity_id)
    fate = await scene.write(other, "orders", entity_id, "UPDATE", {"status": "stolen"}, version=2, locking=False)
    that(fate.status == "refused", "sync_error", fate.answer or fate.status)
    holds(fate.answer, type="sync_error", operation_id=fate.operation["id"], terminal_id=other.name)
    holds(fate.answer, entity_type="orders", entity_id=entity_id)
    has(fate.answer, "error")
    word((fate.answer or {})["error"], "error")


@rule("fencing.holder_writes", HEADING, "Who has the lock writes.")
async def holder_writes(scene: Scene) -> None:
    holder, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(holder, "orders")
    await granted(scene, holder, entity_id)
    await scene.stored(holder, "orders", entity_id, "UPDATE", {"status": "mine"}, locking=False)
    await scene.shows(watcher, "orders", entity_id, status="mine")


@rule("fencing.others_after_release", HEADING, "After the lock is given back others write.")
async def others_after_release(scene: Scene) -> None:
    holder, other, watcher = await scene.terminals("pos", "pos", "kds")
    entity_id = await scene.created(holder, "orders")
    lock_id, _ = await granted(scene, holder, entity_id)
    await release(holder, lock_id)
    await scene.alive(holder)
    await scene.shows(other, "orders", entity_id)
    await release(other, await free_again(scene, other, entity_id))
    await scene.stored(other, "orders", entity_id, "UPDATE", {"status": "next"})
    await scene.shows(watcher, "orders", entity_id, status="next")


@rule("fencing.other_entities_free", HEADING, "A lock of one order keeps nobody from another.")
async def other_entities_free(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    await granted(scene, holder, await scene.created(holder, "orders"))
    entity_id = await scene.created(other, "orders")
    await scene.stored(other, "orders", entity_id, "UPDATE", {"status": "free"}, locking=False)


@rule("fencing.expires", HEADING, "A lock is free when its time is over.")
async def expires(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    entity_id = await scene.created(holder, "orders")
    _, answer = await granted(scene, holder, entity_id, SHORT_MS)
    await scene.passes(answer["expires_at"], holder)
    await granted(scene, other, entity_id)


@rule("fencing.not_before", HEADING, "Not before: until then it is refused.")
async def not_before(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    entity_id = await scene.created(holder, "orders")
    await granted(scene, holder, entity_id, 10_000)
    await denied(scene, other, entity_id)


@rule("fencing.holder_vanished", HEADING, "A lock whose holder vanished is free when its time is over.")
async def holder_vanished(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    entity_id = await scene.created(holder, "orders")
    _, answer = await granted(scene, holder, entity_id, SHORT_MS)
    await holder.drop()
    await scene.passes(answer["expires_at"], holder)
    await granted(scene, other, entity_id)


@rule("fencing.late_holder", HEADING, "A holder whose lock expired and was taken by another cannot write any more.")
async def late_holder(scene: Scene) -> None:
    holder, other, watcher = await scene.terminals("pos", "pos", "kds")
    entity_id = await scene.created(holder, "orders")
    _, answer = await granted(scene, holder, entity_id, SHORT_MS)
    await scene.passes(answer["expires_at"], holder)
    await granted(scene, other, entity_id)
    fate = await scene.write(holder, "orders", entity_id, "UPDATE", {"status": "late"}, version=2, locking=False)
    that(not fate.stored, "a refusal", fate.answer)
    await scene.settled("orders", other, watcher)
    await scene.shows(watcher, "orders", entity_id, status="pending")


@rule(
    "fencing.released_late",
    "Códigos de Erro: 4009",
    "Giving back a lock whose time is over is answered or ignored; it takes the lock from nobody.",
    kind=Kind.READING,
)
async def released_late(scene: Scene) -> str:
    holder, other, third = await scene.terminals("pos", "pos", "pos")
    entity_id = await scene.created(holder, "orders")
    lock_id, answer = await granted(scene, holder, entity_id, SHORT_MS)
    await scene.passes(answer["expires_at"], holder)
    await granted(scene, other, entity_id)
    await release(holder, lock_id)
    await holder.ping()
    await scene.until(lambda: holder.code is not None or holder.heard[-1].get("type") == "pong")
    that(holder.code in (None, 4009), "a connection, or close 4009", holder.code)
    await denied(scene, third, entity_id)
    return f"close {holder.code}" if holder.code else "still connected"
