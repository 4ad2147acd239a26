"""JSON that orjson refuses, read a second time: half a surrogate pair, a number that no double holds, broken text.

`JSON.stringify` writes such halves (a text cut in the middle of an emoji, as `maxlength` cuts it), and a terminal
that sends one must not lose the order it is in. This is the rare branch: what orjson reads never comes here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from node.errors import InvalidMessage
from node.wire.heads import Head
from node.wire.numbers import READ_FINITE, Unfit
from node.wire.subject import say_which

REPLACED_NAMED = 10
"""Places that a confirmation names."""

_HALF = re.compile("[\ud800-\udfff]")
_PLACEHOLDER = "\ufffd"


def read_tolerantly(text: str | bytes, reason: str, depth: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The message, with U+FFFD for every half of a surrogate pair in a value; and where those were.

    reason: what orjson said. Raises InvalidMessage, which names what the message is about, for everything else.
    """
    said = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    try:
        message = json.loads(said.decode(), parse_constant=_constant, **READ_FINITE)
    except (ValueError, RecursionError):
        raise unread(said, f"not JSON: {reason}", depth) from None
    if type(message) is not dict:
        raise InvalidMessage(f"expected an object, not JSON of another kind: {reason}", "$")
    try:
        replaced = _mend(message, depth)
    except InvalidMessage as error:
        say_which(error, message)
        raise
    if not replaced:  # it reads, but not for orjson: nested more than a thousand levels deep
        raise unread(said, f"not JSON: {reason}", depth)
    return message, tuple(replaced[:REPLACED_NAMED])


def unread(said: bytes, reason: str, depth: int) -> InvalidMessage:
    """The refusal of what is no JSON, with what can be told of it."""
    head = Head(depth)
    head.feed(said)
    if head.deep_at is not None:
        return head.refusal(f"nested deeper than {depth}", head.deep_at)
    return head.refusal(reason)


def _constant(word: str) -> Unfit:
    return Unfit(word, "is no JSON")


def _mend(message: dict[str, Any], depth: int) -> list[str]:
    """Replace halves of surrogate pairs; their places. Raises InvalidMessage for what cannot be mended."""
    replaced: list[str] = []
    level: list[tuple[str, Any]] = [("$", message)]
    for _ in range(depth):
        below: list[tuple[str, Any]] = []
        for path, holder in level:
            children = holder.items() if isinstance(holder, dict) else enumerate(holder)
            for name, child in list(children):
                place = _place(path, name)
                if isinstance(name, str) and _HALF.search(name):
                    raise InvalidMessage("a name holds half a surrogate pair, which is no text", place)
                if isinstance(child, Unfit):
                    raise InvalidMessage(f"the number {child.shown()} {child.why}; send it as a string", place)
                if isinstance(child, str):
                    if _HALF.search(child):
                        holder[name] = _HALF.sub(_PLACEHOLDER, child)
                        replaced.append(place)
                elif isinstance(child, dict | list):
                    below.append((place, child))
        level = below
    if level:
        raise InvalidMessage(f"nested deeper than {depth}", level[0][0])
    return replaced


def _place(path: str, name: str | int) -> str:
    return f"{path}[{name}]" if isinstance(name, int) else f"{path}.{_HALF.sub(_PLACEHOLDER, name[:64])}"
