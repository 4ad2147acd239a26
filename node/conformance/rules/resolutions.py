"""Deciding a conflict."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from node.conformance.expect import that
from node.conformance.rule import Kind, rule
from node.conformance.rules.conflicts import dispute
from node.conformance.scene import is_error

if TYPE_CHECKING:
    from typing import Any

    from node.conformance.rules.conflicts import Dispute
    from node.conformance.scene import Scene
    from node.conformance.terminal import Terminal

HEADING = "Resolução de Conflitos: Conflict Resolution"
CASHIER = "cashier_operations"


async def decide(terminal: Terminal, at: Dispute, resolution: str, data: dict[str, Any] | None = None) -> int:
    """Send the decision; how much the terminal had heard before."""
    heard = len(terminal.heard)
    message = {"type": "conflict_resolution", "conflict_id": at.conflict["id"], "resolution": resolution}
    more = {} if data is None else {"resolved_data": data}
    await terminal.send({**message, **more, "terminal_id": terminal.name})
    return heard


def _next_version(at: Dispute) -> int:
    return int(max(at.conflict["local_version"], at.conflict["remote_version"])) + 1


async def takes_effect(resolution: str, side: str, scene: Scene) -> None:
    at = await dispute(scene)
    data = {**at.conflict[side], "version": _next_version(at)}
    await decide(at.first, at, resolution, data)
    await scene.shows(at.watcher, CASHIER, at.entity_id, amount=at.conflict[side]["amount"])


for _resolution, _side in (("accept_remote", "remote_data"), ("accept_local", "local_data")):
    rule(f"resolutions.{_resolution}", HEADING, f"{_resolution} with the {_side} puts it in force.")(
        partial(takes_effect, _resolution, _side)
    )


@rule(
    "resolutions.resolved_data", HEADING, "resolved_data is put in force, also where it is neither of the two values."
)
async def resolved_data(scene: Scene) -> None:
    at = await dispute(scene)
    await decide(at.first, at, "accept_remote", {"amount": 333.0, "version": _next_version(at)})
    await scene.shows(at.watcher, CASHIER, at.entity_id, amount=333.0)


@rule(
    "resolutions.without_data",
    HEADING,
    "Without resolved_data the side that is named is taken, or the decision is refused.",
    kind=Kind.READING,
)
async def without_data(scene: Scene) -> str:
    at = await dispute(scene)
    heard = await decide(at.first, at, "accept_remote")
    key, wanted = (CASHIER, at.entity_id), at.conflict["remote_data"]["amount"]

    def done() -> str:
        if at.watcher.screen[key].get("amount") == wanted:
            return "taken"
        refused = any(map(is_error, at.first.heard[heard:])) or at.first.code == 4010
        return "refused" if refused else ""

    came = await scene.until(done)
    that(came, f"an amount of {wanted}, or a refusal", at.watcher.screen[key])
    return came


@rule("resolutions.reach_the_other", HEADING, "The decision of one author reaches the other.")
async def reach_the_other(scene: Scene) -> None:
    at = await dispute(scene)
    await decide(at.first, at, "accept_remote", {"amount": 444.0, "version": _next_version(at)})
    await scene.shows(at.second, CASHIER, at.entity_id, amount=444.0)


@rule("resolutions.then_writable", HEADING, "After the decision the entity is written as before.")
async def then_writable(scene: Scene) -> None:
    at = await dispute(scene)
    await at.second.confirm_all()
    await decide(at.first, at, "accept_remote", {"amount": 444.0, "version": _next_version(at)})
    await scene.shows(at.second, CASHIER, at.entity_id, amount=444.0)
    await scene.alive(at.second)
    await scene.stored(at.second, CASHIER, at.entity_id, "UPDATE", {"note": "counted"})
    await scene.shows(at.watcher, CASHIER, at.entity_id, amount=444.0, note="counted")


@rule(
    "resolutions.second_one",
    HEADING,
    "A second decision about a conflict that is closed is refused, or changes nothing unseen by others.",
    kind=Kind.READING,
)
async def second_one(scene: Scene) -> str:
    at = await dispute(scene)
    await decide(at.first, at, "accept_remote", {"amount": 444.0, "version": _next_version(at)})
    await scene.shows(at.watcher, CASHIER, at.entity_id, amount=444.0)
    heard = await decide(at.second, at, "accept_local", {"amount": 555.0, "version": _next_version(at)})

    def done() -> str:
        if any(map(is_error, at.second.heard[heard:])) or at.second.code == 4010:
            return "refused"
        return "taken" if at.watcher.screen[CASHIER, at.entity_id].get("amount") == 555.0 else ""

    came = await scene.until(done)
    that(came, "a refusal, or an amount of 555.0 for everybody", at.watcher.screen[CASHIER, at.entity_id])
    return came


@rule("resolutions.unknown_word", HEADING, "A resolution that the document does not know is refused.")
async def unknown_word(scene: Scene) -> None:
    at = await dispute(scene)
    before = at.watcher.screen[CASHIER, at.entity_id].get("amount")
    heard = await decide(at.first, at, "toss_a_coin", {"amount": 666.0, "version": _next_version(at)})
    refused = await at.first.wait(is_error, scene.patience, heard)
    that(refused or at.first.code in (4006, 4010), "an error", f"close code {at.first.code}")
    await scene.settled(CASHIER, at.second, at.watcher)
    await scene.shows(at.watcher, CASHIER, at.entity_id, amount=before)
