"""What a client confirms, and what it does to the connection: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.conformance.expect import that
from node.conformance.rule import rule
from node.conformance.scene import is_error
from node.conformance.terminal import clock

if TYPE_CHECKING:
    from node.conformance.scene import Scene
    from node.conformance.terminal import Terminal

HEADING = "Sincronização de Dados: Sync Confirmation"
CLIENT = "Cliente JavaScript Completo: handleDataSync"


async def _silently(scene: Scene, terminal: Terminal, confirmation: dict[str, object]) -> None:
    await terminal.send({"type": "sync_confirmation", "terminal_id": terminal.name, **confirmation})
    await scene.alive(terminal)
    wrong = [message for message in terminal.heard if is_error(message)]
    that(not wrong, "no error", wrong)


async def _delivered(scene: Scene) -> tuple[Terminal, Terminal, str]:
    author, watcher = await scene.terminal(), await scene.terminal("kds", confirming=False)
    entity_id = scene.name("order")
    fate = await scene.stored(author, "orders", entity_id, "CREATE", {"id": entity_id}, version=1)
    await scene.delivered(fate, watcher)
    return author, watcher, str(fate.operation["id"])


@rule("confirmation.silent", HEADING, "A confirmation is taken without an answer that is an error.")
async def silent(scene: Scene) -> None:
    _, watcher, operation_id = await _delivered(scene)
    await _silently(scene, watcher, {"operation_id": operation_id, "timestamp": clock()})


@rule("confirmation.without_timestamp", CLIENT, "So is the client's own, which has no timestamp.")
async def without_timestamp(scene: Scene) -> None:
    _, watcher, operation_id = await _delivered(scene)
    await _silently(scene, watcher, {"operation_id": operation_id})


@rule("confirmation.twice", HEADING, "Confirming twice does no harm.")
async def twice(scene: Scene) -> None:
    _, watcher, operation_id = await _delivered(scene)
    for _ in range(2):
        await _silently(scene, watcher, {"operation_id": operation_id})


@rule("confirmation.unknown_operation", HEADING, "Confirming what nobody sent does not end the connection.")
async def unknown_operation(scene: Scene) -> None:
    terminal = await scene.terminal("kds")
    message = {"type": "sync_confirmation", "operation_id": scene.name("nothing"), "terminal_id": terminal.name}
    await terminal.send(message)
    await scene.alive(terminal)


@rule("confirmation.not_needed", HEADING, "A terminal that never confirms still gets what comes next.")
async def not_needed(scene: Scene) -> None:
    author, watcher, _ = await _delivered(scene)
    for _ in range(10):
        entity_id = await scene.created(author, "orders")
        await scene.shows(watcher, "orders", entity_id, status="pending")
