"""What an operation may remove without leaving something in its place. Links and `comanda verify` ask the same."""

from __future__ import annotations

from collections.abc import Collection

from crdt.classes import frozen
from crdt.records import Path
from strategies.paths import DELETED_AT, is_element


@frozen
class Removal:
    """An operation that removed records. kind: UPDATE and so on. wrote: the registers that it wrote.

    names: the fields that it says. decides: the register of the conflict that it resolves, if it does.
    repairs: whether a node repaired copies.
    """

    kind: str
    wrote: Collection[Path]
    names: Collection[str]
    decides: Path | None
    repairs: bool

    def may_remove(self, path: Path, *, afresh: bool) -> bool:
        """Whether it may leave nothing, or its own value, in place of what was at `path`.

        afresh: it removed a deletion.
        """
        if self.repairs:
            return False
        if path in self.wrote or path == self.decides or (afresh and self.kind == "CREATE"):
            return True
        if path == DELETED_AT:
            return self.kind == "CREATE" or self.decides is not None
        return is_element(path) and path[0] in self.names
