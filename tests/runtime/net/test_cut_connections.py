"""A connection that takes plain frames apart by itself is, to all around it, one that leaves them to wsproto."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import trio
from attrs import define, field
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.runtime.net.websocket import Connection, accept_upgrade
from node.wire.close_codes import INTERNAL_ERROR
from tests.runtime.net.test_plain_frames import MOST, WIRES, reads
from tests.runtime.rig import BINARY, CLOSE, PING, PONG, TEXT, deflated, frame, key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.runtime.net.reading import SocketReader, Source

HOLD, SHUT, BOOM = "hold", "shut", "boom"
"""Texts at which what stands behind the connection reads no further for a while, closes it, or fails."""

RSV1 = 4


@define(eq=False)
class Listening:
    """Hands a connection these reads, and notes what comes out of it."""

    pieces: Sequence[bytes]
    heard: list[tuple[str, object]] = field(factory=list)
    connection: Connection = field(init=False)
    wrong: bool = False
    """It was to be read when it was not, or the other way round. A connection logs what is raised, and ends."""

    def listen(self, connection: Connection, *, skims: bool) -> None:
        self.connection = connection
        connection.on_text = self._text
        connection.on_binary = lambda data: self.heard.append(("binary", data))
        connection.on_pong = lambda data: self.heard.append(("pong", bytes(data)))
        if skims:
            connection.skim(lambda: self)

    def _text(self, text: str) -> None:
        self.heard.append((type(text).__name__, text))
        if text == HOLD:
            self.connection.pause_reading()
        elif text == SHUT:
            self.connection.close(4001, "shut")
        elif text == BOOM:
            raise ValueError(text)

    def looks(self) -> None:
        """There is no clock to look at."""

    def feed(self, piece: bytes) -> None:
        """Of what is too big."""

    def end(self, length: int, limit: int) -> None:
        self.heard.append(("too big", (length, limit)))

    @contextmanager
    def watching(self, _: int, source: Source) -> Iterator[None]:
        """In place of the reader."""
        for piece in self.pieces:
            self._work(source)
            if not source.over:
                self.wrong |= not source.reading
                source.received(piece, 0.0)
        self._work(source)
        if not source.over:
            source.ended()
        yield

    def _work(self, source: Source) -> None:
        while source.unfinished and not source.over:
            self.wrong |= source.reading
            source.go_on()
        self.connection.resume_reading()


async def outcome(
    pieces: Sequence[bytes], *, first: bytes = b"", deflate: bool, skims: bool, cuts: bool
) -> tuple[list[tuple[str, object]], tuple[int, str], bytes]:
    """What was heard, how the connection ended, and what it wrote behind its handshake."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        listening = Listening(pieces)
        connection = accept_upgrade(
            trio.SocketStream(trio.socket.from_stdlib_socket(ours)),
            target="/",
            key=key(),
            extensions="permessage-deflate" if deflate else None,
            first=first,
            max_message_bytes=MOST,
            outbox_limit=1_000_000,
            peer="test",
            reader=cast("SocketReader", listening),
        )
        if not cuts:
            connection._cutter = None
        listening.listen(connection, skims=skims)
        await connection.handshake(None)
        theirs.recv(10_000)
        ending = await connection.run()
        assert not listening.wrong
        assert ending[0] != INTERNAL_ERROR or ("str", BOOM) in listening.heard
        return listening.heard, ending, b"".join(iter(lambda: theirs.recv(10_000), b""))


def squeezed(payload: bytes, fin: bool, behind: bytes) -> bytes:
    """A compressed message, whole or in two frames, and what stands between them."""
    body = deflated(payload)
    if fin:
        return frame(body, TEXT, rsv=RSV1) + behind
    return frame(body[:3], TEXT, rsv=RSV1, fin=False) + behind + frame(body[3:], 0)


SPECIAL = st.sampled_from([frame(HOLD), frame(SHUT), frame(BOOM), frame(b"\x03\xe8", CLOSE), frame(b"\x00", BINARY)])
SQUEEZED = st.builds(
    squeezed,
    st.text(max_size=30).map(str.encode) | st.integers(MOST - 2, 17 * MOST).map(lambda size: b"z" * size),
    st.booleans(),
    st.sampled_from([b"", frame(b"p", PING), frame(b"7", PONG), frame("t")]),
)
MANY = st.builds(lambda one, count: frame(one) * count, st.text(max_size=2), st.integers(100, 300))
"""More than a turn of them."""
STREAMS = st.lists(WIRES | SPECIAL | SQUEEZED | MANY, max_size=5).map(b"".join)


@settings(max_examples=40, deadline=None)
@given(
    wire=STREAMS,
    cuts=st.lists(st.integers(0, 1_500), max_size=6),
    behind=st.integers(0, 400) | st.just(0),
    deflate=st.booleans(),
    skims=st.booleans(),
)
@example(wire=frame(SHUT) + frame("late"), cuts=[], behind=0, deflate=False, skims=False)
@example(wire=frame("a", fin=False) + frame("b"), cuts=[], behind=0, deflate=False, skims=False)
@example(wire=frame("a", wide=2) + frame("b"), cuts=[], behind=0, deflate=True, skims=False)
@example(wire=frame(HOLD) + frame("b") * 300, cuts=[3], behind=4, deflate=False, skims=False)
async def test_nobody_can_tell_who_took_the_frames_apart(
    wire: bytes, cuts: list[int], behind: int, deflate: bool, skims: bool
) -> None:
    """behind: bytes that came together with the upgrade request."""
    first, pieces = wire[:behind], reads(wire[behind:], cuts)
    alone = [first, *pieces] if first else pieces
    expected = await outcome(alone, deflate=deflate, skims=skims, cuts=False)
    assert await outcome(pieces, first=first, deflate=deflate, skims=skims, cuts=True) == expected
