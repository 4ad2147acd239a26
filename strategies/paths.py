"""The registers that are no plain field: their paths, and which fields a register may hold.

A plain field lives at (name,), an element of a keyed list at (field, key). A path here begins with "@", or is empty,
or is `deleted_at`, which an operation cannot write as a field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crdt.records import Path

WHOLE: Path = ()
"""The register of an entity type whose whole state is one value."""

DELETED_AT: Path = ("deleted_at",)
"""The register a DELETE writes.

Its value is {"at": ISO 8601 text, "saw": [names of operations], "by": terminal type}.
"""

COUNTED: Path = ("@counted",)
"""The register that every movement of a counter writes, so that a deletion that had not seen it is noticed."""

SETTLEMENT = "@settled"
"""First step of a record that takes back what one operation counted under a second writer."""

GROUP = "@group"
"""First step of a field group's path; the second step names its fields, joined by "+"."""


def group_path(names: Sequence[str]) -> Path:
    """The register that a group of fields shares."""
    return (GROUP, "+".join(names))


def group_names(path: Path) -> list[str]:
    """The fields of a group's register."""
    return path[1].split("+")


def is_movement(path: Path) -> bool:
    """Whether a register holds movements of counters. They count for good, even once another record replaced them."""
    return path[:1] == COUNTED or path[:1] == (SETTLEMENT,)


def is_element(path: Path) -> bool:
    """Whether a register holds an element of a keyed list."""
    return len(path) > 1 and path[0] != GROUP and path[0] != SETTLEMENT


def may_hold(path: Path, name: str) -> bool:
    """Whether a register may hold a top-level field, under whatever configuration it was written."""
    if path in (WHOLE, COUNTED) or path[0] in (name, SETTLEMENT):
        return True
    return path[0] == GROUP and name in group_names(path)
