"""Taking a lock, being told who has it, and giving it back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from node.conformance.expect import has, holds, seconds, that, word
from node.conformance.rule import rule

if TYPE_CHECKING:
    from node.conformance.expect import Message
    from node.conformance.scene import Scene
    from node.conformance.terminal import Terminal

ACQUIRED = "Sistema de Bloqueio: Acquire Lock, Lock Acquired"
FAILED = "Sistema de Bloqueio: Lock Failed"
RELEASE = "Sistema de Bloqueio: Release Lock"


async def granted(scene: Scene, terminal: Terminal, entity_id: str, lease_ms: int = 30_000) -> tuple[str, Message]:
    """The lock of an order, which must be free. Raises Broken."""
    lock_id, answer = await scene.lock(terminal, "orders", entity_id, lease_ms)
    that(answer["type"] == "lock_acquired", f"lock_acquired to {terminal.name}", answer)
    return lock_id, answer


async def free_again(scene: Scene, terminal: Terminal, entity_id: str) -> str:
    """Take the lock of an order that was given back just now: a node may have to ask another first."""

    async def asked() -> str:
        lock_id, answer = await scene.lock(terminal, "orders", entity_id)
        return lock_id if answer["type"] == "lock_acquired" else ""

    lock_id = await scene.poll(asked)
    that(lock_id, f"lock_acquired to {terminal.name}", "lock_failed")
    return lock_id


async def denied(scene: Scene, terminal: Terminal, entity_id: str) -> Message:
    """The lock of an order, which somebody else must hold. Raises Broken."""
    _, answer = await scene.lock(terminal, "orders", entity_id)
    that(answer["type"] == "lock_failed", f"lock_failed to {terminal.name}", answer)
    return answer


async def release(terminal: Terminal, lock_id: str, terminal_id: str | None = None) -> None:
    await terminal.send({"type": "release_lock", "lock_id": lock_id, "terminal_id": terminal_id or terminal.name})


@rule("locks.acquired", ACQUIRED, "A lock that is free is granted, with every documented field.")
async def acquired(scene: Scene) -> None:
    terminal = await scene.terminal()
    entity_id = await scene.created(terminal, "orders")
    lock_id, answer = await granted(scene, terminal, entity_id)
    has(answer, "lock_id", "entity_type", "entity_id", "expires_at")
    holds(answer, lock_id=lock_id, entity_type="orders", entity_id=entity_id)


@rule("locks.timeout", ACQUIRED, "It ends after the timeout that was asked for, in milliseconds.")
async def timeout(scene: Scene) -> str:
    terminal = await scene.terminal()
    entity_id = await scene.created(terminal, "orders")
    _, answer = await granted(scene, terminal, entity_id, 30_000)
    left = seconds(answer.get("expires_at"), "expires_at") - time.time() - terminal.offset
    that(20 < left < 40, "an end in 30 seconds", f"{left:.1f} s")
    return f"{left:.1f} s"


@rule(
    "locks.failed", FAILED, "A lock that another terminal has is refused, and the answer says who has it until when."
)
async def failed(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    entity_id = await scene.created(holder, "orders")
    await granted(scene, holder, entity_id)
    answer = await denied(scene, other, entity_id)
    has(answer, "entity_type", "entity_id", "reason", "locked_by", "locked_until")
    holds(answer, entity_type="orders", locked_by=holder.name)
    word(answer["reason"], "reason")


@rule("locks.until", FAILED, "locked_until is the end of the lease that the holder was told.")
async def until(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    entity_id = await scene.created(holder, "orders")
    _, answer = await granted(scene, holder, entity_id)
    told = (await denied(scene, other, entity_id)).get("locked_until")
    apart = abs(seconds(told, "locked_until") - seconds(answer.get("expires_at"), "expires_at"))
    that(apart < 1, f"about {answer.get('expires_at')}", told)


@rule("locks.one_of_eight", ACQUIRED, "Of eight terminals that ask at the same moment one gets it; all are answered.")
async def one_of_eight(scene: Scene) -> None:
    everybody = await scene.terminals(*["pos"] * 8)
    entity_id = await scene.created(everybody[0], "orders")
    answers: list[Message] = []

    async def ask(terminal: Terminal) -> None:
        answers.append((await scene.lock(terminal, "orders", entity_id))[1])

    async with trio.open_nursery() as nursery:
        for terminal in everybody:
            nursery.start_soon(ask, terminal)
    kinds = sorted(str(answer["type"]) for answer in answers)
    that(kinds == ["lock_acquired"] + ["lock_failed"] * 7, "one lock_acquired, seven lock_failed", kinds)


@rule("locks.each_entity", ACQUIRED, "Locks of two entities do not get in each other's way.")
async def each_entity(scene: Scene) -> None:
    first, second = await scene.terminals("pos", "pos")
    for terminal in (first, second):
        await granted(scene, terminal, await scene.created(first, "orders"))


@rule("locks.cashier", "Entidades: Cashier Operations", "Cashier operations are locked like orders.")
async def cashier(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    entity_id = await scene.created(holder, "cashier_operations", {"amount": 1.0})
    _, one = await scene.lock(holder, "cashier_operations", entity_id)
    _, two = await scene.lock(other, "cashier_operations", entity_id)
    kinds = [one["type"], two["type"]]
    that(kinds == ["lock_acquired", "lock_failed"], "one lock_acquired, then lock_failed", kinds)


@rule("locks.released", RELEASE, "A lock that is given back is free for others.")
async def released(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    entity_id = await scene.created(holder, "orders")
    lock_id, _ = await granted(scene, holder, entity_id)
    await release(holder, lock_id)
    await scene.alive(holder)
    await free_again(scene, other, entity_id)


@rule("locks.again", ACQUIRED, "Who gave a lock back can take it again.")
async def again(scene: Scene) -> None:
    holder = await scene.terminal()
    entity_id = await scene.created(holder, "orders")
    for _ in range(3):
        await release(holder, await free_again(scene, holder, entity_id))


async def _still_held(scene: Scene, other: Terminal, entity_id: str) -> None:
    with trio.move_on_after(scene.patience):
        await scene.alive(other) if other.code is None else None
    if other.code is not None:
        other = await scene.terminal()
    await denied(scene, other, entity_id)


@rule("locks.released_by_another", RELEASE, "A release by a terminal that does not hold the lock changes nothing.")
async def released_by_another(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    entity_id = await scene.created(holder, "orders")
    lock_id, _ = await granted(scene, holder, entity_id)
    await release(other, lock_id)
    await _still_held(scene, other, entity_id)


@rule("locks.released_in_another_name", RELEASE, "Nor does one that gives the holder's terminal_id as its own.")
async def released_in_another_name(scene: Scene) -> None:
    holder, other = await scene.terminals("pos", "pos")
    entity_id = await scene.created(holder, "orders")
    lock_id, _ = await granted(scene, holder, entity_id)
    await release(other, lock_id, holder.name)
    await _still_held(scene, other, entity_id)


@rule("locks.released_unknown", RELEASE, "A release of a lock that never was does not end the connection.")
async def released_unknown(scene: Scene) -> None:
    terminal = await scene.terminal()
    await release(terminal, scene.name("lock"))
    await scene.alive(terminal)
