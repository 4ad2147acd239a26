"""What is taken apart without wsproto is what wsproto would have made of it, however the bytes are cut into reads."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.events import Pong as PongEvent

from node.runtime.net.plain_frames import Cutter, Pong
from tests.runtime.rig import BINARY, CLOSE, PING, PONG, TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 300
Heard = tuple[str, object]


class Other:
    """wsproto, and what it makes of bytes: whole messages, pings, pongs, and the code of its end."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.over = False
        self._wsproto = Connection(ConnectionType.SERVER)
        self._parts: list[str | bytes] = []

    def receive(self, data: bytes) -> None:
        if self.over:
            return
        self._wsproto.receive_data(data)
        for event in self._wsproto.events():
            if isinstance(event, TextMessage | BytesMessage):
                self._parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
                if event.message_finished:
                    self.heard.append(("message", self._parts[0][:0].join(self._parts)))  # type: ignore[arg-type]
                    self._parts.clear()
            elif isinstance(event, Ping | PongEvent):
                self.heard.append((type(event).__name__.lower(), bytes(event.payload)))
            elif isinstance(event, CloseConnection):
                self.heard.append(("over", int(event.code)))
                self.over = True
                assert self._wsproto.state is not ConnectionState.CLOSED
                return


def reads(wire: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    return [wire[start:end] for start, end in itertools.pairwise(edges) if start < end]


def heard_with_a_cutter(pieces: Sequence[bytes], *, first_alone: bool = True) -> list[Heard]:
    cutter, other = Cutter(MOST), Other()
    for data in pieces:
        only = cutter.only(data) if first_alone else None
        for piece in cutter.cut(data) if only is None else [only]:
            if other.over:
                break
            if isinstance(piece, str):
                other.heard.append(("message", piece))
            elif isinstance(piece, Pong):
                other.heard.append(("pong", bytes(piece)))
            else:
                other.receive(piece)
    return other.heard


def heard_by_wsproto(pieces: Sequence[bytes]) -> list[Heard]:
    other = Other()
    for data in pieces:
        other.receive(data)
    return other.heard


PAYLOADS = st.one_of(
    st.text(max_size=20).map(str.encode),
    st.integers(110, 140).map(lambda size: b"x" * size),
    st.integers(MOST - 2, MOST + 2).map(lambda size: b"y" * size),
    st.sampled_from([b"\xff", b"\xed\xa0\x80", "ã".encode()[:1], b"\x03\xe8", b""]),
)
PLAIN = st.builds(frame, PAYLOADS, st.sampled_from([TEXT, TEXT, TEXT, PONG]))
ANY = st.builds(
    frame,
    PAYLOADS,
    st.sampled_from([0, TEXT, BINARY, CLOSE, PING, PONG, 3, 0xB]),
    fin=st.booleans() | st.just(True),
    rsv=st.sampled_from([0, 0, 0, 2, 4]),
    mask=st.sampled_from([True, True, True, False]),
    wide=st.sampled_from([0, 0, 0, 2, 8]),
)
MESSAGES = st.builds(
    lambda first, between, last: frame(first, fin=False) + b"".join(between) + frame(last, 0),
    st.text(max_size=5),
    st.lists(st.builds(frame, st.just(b"b"), st.sampled_from([PING, PONG])), max_size=2),
    st.text(max_size=5),
)
WIRES = st.lists(PLAIN | MESSAGES | ANY, max_size=8).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(wire=WIRES, cuts=st.lists(st.integers(0, 600), max_size=6))
def test_it_is_what_wsproto_makes_of_it(wire: bytes, cuts: list[int]) -> None:
    pieces = reads(wire, cuts)
    assert heard_with_a_cutter(pieces) == heard_by_wsproto(pieces)
    assert heard_with_a_cutter(pieces, first_alone=False) == heard_by_wsproto(pieces)


@settings(max_examples=100, deadline=None)
@given(wire=WIRES)
def test_byte_by_byte_it_is_the_same(wire: bytes) -> None:
    pieces = reads(wire, range(len(wire)))
    assert heard_with_a_cutter(pieces) == heard_by_wsproto(pieces)


def test_what_is_plain_never_reaches_wsproto() -> None:
    wire = frame("açaí") + frame(b"7", PONG) + frame("x" * 200)
    assert Cutter(MOST).cut(wire) == ["açaí", Pong(b"7"), "x" * 200]
    assert Cutter(MOST).only(frame("açaí")) == "açaí"
    assert Cutter(MOST).only(frame(b"7", PONG)) == b"7"


def test_a_text_inside_a_fragmented_message_is_wsprotos_and_a_pong_is_not() -> None:
    cutter = Cutter(MOST)
    first, wrong = frame("a", fin=False), frame("b")
    assert cutter.cut(first) == [first]
    assert cutter.only(frame(b"7", PONG)) == b"7"
    assert cutter.only(wrong) is None
    assert cutter.cut(wrong) == [wrong]


def test_a_frame_that_came_in_part_is_wsprotos_whole() -> None:
    cutter, long = Cutter(MOST), frame("z" * 100)
    assert cutter.cut(long[:50]) == [long[:50]]
    behind = frame("next")
    assert cutter.cut(long[50:] + behind) == [long[50:], "next"]
    assert cutter.only(behind) == "next"


def test_nothing_waits_but_the_bytes_of_a_header() -> None:
    cutter, long = Cutter(MOST), frame("z" * 200)
    for end in range(1, 8):
        assert cutter.cut(long[end - 1 : end]) == []
    assert cutter.cut(long[7:20]) == [long[:20]]
