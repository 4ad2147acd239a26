"""The documented error codes: told by a close frame, or by a `sync_error` that leaves the connection open."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import trio

from node.conformance.expect import Message, that
from node.conformance.rule import Kind, Need, rule
from node.conformance.scene import is_error
from node.conformance.wire import Refused, frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.conformance.scene import Scene
    from node.conformance.terminal import Terminal

CODES = "Códigos de Erro: WebSocket Error Codes"
HANDLING = "Códigos de Erro: Tratamento de Erros"
HTTP_REFUSALS = (400, 401, 403, 404, 409, 414, 422, 429, 431)
FLOOD = 20_000


async def connecting(scene: Scene, path: str, token: str | None = None) -> tuple[str, int | None, str]:
    """How a connection on this path ends: "close" or "HTTP", its number, and the message that came instead."""
    try:
        socket = await scene.subject.connect(path, token)
    except Refused as refused:
        return "HTTP", refused.status, ""
    text = None
    with trio.move_on_after(scene.patience):
        text = await socket.receive()
        while text is not None and "connection_established" not in str(text):
            text = await socket.receive()
    await socket.drop()
    return "close", socket.code, str(text or "")


async def refused_with(code: int, path: str, scene: Scene) -> str:
    """Closed with this code, or never upgraded."""
    token = scene.subject.token
    way, number, greeting = await connecting(scene, path.replace("{new}", scene.name("t")), token)
    fine = not greeting and (number == code if way == "close" else number in HTTP_REFUSALS)
    that(fine, f"close {code}, or an HTTP error", greeting or f"{way} {number}")
    return f"{way} {number}"


for _name, _code, _path, _says in (
    ("4001_empty", 4001, "/ws/?type=pos", "An empty terminal id is refused."),
    ("4001_characters", 4001, "/ws/%20%3Cscript%3E?type=pos", "A terminal id of spaces and brackets is refused."),
    ("4001_long", 4001, f"/ws/{'a' * 5_000}?type=pos", "A terminal id of 5,000 characters is refused."),
    ("4002_unknown", 4002, "/ws/{new}?type=toaster", "A terminal type that the document does not know is refused."),
    ("4002_missing", 4002, "/ws/{new}", "A connection without a terminal type is refused."),
):
    rule(f"errors.{_name}", CODES, _says)(partial(refused_with, _code, _path))


@rule("errors.seen_by_browsers", HANDLING, "A refusal is a close frame with its code: a browser sees no HTTP status.")
async def seen_by_browsers(scene: Scene) -> None:
    for code, path in ((4001, "/ws/?type=pos"), (4002, f"/ws/{scene.name('t')}?type=toaster")):
        way, number, _ = await connecting(scene, path, scene.subject.token)
        that((way, number) == ("close", code), f"close {code}", f"{way} {number}")


@rule("errors.4003_wrong_token", CODES, "A wrong token is refused.", needs=(Need.TOKEN,))
async def wrong_token(scene: Scene) -> str:
    seat = scene.subject.take("pos")
    path = scene.subject.path(seat.name, seat.kind, None)
    way, number, greeting = await connecting(scene, path, "not-" + str(seat.token))
    scene.subject.give_back(seat)
    fine = not greeting and (way, number) in (("close", 4003), ("HTTP", 401), ("HTTP", 403))
    that(fine, "close 4003, or HTTP 401 or 403", greeting or f"{way} {number}")
    return f"{way} {number}"


@rule("errors.4003_right_token", CODES, "The right token is let in.", needs=(Need.TOKEN,))
async def right_token(scene: Scene) -> None:
    await scene.terminal()


@rule("errors.4005", CODES, "A flood of pings is told off: close 4005, or an error that says so.", needs=(Need.LONG,))
async def flood(scene: Scene) -> str:
    terminal = await scene.terminal(fresh=True)
    one = frame(json.dumps({"type": "ping", "timestamp": "2026-01-15T10:00:00.000Z"}).encode())

    def told(message: Message) -> bool:
        text = json.dumps(message).lower()
        return is_error(message) and ("rate" in text or "4005" in text)

    for _ in range(FLOOD // 500):
        if terminal.code is None:
            await terminal.send_raw(one * 500, "500 pings at once")
    found = await terminal.wait(told, scene.patience)
    that(found or terminal.code == 4005, "4005", f"close code {terminal.code}")
    return f"close {terminal.code}" if terminal.code else "an error"


async def wrong(scene: Scene, terminal: Terminal, raw: bytes | dict[str, object], *codes: int) -> str:
    """A message that must be told off, by a close code or by an error. Raises Broken."""
    heard = len(terminal.heard)
    if isinstance(raw, bytes):
        await terminal.send_text(raw.decode())
    else:
        await terminal.send(raw)
    found = await terminal.wait(is_error, scene.patience, heard)
    fine = found is not None or terminal.code in codes
    that(fine, f"an error, or close {' or '.join(map(str, codes))}", f"nothing (close code {terminal.code})")
    return f"close {terminal.code}" if terminal.code is not None else str((found or {}).get("type"))


async def malformed(raw: bytes, scene: Scene) -> str:
    return await wrong(scene, await scene.terminal(), raw, 4006)


for _name, _raw, _says in (
    ("not_json", b"this is not json", "A text that is not JSON is told off."),
    ("cut_off", b'{"type": "ping"', "So is JSON that ends too early."),
    ("not_an_object", b"[1, 2]", "So is JSON that is not an object."),
    ("no_type", b'{"timestamp": "2026-01-15T10:00:00.000Z"}', "So is a message without a type."),
    ("unknown_type", b'{"type": "no_such_message"}', "So is a message of an unknown type."),
    ("no_operation", b'{"type": "data_sync"}', "So is a data_sync without an operation."),
    ("operation_is_text", b'{"type": "data_sync", "operation": "UPDATE"}', "So is one whose operation is a text."),
):
    rule(f"errors.4006_{_name}", CODES, _says)(partial(malformed, _raw))


async def bad_operation(change: Mapping[str, object], scene: Scene) -> str:
    """An operation with one thing wrong is told off, and reaches nobody."""
    author, watcher = await scene.terminals("pos", "kds")
    entity_id = scene.name("order")
    good = author.operation(scene.name("op"), "orders", entity_id, "CREATE", {"id": entity_id}, version=1)
    note = await wrong(scene, author, {"type": "data_sync", "operation": {**good, **change}}, 4006, 4007)
    await scene.settled("orders", await scene.terminal(), watcher)
    that(not watcher.delivered[good["id"]], "nothing to other terminals", "data_sync")
    return note


for _name, _change, _says in (
    ("4006_unknown_operation", {"operation": "EXPLODE"}, "An operation of an unknown kind is told off."),
    ("4006_data_is_text", {"data": "ready"}, "So is one whose data is a text."),
    ("4006_no_data", {"data": None}, "So is a CREATE without data."),
    (
        "4007_entity_type",
        {"entity_type": "spaceships"},
        "So is one about an entity type that the node does not know.",
    ),
):
    rule(f"errors.{_name}", CODES, _says)(partial(bad_operation, _change))


@rule("errors.4010", CODES, "Deciding a conflict that does not exist is told off.")
async def unknown_conflict(scene: Scene) -> str:
    terminal = await scene.terminal()
    message = {"type": "conflict_resolution", "conflict_id": scene.name("conflict"), "resolution": "accept_remote"}
    message |= {"resolved_data": {"amount": 1, "version": 2}, "terminal_id": terminal.name}  # type: ignore[dict-item]
    return await wrong(scene, terminal, dict(message), 4010)


@rule("errors.others_go_on", CODES, "A terminal that sends nonsense disturbs no other.", kind=Kind.READING)
async def others_go_on(scene: Scene) -> None:
    bad, author, watcher = await scene.terminals("waiter", "pos", "kds")
    for raw in ("this is not json", "[]", '{"type": 7}', '{"type": "data_sync", "operation": {"data": []}}'):
        await bad.send_text(raw)
        entity_id = await scene.created(author, "orders")
        await scene.shows(watcher, "orders", entity_id)
