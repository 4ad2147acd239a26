"""What a node's text is before the client acts on it. Pure.

A node may be broken, or somebody else's program. Whatever it sends ends no terminal, and a message is carried out
whole or not at all: so its shape is looked at first.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from node.client.values import Message, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEEPEST = 200
"""Arrays and objects in one another. A node takes 64 unless it is configured otherwise."""

DIGITS = 400
"""Of a whole number; the largest double has 309."""


def message_of(text: str) -> Message | None:
    """A node's message; None where the text is none: no object, too deep, or with what JSON has not."""
    try:
        message = json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
        if "\\ud" in text or "\\uD" in text:
            text_of(message)  # half a surrogate pair could not be said again
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or (text.count("[") + text.count("{") > DEEPEST and _too_deep(message)):
        return None
    return message


def well_formed(message: Message) -> bool:
    """Whether a message has what the client reads of one of its type. One of another type has."""
    kind = message.get("type")
    members = SHAPES.get(kind, {}) if isinstance(kind, str) else {}
    return all(fits(message.get(name)) for name, fits in members.items())


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond the doubles")
    return number


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError("a number with too many digits")
    return int(text)


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _within(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _within(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


# ---------------------------------------------------------------------- shapes


def _text(value: object) -> bool:
    return isinstance(value, str)


def _perhaps_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _perhaps_fields(value: object) -> bool:
    return value is None or isinstance(value, dict)


def _operation(value: object) -> bool:
    if not isinstance(value, dict) or not all(_text(value.get(name)) for name in ("id", "entity_type", "operation")):
        return False
    data = value.get("data")
    if value["operation"] != "BULK_UPDATE":
        return _text(value.get("entity_id")) and _perhaps_fields(data)
    updates = data.get("updates") if isinstance(data, dict) else None
    return isinstance(updates, list) and all(
        isinstance(item, dict) and _text(item.get("entity_id")) and isinstance(item.get("data"), dict)
        for item in updates
    )


def _shown(value: object) -> bool:
    return value is None or (isinstance(value, dict) and all(map(_perhaps_fields, value.values())))


def _conflict(value: object) -> bool:
    if not isinstance(value, dict) or not _text(value.get("id")):
        return False
    candidates = value.get("candidates", [])
    return isinstance(candidates, list) and all(isinstance(one, dict) for one in candidates)


SHAPES: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "data_sync": {"operation": _operation},
    "sync_confirmation": {"operation_id": _text, "status": _perhaps_text, "shown": _shown},
    "sync_error": {"operation_id": _perhaps_text, "lock_id": _perhaps_text},
    "sync_conflict": {"conflict": _conflict},
    "conflict_resolution": {"conflict_id": _text},
    "lock_acquired": {"lock_id": _perhaps_text},
    "lock_failed": {"lock_id": _perhaps_text},
    "lock_released": {"lock_id": _perhaps_text},
}
"""By type, what must be so of which members. Other members are taken as they are, and only handed on."""
