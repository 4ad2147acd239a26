"""Large, deep, long and empty: what still has to arrive, and what must hurt nobody."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from node.conformance.broken import NotTried
from node.conformance.expect import that
from node.conformance.rule import Kind, rule
from node.conformance.wire import COMPRESSED, deflated, frame

if TYPE_CHECKING:
    from node.conformance.scene import Scene

DATA = "Sincronização de Dados: Data Sync"
COMPRESSION = "Otimizações: Compression"


def _nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = {"in": value}
    return value


WIDE: dict[str, dict[str, Any]] = {
    "empty": {},
    "long_text": {"note": "ç" * 30_000},
    "many_items": {"items": [{"sku": f"sku-{number}", "n": number, "price": 9.9} for number in range(500)]},
    "nested": {"options": _nested(16)},
    "many_fields": {f"field_{number}": number for number in range(200)},
    "odd_texts": {"note": 'linha\n\t"aspas" \\ \u0001 \u2028 日本 👩‍🍳', "empty": "", "null": None, "no": False},
}
SAYS = {
    "empty": "An entity without any field of its own",
    "long_text": "A text of 30,000 characters",
    "many_items": "An order of 500 items",
    "nested": "Data nested 16 deep",
    "many_fields": "An entity of 200 fields",
    "odd_texts": "Control characters, emoji, empty texts, null and false",
}


async def arrives(data: dict[str, Any], scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = await scene.created(author, "orders", data)
    await scene.shows(watcher, "orders", entity_id, **data)


for _name, _data in WIDE.items():
    rule(f"sizes.{_name}", DATA, f"{SAYS[_name]} arrives as it was sent.", kind=Kind.READING)(partial(arrives, _data))


@rule("sizes.long_ids", DATA, "Ids of 64 characters are taken.", kind=Kind.READING)
async def long_ids(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = scene.name("order").ljust(64, "x")
    operation_id = scene.name("op").ljust(64, "x")
    whole = author.operation(operation_id, "orders", entity_id, "CREATE", {"id": entity_id, "n": 1}, version=1)
    await scene.submit(author, whole)
    await scene.shows(watcher, "orders", entity_id, n=1)


@rule(
    "sizes.too_large",
    DATA,
    "A message of 32 MiB is taken, refused or ends its connection (1009); other terminals go on.",
    kind=Kind.READING,
)
async def too_large(scene: Scene) -> str:
    big, author, watcher = await scene.terminals("pos", "pos", "kds")
    entity_id = scene.name("order")
    whole = big.operation(scene.name("op"), "orders", entity_id, "CREATE", {"note": "x"}, version=1)
    text = json.dumps({"type": "data_sync", "operation": whole}).replace('"x"', '"' + "x" * 33_554_432 + '"')
    scene.nursery.start_soon(big.send_raw, frame(text.encode()), "a data_sync of 32 MiB")
    other = await scene.created(author, "orders")
    await scene.shows(watcher, "orders", other)
    await scene.until(lambda: big.code is not None or big.answers.get(whole["id"]) or watcher.delivered[whole["id"]])
    that(big.code in (None, 1009, 1006, 1008, 4006), "close 1009 or 4006, or none", big.code)
    return f"close {big.code}" if big.code else "taken or refused"


@rule(
    "sizes.compressed",
    COMPRESSION,
    "A client that offers permessage-deflate gets large messages that inflate to what was sent.",
)
async def compressed(scene: Scene) -> str:
    author, watcher = await scene.terminal(), await scene.terminal("kds", deflate=True)
    note = "feijoada completa " * 1_000
    entity_id = await scene.created(author, "orders", {"note": note})
    await scene.shows(watcher, "orders", entity_id, note=note)
    return "compressed" if watcher.socket.compressed else "not compressed"


@rule("sizes.large_are_compressed", COMPRESSION, "Large messages are compressed for clients that offer it.")
async def large_are_compressed(scene: Scene) -> None:
    author, watcher = await scene.terminal(), await scene.terminal("kds", deflate=True)
    note = "feijoada completa " * 2_000
    entity_id = await scene.created(author, "orders", {"note": note})
    await scene.shows(watcher, "orders", entity_id, note=note)
    that(watcher.socket.compressed, "a compressed data_sync of 36 KB", "none")


@rule("sizes.not_offered", COMPRESSION, "A client that does not offer compression gets none.")
async def not_offered(scene: Scene) -> None:
    author, watcher = await scene.terminals("pos", "kds")
    note = "feijoada completa " * 2_000
    entity_id = await scene.created(author, "orders", {"note": note})
    await scene.shows(watcher, "orders", entity_id, note=note)
    that(not watcher.socket.compressed, "messages as they are", "a compressed one")


@rule("sizes.client_compresses", COMPRESSION, "What a client compresses, where that was agreed on, is read.")
async def client_compresses(scene: Scene) -> None:
    author, watcher = await scene.terminal(deflate=True), await scene.terminal("kds")
    if not author.socket.deflate:
        raise NotTried("the node does not agree on permessage-deflate")
    entity_id = scene.name("order")
    data = {"id": entity_id, "note": "feijoada completa " * 500}
    whole = author.operation(scene.name("op"), "orders", entity_id, "CREATE", data, version=1)
    whole["requires_lock"] = False
    text = json.dumps({"type": "data_sync", "operation": whole}).encode()
    await author.send_raw(frame(deflated(text), rsv=COMPRESSED), "a compressed data_sync")
    await scene.shows(watcher, "orders", entity_id, note=data["note"])
