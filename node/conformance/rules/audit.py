"""The audit trail, as monitors hear it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from node.conformance.expect import given, has, holds, iso, seconds, that, word
from node.conformance.rule import rule
from node.conformance.rules.conflicts import dispute
from node.conformance.rules.resolutions import decide
from node.conformance.terminal import ENTITY_TYPES

if TYPE_CHECKING:
    from typing import Any

    from node.conformance.expect import Message
    from node.conformance.scene import Fate, Scene
    from node.conformance.terminal import Terminal

HEADING = "Auditoria e Logging: Audit Log Entry"
FIELDS = ("id", "operation_id", "entity_type", "entity_id", "operation", "terminal_id", "user_id", "timestamp")


async def entry_of(scene: Scene, monitor: Terminal, fate: Fate) -> dict[str, Any]:
    """The audit entry of an operation. Raises Broken."""
    wanted = fate.operation["id"]

    def of_operation(message: Message) -> bool:
        entry = message.get("entry")
        return message.get("type") == "audit_log" and isinstance(entry, dict) and entry.get("operation_id") == wanted

    found = given(await monitor.wait(of_operation, scene.patience), f"audit_log of {wanted} to a monitor")
    return dict(found["entry"])


async def _updated(scene: Scene) -> tuple[Terminal, Fate, dict[str, Any]]:
    monitor, author = await scene.terminal("monitor"), await scene.terminal(user="user-9")
    entity_id = await scene.created(author, "orders", {"status": "pending"})
    fate = await scene.stored(author, "orders", entity_id, "UPDATE", {"status": "preparing"}, version=2)
    return author, fate, await entry_of(scene, monitor, fate)


@rule("audit.fields", HEADING, "An operation has an audit entry with every documented field.")
async def fields(scene: Scene) -> None:
    _, _, entry = await _updated(scene)
    has(entry, *FIELDS, "changes", "sync_status", "conflict_resolved")
    word(entry["id"], "id")
    seconds(entry["timestamp"], "timestamp")
    word(entry["sync_status"], "sync_status")
    that(isinstance(entry["conflict_resolved"], bool), "conflict_resolved: true or false", entry["conflict_resolved"])


@rule("audit.who_and_what", HEADING, "It says what was done to which entity, by which terminal and user.")
async def who_and_what(scene: Scene) -> None:
    author, fate, entry = await _updated(scene)
    holds(entry, entity_type="orders", entity_id=fate.operation["entity_id"], operation="UPDATE")
    holds(entry, terminal_id=author.name, user_id="user-9")


@rule("audit.before_and_after", HEADING, "Its changes give the values before and after.")
async def before_and_after(scene: Scene) -> None:
    _, _, entry = await _updated(scene)
    has(entry["changes"], "before", "after")
    holds(entry["changes"]["before"], status="pending")
    holds(entry["changes"]["after"], status="preparing")


@rule("audit.one_each", HEADING, "Every operation has one entry, also one that was sent twice.")
async def one_each(scene: Scene) -> None:
    monitor, author = await scene.terminals("monitor", "pos")
    entity_id = await scene.created(author, "orders")
    fate = await scene.stored(author, "orders", entity_id, "UPDATE", {"status": "ready"}, version=2)
    await scene.submit(author, fate.operation)
    last = await scene.stored(author, "orders", entity_id, "UPDATE", {"status": "served"}, version=3)
    await entry_of(scene, monitor, last)
    heard = [message["entry"] for message in monitor.heard if message.get("type") == "audit_log"]
    mine = [entry["operation_id"] for entry in heard if entry.get("entity_id") == entity_id]
    that(len(mine) == 3 and len(set(mine)) == 3, "three entries of three operations", mine)


async def audited(entity_type: str, scene: Scene) -> None:
    monitor, author = await scene.terminals("monitor", "pos")
    entity_id = scene.name("entity")
    fate = await scene.stored(author, entity_type, entity_id, "CREATE", {"id": entity_id, "name": "n"}, version=1)
    entry = await entry_of(scene, monitor, fate)
    holds(entry, entity_type=entity_type, entity_id=entity_id, operation="CREATE")
    holds(entry["changes"]["after"], name="n")


for _type in ENTITY_TYPES:
    rule(f"audit.of_{_type}", "Entidades: audit_required", f"Changes of {_type} are audited.")(
        partial(audited, _type)
    )


@rule("audit.delete", HEADING, "A DELETE has an entry too.")
async def delete(scene: Scene) -> None:
    monitor, author = await scene.terminals("monitor", "pos")
    entity_id = await scene.created(author, "products", {"name": "n"})
    fate = await scene.stored(author, "products", entity_id, "DELETE", {"deleted_at": iso(time.time())}, version=2)
    entry = await entry_of(scene, monitor, fate)
    holds(entry, operation="DELETE")
    has(entry["changes"], "before", "after")


@rule("audit.bulk", HEADING, "A BULK_UPDATE is audited.")
async def bulk(scene: Scene) -> None:
    monitor, author = await scene.terminals("monitor", "pos")
    entity_id = await scene.created(author, "products", {"name": "n"})
    updates = [{"entity_id": entity_id, "data": {"price": 3, "version": 2}}]
    fate = await scene.stored(author, "products", None, "BULK_UPDATE", {"updates": updates}, version=1)
    holds(await entry_of(scene, monitor, fate), operation="BULK_UPDATE")


@rule("audit.conflict_resolved", HEADING, "The decision of a conflict is audited with conflict_resolved true.")
async def conflict_resolved(scene: Scene) -> None:
    monitor = await scene.terminal("monitor")
    at = await dispute(scene)
    version = max(at.conflict["local_version"], at.conflict["remote_version"]) + 1
    await decide(at.first, at, "accept_remote", {"amount": 333.0, "version": version})

    def resolved(message: Message) -> bool:
        entry = message.get("entry")
        return (
            isinstance(entry, dict)
            and entry.get("entity_id") == at.entity_id
            and entry.get("conflict_resolved") is True
        )

    given(await monitor.wait(resolved, scene.patience), "an audit_log with conflict_resolved true")
