"""Seeded mutations, for the everyday test and as a mutator of the long runs: of bytes, and of lines of JSON."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

STRANGE: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 255, 256, 1.5, -0.0, 1e308, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63),
    *(2**64 - 1, -(2**63), "", "a", "0", "1", "²", "٣", "-1", "1_0", " 1", "9" * 20, "9" * 5_000, "\x00", "é" * 200),
    *("AAAA", "AAA=", "?", "o-1", "orders", "products", "2026-01-15T10:30:00.000Z", "9999-12-31T23:59:59+00:00"),
    *([], {}, [[]], [0], {"": None}, {"a": {"b": [1]}}, ["orders", "o-1"], [5, 0, 1], {"$inc": 1}, {"5": 1}),
]
"""Values in whose place something else is meant."""


def deep(levels: int) -> object:
    value: object = []
    for _ in range(levels):
        value = [value]
    return value


def mutated(rng: random.Random, data: bytes, donors: Sequence[bytes]) -> bytes:
    """One to three changes of bytes."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(out) + 1)
        match rng.randrange(7):
            case 0 if out:
                out[place % len(out)] ^= 1 << rng.randrange(8)
            case 1 if out:
                out[place % len(out)] = rng.choice((0, 1, 2, 0x7F, 0x80, 0x81, 0x88, 0xFF, rng.randrange(256)))
            case 2:
                del out[place : place + rng.randint(1, 8)]
            case 3:
                out[place:place] = rng.randbytes(rng.randint(1, 4))
            case 4:
                piece = bytes(out[place : place + rng.randint(1, 40)])
                at = rng.randrange(len(out) + 1)
                out[at:at] = piece
            case 5 if donors:
                other = rng.choice(donors)
                at = rng.randrange(len(other) + 1)
                out[place : place + rng.randint(0, 20)] = other[at : at + rng.randint(1, 40)]
            case _:
                del out[place:]
    return bytes(out)


def mutated_lines(rng: random.Random, data: bytes, donors: Sequence[bytes]) -> bytes:
    """A first byte and lines of JSON: values, members, lines; now and then bytes."""
    if not data or rng.random() < 0.1:
        return mutated(rng, data, donors)
    first, lines = data[:1], data[1:].split(b"\n")
    match rng.randrange(12):
        case 0:
            first = bytes((rng.randrange(256),))
        case 1 if donors:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(rng.choice(donors)[1:].split(b"\n") or [b""]))
        case 2 if len(lines) > 1:
            del lines[rng.randrange(len(lines))]
        case 3:
            lines.append(rng.choice(lines))
        case _:
            place = rng.randrange(len(lines))
            lines[place] = _json(rng, lines[place])
    return first + b"\n".join(lines)


def mutated_steps(rng: random.Random, data: bytes, donors: Sequence[bytes]) -> bytes:
    """Lines of JSON: as `mutated_lines`, with no first byte."""
    return mutated_lines(rng, b"-" + data, [b"-" + donor for donor in donors])[1:]


WORDS = [
    *(
        b"GET",
        b"HEAD",
        b"POST",
        b"CONNECT",
        b"HTTP/1.0",
        b"HTTP/1.1",
        b"HTTP/2.0",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b":",
        b"\x00",
    ),
    *(
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
    ),
    *(b"Connection: close\r\n", b"Connection: keep-alive, Upgrade\r\n", b"Upgrade: websocket\r\n", b"Host: \xe7\r\n"),
    *(
        b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n",
        b"Sec-WebSocket-Protocol: ,\r\n",
    ),
    *(b"%00", b"%ff", b"%c2%b2", b"%d9%a3", b"%2f", b"?", b"&", b"=", b"://", b"a" * 300, b"&a" * 70, b"9" * 5_000),
    *(
        b"\x81\xff",
        b"\x88\x80",
        b"\x89\xfe\x00\x7e",
        b"\xc1\x85",
        b"\x00\x80",
        b"\x82\x81",
        b"\x83",
        b"Origin: null\r\n",
    ),
]


def mutated_heads(rng: random.Random, data: bytes, donors: Sequence[bytes]) -> bytes:
    """Words of HTTP and of frames put in or put in a place of others, or bytes changed."""
    if rng.random() < 0.4:
        return mutated(rng, data, donors)
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(WORDS) + data[place + rng.choice((0, 0, 0, 1, 2, 5, 20)) :]


def mutated_json(rng: random.Random, data: bytes, donors: Sequence[bytes]) -> bytes:
    """One JSON text: values and members; now and then bytes."""
    return mutated(rng, data, donors) if rng.random() < 0.2 else _json(rng, data)


def _json(rng: random.Random, line: bytes) -> bytes:
    try:
        value = json.loads(line)
        for _ in range(rng.randint(1, 3)):
            value = _changed(rng, value)
        return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode()
    except (ValueError, RecursionError):
        return mutated(rng, line, ())


def _changed(rng: random.Random, value: Any) -> Any:
    """Down a random path, and there something else."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        match rng.randrange(12):
            case 0:
                value.pop(name)
            case 1:
                value[str(rng.choice(STRANGE))[:200]] = value.pop(name)
            case 2:
                value[name] = deepcopy(value[rng.choice(list(value))])
            case _:
                value[name] = _changed(rng, value[name])
        return value
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        match rng.randrange(10):
            case 0:
                del value[place]
            case 1:
                value.insert(place, deepcopy(value[rng.randrange(len(value))]))
            case _:
                value[place] = _changed(rng, value[place])
        return value
    if isinstance(value, str) and value and rng.random() < 0.3:
        return mutated(rng, value.encode(errors="replace"), ()).decode(errors="replace")
    if type(value) is int and rng.random() < 0.4:
        return value + rng.choice((-1, 1, 2**16, -(2**31), 2**40))
    return deep(rng.choice((40, 300, 1_000))) if rng.random() < 0.05 else deepcopy(rng.choice(STRANGE))
