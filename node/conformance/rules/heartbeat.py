"""Ping and pong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from node.conformance.expect import given, has, seconds, that
from node.conformance.rule import Need, rule

if TYPE_CHECKING:
    from node.conformance.expect import Message
    from node.conformance.scene import Scene

HEADING = "Mensagens de Controle: Ping/Pong (Heartbeat)"


def _pong(message: Message) -> bool:
    return message.get("type") == "pong"


@rule("heartbeat.pong", HEADING, "A ping is answered by a pong that gives the server's time.")
async def pong(scene: Scene) -> None:
    terminal = await scene.terminal()
    await terminal.ping()
    answer = given(await terminal.wait(_pong, scene.patience), "pong")
    has(answer, "server_time")
    at = seconds(answer["server_time"], "server_time")
    that(abs(at - time.time()) < 120, "a time within two minutes of ours", answer)


@rule("heartbeat.every_ping", HEADING, "Every ping is answered once.")
async def every_ping(scene: Scene) -> None:
    terminal = await scene.terminal()
    for _ in range(20):
        await terminal.ping()
    await scene.until(lambda: sum(map(_pong, terminal.heard)) >= 20)
    await scene.alive(terminal)
    count = sum(map(_pong, terminal.heard))
    that(count == 21, "21 pongs to 21 pings", count)


@rule("heartbeat.time_goes_on", HEADING, "The server's time in later pongs is never earlier.")
async def time_goes_on(scene: Scene) -> None:
    terminal = await scene.terminal()
    for _ in range(5):
        await scene.alive(terminal)
    times = [seconds(message.get("server_time"), "server_time") for message in terminal.heard if _pong(message)]
    that(times == sorted(times), "growing times", times)


@rule("heartbeat.to_the_sender", HEADING, "Only who sent the ping gets the pong.")
async def to_the_sender(scene: Scene) -> None:
    sender, other = await scene.terminals("pos", "kds")
    await scene.alive(sender)
    await scene.settled("orders", sender, other)
    that(not any(map(_pong, other.heard)), "no pong to the other terminal", "a pong")


@rule(
    "heartbeat.half_a_minute",
    "Cliente JavaScript Completo: startHeartbeat",
    "A client that says nothing for 30 seconds, the interval of its pings, is still connected.",
    needs=(Need.LONG,),
)
async def half_a_minute(scene: Scene) -> None:
    terminal = await scene.terminal()
    await trio.sleep(30.5)
    that(terminal.code is None, "an open connection", f"close {terminal.code}")
    await scene.alive(terminal)
