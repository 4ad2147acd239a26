"""What Comanda does beside the document. Tried with --additions only: no other node has to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.conformance.expect import given, has, holds, integer, that
from node.conformance.rule import Kind, rule
from node.conformance.rules.conflicts import dispute
from node.conformance.rules.locks import granted, release
from node.conformance.rules.resolutions import decide

if TYPE_CHECKING:
    from node.conformance.expect import Message
    from node.conformance.scene import Scene

SUBPROTOCOL = "comanda.v1"
OWN = "Comanda: "


@rule(
    "additions.confirmation",
    OWN + "answer to an operation",
    "The author of an operation gets a sync_confirmation with its version and status.",
    kind=Kind.ADDITION,
)
async def confirmation(scene: Scene) -> None:
    author = await scene.terminal()
    entity_id = scene.name("order")
    fate = await scene.stored(author, "orders", entity_id, "CREATE", {"id": entity_id}, version=1)
    answer = await author.wait_for("sync_confirmation", scene.patience)
    holds(answer, operation_id=fate.operation["id"], status="applied", terminal_id=author.name)
    integer(given(answer, "sync_confirmation")["version"], "version")


@rule(
    "additions.duplicate",
    OWN + "answer to an operation",
    "Sent again it is confirmed as a duplicate.",
    kind=Kind.ADDITION,
)
async def duplicate(scene: Scene) -> None:
    author = await scene.terminal()
    entity_id = scene.name("order")
    fate = await scene.stored(author, "orders", entity_id, "CREATE", {"id": entity_id}, version=1)
    await author.wait_for("sync_confirmation", scene.patience)
    heard, operation_id = len(author.heard), fate.operation["id"]
    await scene.submit(author, fate.operation)
    found = await author.wait(  # its own operation may be shown to it before that
        lambda said: said.get("type") == "sync_confirmation" and said.get("operation_id") == operation_id,
        scene.patience,
        heard,
    )
    holds(given(found, "sync_confirmation"), status="duplicate")


@rule("additions.error_code", OWN + "errors", "A sync_error carries the documented code.", kind=Kind.ADDITION)
async def error_code(scene: Scene) -> None:
    terminal = await scene.terminal()
    await terminal.send_text("this is not json")
    found = await terminal.wait_for("sync_error", scene.patience)
    holds(given(found, "sync_error"), code=4006)


@rule("additions.lock_released", OWN + "locks", "A release is answered by lock_released.", kind=Kind.ADDITION)
async def lock_released(scene: Scene) -> None:
    terminal = await scene.terminal()
    lock_id, _ = await granted(scene, terminal, await scene.created(terminal, "orders"))
    await release(terminal, lock_id)
    found = await terminal.wait_for("lock_released", scene.patience)
    holds(given(found, "lock_released"), lock_id=lock_id)


@rule("additions.fencing_token", OWN + "locks", "A lock carries a fencing token that grows.", kind=Kind.ADDITION)
async def fencing_token(scene: Scene) -> None:
    terminal = await scene.terminal()
    entity_id = await scene.created(terminal, "orders")
    tokens = []
    for _ in range(2):
        lock_id, answer = await granted(scene, terminal, entity_id)
        has(answer, "token", "scope")
        has(answer["token"], "authority", "epoch", "counter")
        tokens.append((answer["token"]["epoch"], answer["token"]["counter"]))
        await release(terminal, lock_id)
        await terminal.wait_for("lock_released", scene.patience)
    that(tokens[0] < tokens[1], "a larger token the second time", tokens)


@rule(
    "additions.conflict_closed",
    OWN + "conflicts",
    "Who was told of a conflict is told that it is closed.",
    kind=Kind.ADDITION,
)
async def conflict_closed(scene: Scene) -> None:
    at = await dispute(scene)
    await decide(at.first, at, "accept_remote", {"amount": 333.0, "version": 9})

    def closed(message: Message) -> bool:
        return message.get("type") == "conflict_resolution" and message.get("conflict_id") == at.conflict["id"]

    found = given(await at.second.wait(closed, scene.patience), "conflict_resolution")
    holds(found, state="closed")


@rule(
    "additions.subprotocol",
    OWN + "subprotocol comanda.v1",
    "A terminal that offers it gets rows with `seq`, and confirms by it.",
    kind=Kind.ADDITION,
)
async def subprotocol(scene: Scene) -> None:
    author = await scene.terminal()
    watcher = await scene.terminal("kds", subprotocol=SUBPROTOCOL, confirming=False)
    that(watcher.socket.subprotocol == SUBPROTOCOL, SUBPROTOCOL, watcher.socket.subprotocol)
    entity_id = await scene.created(author, "orders", {"n": 1})
    await scene.shows(watcher, "orders", entity_id, n=1)
    last = [message for message in watcher.heard if message.get("type") == "data_sync"][-1]
    await watcher.send({"type": "sync_confirmation", "seq": integer(last.get("seq"), "seq")})
    await scene.alive(watcher)


@rule(
    "additions.full_sync",
    OWN + "?sync=full",
    "A terminal that asks for the state gets every live entity, also one that it had confirmed.",
    kind=Kind.ADDITION,
)
async def full_sync(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "orders", {"n": 1})
    await scene.shows(watcher, "orders", entity_id, n=1)
    await scene.alive(watcher)
    await watcher.leave()
    back = await scene.come_back(watcher, suffix="&sync=full")
    await scene.shows(back, "orders", entity_id, n=1)
