"""A message is compressed once, whoever it is sent to."""

from __future__ import annotations

import zlib

import pytest

from node.wire import frames
from node.wire.frames import DEFLATE_FROM, MOST_LATEST, Latest, Outgoing


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The window of each compression."""
    calls: list[int] = []
    deflated = frames.deflated_payload

    def counted(message: Outgoing, window_bits: int) -> bytes:
        calls.append(window_bits)
        return deflated(message, window_bits)

    monkeypatch.setattr(frames, "deflated_payload", counted)
    return calls


def _unmasked(frame: bytes) -> bytes:
    begins = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
    mask, payload = frame[begins : begins + 4], frame[begins + 4 :]
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


@pytest.mark.parametrize("size", [10, 200, DEFLATE_FROM, 70_000, 400_000])
@pytest.mark.parametrize("window_bits", [0, 9, 15])
def test_a_masked_frame_carries_what_the_plain_one_does(compressed: list[int], size: int, window_bits: int) -> None:
    payload = bytes(ord("a") + place % 23 for place in range(size))
    message = Outgoing(payload)
    masked = [_unmasked(message.masked(window_bits, lambda size: bytes(range(3, 3 + size)))) for _ in range(2)]
    assert masked[0] == masked[1]
    assert message.frame(window_bits).endswith(masked[0])
    if window_bits and size >= DEFLATE_FROM:
        assert compressed == [window_bits]
        assert zlib.decompressobj(-15).decompress(masked[0] + b"\x00\x00\xff\xff") == payload
    else:
        assert masked[0] == payload


def test_the_same_bytes_are_one_message_while_they_are_among_the_latest() -> None:
    latest = Latest()
    first = latest.outgoing(b"a" * DEFLATE_FROM)
    assert latest.outgoing(bytes(b"a" * DEFLATE_FROM)) is first
    for number in range(MOST_LATEST):
        latest.outgoing(b"%d" % number * DEFLATE_FROM)
    assert latest.outgoing(b"a" * DEFLATE_FROM) is not first
    small = b"a" * (DEFLATE_FROM - 1)
    assert latest.outgoing(small) is not latest.outgoing(small)
