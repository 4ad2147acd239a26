"""What a conflict is told with. Cashier operations are never decided by the node, so they show it best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from node.conformance.expect import given, has, holds, integer, seconds, that, word
from node.conformance.rule import Kind, rule
from node.conformance.rules.strategies import collide
from node.conformance.scene import about
from node.conformance.terminal import Terminal

if TYPE_CHECKING:
    from node.conformance.scene import Scene

HEADING = "Resolução de Conflitos: Sync Conflict"
MANUAL = "Estratégias de Resolução: Manual Resolution"
FIELDS = ("id", "type", "entity_type", "entity_id", "local_data", "remote_data", "local_version", "remote_version")
BEFORE, ONE, TWO = 100.0, 150.0, 250.0


@frozen
class Dispute:
    """Two amounts of one cashier operation. conflict: as it was told."""

    first: Terminal
    second: Terminal
    watcher: Terminal
    entity_id: str
    conflict: dict[str, Any]


async def dispute(scene: Scene) -> Dispute:
    """Raises Broken when neither author is told of a conflict."""
    data = {"type": "withdrawal", "amount": BEFORE}
    at = await collide(scene, "cashier_operations", data, {"amount": ONE}, {"amount": TWO})

    def told() -> dict[str, Any] | None:
        heard = (*at.first.heard, *at.second.heard)
        return next((message["conflict"] for message in heard if about(message, at.entity_id)), None)

    conflict = given(await scene.until(told), "sync_conflict to one of the two authors")
    return Dispute(at.first, at.second, at.watcher, at.entity_id, conflict)


@rule("conflicts.fields", HEADING, "sync_conflict has every documented field.")
async def fields(scene: Scene) -> None:
    at = await dispute(scene)
    has(at.conflict, *FIELDS, "created_at")
    holds(at.conflict, entity_type="cashier_operations", entity_id=at.entity_id)
    word(at.conflict["id"], "id")
    word(at.conflict["type"], "type")
    seconds(at.conflict["created_at"], "created_at")


@rule("conflicts.sides", HEADING, "local_data and remote_data are the two values that are in conflict.")
async def sides(scene: Scene) -> None:
    at = await dispute(scene)
    amounts = {at.conflict[side].get("amount") for side in ("local_data", "remote_data")}
    that(amounts == {ONE, TWO}, f"the amounts {ONE} and {TWO}", amounts)


@rule("conflicts.versions", HEADING, "local_version and remote_version are integers.")
async def versions(scene: Scene) -> str:
    at = await dispute(scene)
    local, remote = (integer(at.conflict[side], side) for side in ("local_version", "remote_version"))
    return f"{local} and {remote}"


@rule("conflicts.ids_differ", HEADING, "Two conflicts have two ids.")
async def ids_differ(scene: Scene) -> None:
    one, two = await dispute(scene), await dispute(scene)
    that(one.conflict["id"] != two.conflict["id"], "two ids", one.conflict["id"])


@rule(
    "conflicts.not_decided", MANUAL, "A conflict about money is left to a person: the second amount is not in force."
)
async def not_decided(scene: Scene) -> str:
    at = await dispute(scene)
    shown = at.watcher.screen["cashier_operations", at.entity_id].get("amount")
    that(shown in (BEFORE, ONE), f"an amount of {BEFORE} or {ONE}", shown)
    return f"amount {shown}"


@rule("conflicts.others_go_on", MANUAL, "While one conflict is open, other cashier operations go on.")
async def others_go_on(scene: Scene) -> None:
    at = await dispute(scene)
    entity_id = await scene.created(at.first, "cashier_operations", {"type": "deposit", "amount": 1.0})
    await scene.stored(at.first, "cashier_operations", entity_id, "UPDATE", {"amount": 2.0})
    await scene.shows(at.watcher, "cashier_operations", entity_id, amount=2.0)


@rule("conflicts.not_without_a_reason", HEADING, "Changes that follow each other are no conflict.")
async def not_without_a_reason(scene: Scene) -> None:
    first, second = await scene.terminals("pos", "pos")
    entity_id = await scene.created(first, "cashier_operations", {"type": "deposit", "amount": 1.0})
    for author, other, amount in ((first, second, 2.0), (second, first, 3.0)):
        await scene.shows(author, "cashier_operations", entity_id)
        await scene.alive(author)
        await scene.stored(author, "cashier_operations", entity_id, "UPDATE", {"amount": amount})
        await scene.shows(other, "cashier_operations", entity_id, amount=amount)
    heard = (*first.heard, *second.heard)
    that(not any(about(message, entity_id) for message in heard), "no sync_conflict", "one")


@rule(
    "conflicts.of_an_order",
    HEADING,
    "A version conflict of an order is told with the documented fields, or settled by its timestamps.",
    kind=Kind.READING,
)
async def of_an_order(scene: Scene) -> str:
    paid, late = {"status": "paid", "version": 3}, {"status": "preparing", "version": 2}
    at = await collide(scene, "orders", {"status": "pending"}, paid, late)
    for message in (*at.first.heard, *at.second.heard):
        if about(message, at.entity_id):
            has(message["conflict"], *FIELDS, "created_at")
            return "sync_conflict"
    that(at.fates[1].status != "silent", "an answer", "nothing")
    return f"settled: {at.fates[1].status}"
