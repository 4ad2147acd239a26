"""What RFC 6455 asks of any WebSocket, tried with frames that no library would send."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from node.conformance.expect import that
from node.conformance.rule import rule
from node.conformance.scene import is_error
from node.conformance.wire import BINARY, CONTINUATION, NO_CLOSE_FRAME, PING, frame

if TYPE_CHECKING:
    from node.conformance.scene import Scene

HEADING = "Conexão WebSocket (RFC 6455)"
TEXT = json.dumps({"type": "ping", "timestamp": "2026-01-15T10:00:00.000Z"}).encode()


async def ends_with(raw: bytes, said: str, codes: tuple[int, ...], scene: Scene) -> str:
    terminal = await scene.terminal()
    await terminal.send_raw(raw, said)
    code = await terminal.ended(scene.patience)
    that(code in (*codes, NO_CLOSE_FRAME), f"close {' or '.join(map(str, codes))}", code or "an open connection")
    return f"close {code}"


for _name, _raw, _said, _codes, _says in (
    ("unmasked", frame(TEXT, masked=False), "a frame without a mask", (1002,), "A frame without a mask ends it."),
    ("utf8", frame(b'{"type": "\xff"}'), "a text that is not UTF-8", (1007,), "A text that is not UTF-8 ends it."),
    ("opcode", frame(b"", 0xB), "opcode 11", (1002,), "A reserved opcode ends it."),
    ("rsv", frame(TEXT, rsv=2), "RSV2", (1002,), "A reserved bit that nobody agreed on ends it."),
    ("continuation", frame(TEXT, CONTINUATION), "a continuation", (1002,), "A continuation of nothing ends it."),
    ("long_ping", frame(b"x" * 126, PING), "a ping of 126 bytes", (1002,), "A control frame of 126 bytes ends it."),
):
    rule(f"frames.{_name}", HEADING, _says)(partial(ends_with, _raw, _said, _codes))


@rule("frames.ping", HEADING, "A WebSocket ping is answered by a pong with its bytes.")
async def ping(scene: Scene) -> None:
    terminal = await scene.terminal()
    await terminal.send_raw(frame(b"are you there", PING), "a WebSocket ping")
    await scene.alive(terminal)
    that(b"are you there" in terminal.socket.pongs, "its pong", terminal.socket.pongs)


@rule("frames.fragments", HEADING, "A message in fragments, with a ping between them, is one message.")
async def fragments(scene: Scene) -> None:
    terminal = await scene.terminal()
    raw = frame(TEXT[:9], fin=False) + frame(b"", PING) + frame(TEXT[9:20], CONTINUATION, fin=False)
    await terminal.send_raw(raw + frame(TEXT[20:], CONTINUATION), "a ping message in three fragments")
    found = await terminal.wait_for("pong", scene.patience)
    that(found, "pong", f"nothing (close code {terminal.code})")


@rule("frames.binary", HEADING, "A binary message is answered or refused; it ends no other connection.")
async def binary(scene: Scene) -> str:
    terminal, other = await scene.terminals("pos", "kds")
    heard = len(terminal.heard)
    await terminal.send_raw(frame(TEXT, BINARY), "a ping message as binary")
    found = await terminal.wait(lambda came: came.get("type") == "pong" or is_error(came), scene.patience, heard)
    that(found or terminal.code, "an answer, or an end", "nothing")
    that(terminal.code in (None, 1003, 1007, 1008, 4006), "an answer, close 1003 or 4006", terminal.code)
    await scene.alive(other)
    return f"close {terminal.code}" if terminal.code else str((found or {}).get("type"))
