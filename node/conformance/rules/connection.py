"""Connecting: who is let in, what the greeting says, and coming back."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import trio

from node.conformance.expect import has, holds, seconds, that, word
from node.conformance.rule import Kind, rule
from node.conformance.terminal import TYPES, Terminal
from node.conformance.wire import Refused

if TYPE_CHECKING:
    from node.conformance.scene import Scene

HEADING = "Conexão WebSocket: Endpoint de Conexão"
GREETING = "Mensagens de Controle: Connection Established"
CLIENT = "Cliente JavaScript Completo"


async def type_accepted(kind: str, scene: Scene) -> None:
    await scene.terminal(kind)


for _kind in TYPES:
    rule(f"connection.type_{_kind}", HEADING, f"A terminal of type {_kind} is let in.")(partial(type_accepted, _kind))


@rule("connection.user_optional", HEADING, "A terminal may connect without a user_id.")
async def user_optional(scene: Scene) -> None:
    await scene.terminal(user=None)


@rule(
    "connection.parameters_any_order", HEADING, "The parameters may come in any order, with unknown ones among them."
)
async def parameters_any_order(scene: Scene) -> None:
    seat = scene.subject.take("pos")
    path = f"/ws/{quote(seat.name, safe='')}?x=1&user_id=user-1&type=pos&y="
    socket = await scene.subject.connect(path, seat.token)
    with trio.move_on_after(scene.patience):
        text = await socket.receive()
        that(text and "connection_established" in str(text), "connection_established", text or f"close {socket.code}")
        await socket.say_goodbye()
        await socket.receive()
    await socket.drop()
    scene.subject.give_back(seat)


@rule(
    "connection.greeting",
    GREETING,
    "The first message is connection_established, with the terminal's id, the server's time and a session id.",
)
async def greeting(scene: Scene) -> None:
    terminal = await scene.terminal()
    first = terminal.heard[0]
    has(first, "type", "terminal_id", "server_time", "session_id")
    holds(first, type="connection_established", terminal_id=terminal.name)
    word(first["session_id"], "session_id")
    seconds(first["server_time"], "server_time")


@rule(
    "connection.greeting_once",
    GREETING,
    "A connection is greeted once.",
)
async def greeting_once(scene: Scene) -> None:
    terminal = await scene.terminal()
    await scene.alive(terminal)
    count = sum(message.get("type") == "connection_established" for message in terminal.heard)
    that(count == 1, "one connection_established", count)


@rule("connection.server_time", GREETING, "server_time is the time of day, within two minutes of ours.")
async def server_time(scene: Scene) -> str:
    terminal = await scene.terminal()
    at = seconds(terminal.heard[0].get("server_time"), "server_time")
    that(abs(at - time.time()) < 120, "a time within two minutes of ours", terminal.heard[0])
    return f"{at - time.time():+.3f} s"


@rule("connection.sessions_differ", GREETING, "Two connections have two session ids.")
async def sessions_differ(scene: Scene) -> None:
    first, second = await scene.terminals("pos", "pos")
    ids = [terminal.heard[0].get("session_id") for terminal in (first, second)]
    that(ids[0] != ids[1], "two session ids", ids)


@rule("connection.session_new_after_reconnect", GREETING, "A terminal that comes back has a new session id.")
async def session_new_after_reconnect(scene: Scene) -> None:
    terminal = await scene.terminal()
    before = terminal.heard[0].get("session_id")
    await terminal.leave()
    after = (await scene.come_back(terminal)).heard[0].get("session_id")
    that(before != after, "another session id", after)


@rule("connection.closing", HEADING, "A close frame is answered with one, of the same code (RFC 6455).")
async def closing(scene: Scene) -> None:
    terminal = await scene.terminal()
    await terminal.socket.say_goodbye(1000)
    code = await terminal.ended(scene.patience)
    that(code == 1000, "close 1000", code)


@rule(
    "connection.back_after_close",
    "Métricas Esperadas: Reconexão",
    "A terminal that closed is let in again.",
)
async def back_after_close(scene: Scene) -> str:
    terminal = await scene.terminal()
    await terminal.leave()
    began = trio.current_time()
    await scene.come_back(terminal)
    return f"{trio.current_time() - began:.3f} s"


@rule(
    "connection.back_after_drop",
    "Métricas Esperadas: Reconexão",
    "A terminal whose connection broke without a close frame is let in again.",
)
async def back_after_drop(scene: Scene) -> str:
    terminal = await scene.terminal()
    await terminal.drop()
    began = trio.current_time()
    await scene.come_back(terminal)
    return f"{trio.current_time() - began:.3f} s"


@rule(
    "connection.early_messages",
    CLIENT,
    "Messages sent as soon as the socket opens, before the greeting, are taken: the client flushes its queue.",
)
async def early_messages(scene: Scene) -> None:
    watcher = await scene.terminal("kds")
    seat = scene.subject.take("pos")
    socket = await scene.subject.connect(scene.subject.path(seat.name, "pos", "user-1"), seat.token)
    early = Terminal(seat.name, "pos", "user-1", socket, scene.transcript.append)
    ids = [scene.name("order") for _ in range(5)]
    for entity_id in ids:
        data = {"id": entity_id, "status": "pending"}
        operation = early.operation(scene.name("op"), "orders", entity_id, "CREATE", data, version=1)
        await early.send({"type": "data_sync", "operation": {**operation, "requires_lock": False}})
    for entity_id in ids:
        await scene.shows(watcher, "orders", entity_id, status="pending")
    await early.drop()
    scene.subject.give_back(seat)


@rule("connection.other_path", HEADING, "Another path is no WebSocket.")
async def other_path(scene: Scene) -> str:
    try:
        socket = await scene.subject.connect("/elsewhere/pos-1?type=pos")
    except Refused as refused:
        return str(refused)
    with trio.move_on_after(scene.patience):
        text = await socket.receive()
        that(text is None, "a refusal", text)
    await socket.drop()
    return f"close {socket.code}"


@rule(
    "connection.many_at_once",
    "Visão Geral",
    "Eight terminals that connect at the same moment are all greeted.",
    kind=Kind.READING,
)
async def many_at_once(scene: Scene) -> None:
    greeted = []

    async def one() -> None:
        greeted.append(await scene.terminal("waiter"))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(one)
    that(len(greeted) == 8, "8 greetings", len(greeted))
