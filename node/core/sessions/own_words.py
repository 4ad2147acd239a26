"""The confirmation in a client's own words: it writes all of them alike, but for the operation's id."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define

if TYPE_CHECKING:
    from node.wire.messages import SyncConfirmation


@lru_cache(maxsize=1_024)
def _as_it_is(operation_id: str) -> bool:
    """Whether JSON writes an id as it is. All who were sent a row ask for its id."""
    return '"' not in operation_id and "\\" not in operation_id and operation_id.isprintable()


@define(eq=False)
class OwnWords:
    """What one client writes before and behind the id. Both are taken from a confirmation that was read as JSON; then
    one comparison tells whether a text is the one that confirms a certain row."""

    _before: str = field(default="", init=False)
    _behind: str = field(default="", init=False)

    def learn(self, text: str | bytes, message: SyncConfirmation) -> None:
        """text: of this message. Where the id stands in it once, and as it is, another id in its place makes the
        confirmation of another row, and nothing else. A time would differ each time, and is to be read."""
        if message.operation_id is None or message.seq is not None or message.timestamp is not None:
            return
        quoted = f'"{message.operation_id}"'
        if isinstance(text, str) and "\\" not in text and text.count(quoted) == 1:
            before, _, behind = text.partition(quoted)
            self._before, self._behind = before + '"', '"' + behind

    def confirms(self, text: str | bytes, operation_id: str) -> bool:
        """Whether this text confirms that row. operation_id: "" for none. An id that JSON does not write as it is
        makes no confirmation of what holds it so."""
        before = self._before
        if not before or text != f"{before}{operation_id}{self._behind}":
            return False
        return operation_id != "" and _as_it_is(operation_id)
