"""The four documented strategies, each with two terminals that change one entity without knowing of each other."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from node.conformance.expect import iso, same, that
from node.conformance.rule import Kind, rule
from node.conformance.scene import Fate, about
from node.conformance.terminal import Terminal

if TYPE_CHECKING:
    from typing import Any

    from node.conformance.scene import Scene

LAST = "Estratégias de Resolução: Last Write Wins"
MERGE = "Estratégias de Resolução: Merge Changes"
FREE = "Estratégias de Resolução: Merge Non-Conflicting"
ALL = "Visão Geral: Resolução de conflitos"


APART_S = 0.1
"""Between the two changes: more than a message's way, by which a node may take a terminal's clock to be behind."""


@frozen
class Collision:
    """first wrote, then second, who had not taken note; watcher saw both."""

    first: Terminal
    second: Terminal
    watcher: Terminal
    entity_type: str
    entity_id: str
    fates: tuple[Fate, Fate]


async def collide(
    scene: Scene,
    entity_type: str,
    data: dict[str, Any],
    one: dict[str, Any],
    two: dict[str, Any],
    *,
    newest_first: bool = False,
) -> Collision:
    """Both change the entity from the same version. newest_first: the change that comes first was written last.

    Nobody lies about its clock: both changes are written after their authors saw the entity.
    """
    first, second, watcher = await scene.terminals("pos", "pos", "kds")
    entity_id = await scene.created(first, entity_type, data)
    await scene.shows(second, entity_type, entity_id)
    await scene.alive(second)  # its confirmation of the CREATE has been read
    second.confirming = False
    older = iso(time.time())
    await trio.sleep(APART_S)
    newer = iso(time.time())
    times = (newer, older) if newest_first else (older, newer)
    fates = []
    for author, change, at in ((first, one, times[0]), (second, two, times[1])):
        fates.append(await scene.write(author, entity_type, entity_id, "UPDATE", change, version=2, timestamp=at))
    await scene.settled(entity_type, first, second, watcher)
    await scene.settled(entity_type, second, first)
    return Collision(first, second, watcher, entity_type, entity_id, (fates[0], fates[1]))


@rule("strategies.last_write_second", LAST, "Of two changes of an order the one with the newer timestamp prevails.")
async def last_write_second(scene: Scene) -> None:
    at = await collide(scene, "orders", {"note": "-"}, {"note": "A"}, {"note": "B"})
    await scene.shows(at.watcher, "orders", at.entity_id, note="B")


@rule(
    "strategies.last_write_first",
    LAST,
    "It prevails also when it comes first: the timestamp counts, not the arrival.",
)
async def last_write_first(scene: Scene) -> None:
    at = await collide(scene, "orders", {"note": "-"}, {"note": "A"}, {"note": "B"}, newest_first=True)
    await scene.shows(at.watcher, "orders", at.entity_id, note="A")


@rule(
    "strategies.last_write_answered",
    LAST,
    "Whose older change of an order came late gets an answer, whatever it says.",
    kind=Kind.READING,
)
async def last_write_answered(scene: Scene) -> str:
    at = await collide(scene, "orders", {"note": "-"}, {"note": "A"}, {"note": "B"}, newest_first=True)
    conflict = any(about(message, at.entity_id) for message in at.second.heard)
    that(at.fates[1].status != "silent" or conflict, "an answer", "nothing")
    return "sync_conflict" if conflict else at.fates[1].status


@rule("strategies.merge_changes", MERGE, "Changes of different fields of a product are both kept.")
async def merge_changes(scene: Scene) -> None:
    data = {"name": "n", "price": 1.0, "stock": 9}
    at = await collide(scene, "products", data, {"price": 2.0}, {"stock": 8})
    await scene.shows(at.watcher, "products", at.entity_id, name="n", price=2.0, stock=8)


@rule("strategies.merge_changes_new_fields", MERGE, "So are fields that neither had before.")
async def merge_changes_new_fields(scene: Scene) -> None:
    at = await collide(scene, "products", {"name": "n"}, {"barcode": "789"}, {"unit": "kg"})
    await scene.shows(at.watcher, "products", at.entity_id, name="n", barcode="789", unit="kg")


@rule("strategies.merge_changes_same_field", MERGE, "A field that both changed ends as one of the two values.")
async def merge_changes_same_field(scene: Scene) -> str:
    at = await collide(scene, "products", {"price": 1.0}, {"price": 2.0}, {"price": 3.0})
    shown = at.watcher.screen["products", at.entity_id].get("price")
    that(shown in (2.0, 3.0), "a price of 2.0 or 3.0", shown)
    return f"price {shown}"


@rule("strategies.merge_non_conflicting", FREE, "Changes of different fields of a customer are both kept.")
async def merge_non_conflicting(scene: Scene) -> None:
    data = {"name": "n", "phone": "1", "email": "e"}
    at = await collide(scene, "customers", data, {"phone": "2"}, {"email": "f"})
    await scene.shows(at.watcher, "customers", at.entity_id, name="n", phone="2", email="f")


@rule(
    "strategies.merge_non_conflicting_rest",
    FREE,
    "Of a change whose one field conflicts and whose other does not, the other is merged, or the conflict is told.",
    kind=Kind.READING,
)
async def merge_non_conflicting_rest(scene: Scene) -> str:
    data = {"name": "n", "phone": "1", "email": "e"}
    at = await collide(scene, "customers", data, {"phone": "2"}, {"phone": "3", "email": "f"})
    shown = at.watcher.screen["customers", at.entity_id]
    that(shown.get("phone") in ("1", "2", "3"), "one of the three phones", shown)
    told = any(about(message, at.entity_id) for who in (at.first, at.second) for message in who.heard)
    that(shown.get("email") == "f" or told, "email f, or a sync_conflict", shown)
    return f"phone {shown.get('phone')}, email {shown.get('email')}, conflict {'told' if told else 'not told'}"


async def agree(entity_type: str, fields: tuple[str, str], scene: Scene) -> None:
    one, two = ({field: side, "name": side} for field, side in zip(fields, ("A", "B"), strict=True))
    at = await collide(scene, entity_type, {"name": "-"}, one, two)
    key = (entity_type, at.entity_id)
    wanted = {name: at.watcher.screen[key].get(name) for name in ("name", *fields)}
    for author in (at.first, at.second):
        shown = author.screen[key]
        wrong = {name: shown.get(name) for name, value in wanted.items() if not same(shown.get(name), value)}
        that(not wrong, f"{author.name} shows {wanted} like {at.watcher.name}", wrong)


for _type, _fields in (
    ("orders", ("status", "note")),
    ("products", ("barcode", "unit")),
    ("customers", ("phone", "email")),
):
    rule(
        f"strategies.screens_agree_{_type}",
        ALL,
        f"After two changes of one of the {_type} both authors show what everybody else shows.",
        kind=Kind.READING,
    )(partial(agree, _type, _fields))
