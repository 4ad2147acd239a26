"""JSON bytes that are kept: orjson leaves each result in a 4 KB buffer, which a log's ring cannot afford."""

from __future__ import annotations

import orjson


def kept(value: object) -> bytes:
    """The JSON text of `value` in a buffer of its own length."""
    return bytes(memoryview(orjson.dumps(value)))
