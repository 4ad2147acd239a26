"""What a refusal is about: the operation, conflict, lock or entity that the refused message names.

A terminal that keeps its queue on disk can only drop a refused message if the refusal names it. So whatever can still
be read of a message is said, also where the rest of it is wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.errors import WireError

LONGEST_NAME = 128
"""Characters of an id, and of an entity type's name."""

ABOUT = ("operation_id", "conflict_id", "lock_id", "entity_type", "entity_id")
"""The members of a `sync_error` that say what it is about."""

_OWN_ID = {
    "ping": None,
    "sync_confirmation": "operation_id",
    "acquire_lock": None,
    "release_lock": None,
}
"""Message type -> its member that names an operation. The others call it `id`."""


def names_in(message: Mapping[str, Any]) -> dict[str, str]:
    """The members of ABOUT that a message carries, whatever else is wrong with it.

    An operation's are looked for inside `operation`. A type that is not known is read by its shape.
    """
    kind, inner = message.get("type"), message.get("operation")
    known = isinstance(kind, str) and kind in _OWN_ID
    if not known and kind != "conflict_resolution" and isinstance(inner, dict):
        fields = {name: inner.get(name) for name in ("entity_type", "entity_id")}
        fields["operation_id"] = inner.get("id")
    else:
        fields = {name: message.get(name) for name in ABOUT[1:]}
        own = _OWN_ID.get(kind, "id") if isinstance(kind, str) else "id"
        fields["operation_id"] = message.get(own) if own else None
    return {name: str(value) for name, value in fields.items() if is_name(value)}


def is_name(value: object) -> bool:
    """Whether a value may be sent back as a name: a text of its length, without anything that a screen acts on."""
    return isinstance(value, str) and 1 <= len(value) <= LONGEST_NAME and value.isprintable()


_ITEM = re.compile(r"\$\.operation\.data\.updates\[(\d+)\]")
"""The place of one item of a BULK_UPDATE."""


def _item_at(message: Mapping[str, Any], where: str | None) -> object:
    """The entity that an item of a BULK_UPDATE names, where a place is in that item."""
    found = _ITEM.match(where or "")
    try:
        return message["operation"]["data"]["updates"][int(found[1])]["entity_id"] if found else None
    except (KeyError, IndexError, TypeError):
        return None


def say_which(error: WireError, message: Mapping[str, Any]) -> None:
    """Put into an error what the message is about, as far as it can be read."""
    item = _item_at(message, error.where)
    if error.entity_id is None and is_name(item):
        error.entity_id = str(item)
    for name, value in names_in(message).items():
        if getattr(error, name) is None:
            setattr(error, name, value)
