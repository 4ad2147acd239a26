"""Who a terminal is: no other can be it, and it cannot speak for another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.conformance.broken import Broken
from node.conformance.expect import that
from node.conformance.rule import Kind, rule
from node.conformance.scene import is_error
from node.conformance.wire import Refused

if TYPE_CHECKING:
    from node.conformance.scene import Scene

ALREADY = "Códigos de Erro: 4004 Terminal already connected"
DENIED = "Códigos de Erro: 4008 Permission denied"
PARAMETERS = "Conexão WebSocket: Endpoint de Conexão"


@rule(
    "identity.4004",
    ALREADY,
    "A terminal id is connected once: the second is refused, or takes the first one's place.",
)
async def connected_once(scene: Scene) -> str:
    first = await scene.terminal()
    seat = scene.subject.path(first.name, "pos", "user-1")
    token = next(seat.token for terminal, seat in scene.seats if terminal is first)
    try:
        second = await scene.subject.connect(seat, token)
    except Refused as refused:
        that(refused.status == 409, "close 4004, or HTTP 409", str(refused))
        return "the second is refused"
    greeted = False
    while not await scene.until(lambda: first.code == 4004, 0):
        text = await scene.within(second.receive)
        if text is None:
            await second.drop()
            that(second.code == 4004, "close 4004 of one of the two", second.code)
            return "the second is closed"
        greeted = greeted or "connection_established" in str(text)
        if greeted and await first.ended(scene.patience) != 4004:
            raise Broken("close 4004 of one of the two", "both stay connected")
    await second.drop()
    return "the first is closed"


@rule("identity.first_goes_on", ALREADY, "Whichever of the two stays is served.", kind=Kind.READING)
async def first_goes_on(scene: Scene) -> str:
    first = await scene.terminal()
    try:
        second = await scene.terminal(again=first)
    except (Broken, Refused):
        await scene.alive(first)
        return "the first"
    await scene.alive(second)
    return "the second"


@rule("identity.terminal_id", DENIED, "An operation that gives another terminal's id is refused or corrected.")
async def terminal_id(scene: Scene) -> str:
    author, victim, watcher = await scene.terminals("pos", "pos", "kds")
    entity_id = scene.name("order")
    operation = author.operation(scene.name("op"), "orders", entity_id, "CREATE", {"id": entity_id}, version=1)
    heard = len(author.heard)
    fate = await scene.submit(author, {**operation, "terminal_id": victim.name})
    if fate.stored:
        await scene.delivered(fate, watcher)
        synced = [message["operation"] for message in watcher.heard if message.get("type") == "data_sync"]
        names = {came["terminal_id"] for came in synced if came["id"] == operation["id"]}
        that(names == {author.name}, f"the terminal_id {author.name}", names)
        return "corrected"
    told = any(map(is_error, author.heard[heard:])) or author.code == 4008
    that(told, "a refusal, or the right terminal_id", f"nothing (close code {author.code})")
    return "refused"


@rule("identity.lock_in_another_name", DENIED, "A lock is not granted in another terminal's name.")
async def lock_in_another_name(scene: Scene) -> str:
    asking, victim, third = await scene.terminals("pos", "pos", "pos")
    entity_id = await scene.created(asking, "orders")
    message = {"type": "acquire_lock", "entity_type": "orders", "entity_id": entity_id, "timeout": 30_000}
    heard = len(asking.heard)
    await asking.send({**message, "terminal_id": victim.name, "lock_id": scene.name("lock")})
    await asking.wait(lambda came: is_error(came) or came.get("type") == "lock_acquired", scene.patience, heard)
    _, answer = await scene.lock(third, "orders", entity_id)
    that(answer.get("locked_by") != victim.name, f"not locked by {victim.name}", answer)
    return "refused" if answer["type"] == "lock_acquired" else f"granted to {answer.get('locked_by')}"


@rule("identity.case", PARAMETERS, "Two ids that differ in case are two terminals.", kind=Kind.READING)
async def case(scene: Scene) -> None:
    first = await scene.terminal(fresh=True)
    that(first.name.upper() != first.name, "an id with letters", first.name)
    path = scene.subject.path(first.name.upper(), "pos", None)
    token = next(seat.token for terminal, seat in scene.seats if terminal is first)
    if scene.subject.bound_tokens:
        return
    socket = await scene.subject.connect(path, token)
    text = await scene.within(socket.receive)
    that(text and "connection_established" in str(text), "connection_established", text or socket.code)
    await scene.alive(first)
    await socket.drop()
