"""A list as it is read, and what becomes of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from crdt.classes import frozen
from node.config.sections import LimitsSection
from node.lists import columns
from node.lists.columns import Misfit, Wanted
from node.lists.notation import STORE_ZONE
from node.lists.planning import Planner
from node.lists.reading import Table, Unreadable, read
from node.wire.codec import CodecLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.lists.columns import Mapped
    from node.lists.planning import Shown

    Asks = Callable[[Table, Mapping[str, Wanted], str | None], tuple[dict[str, Wanted], str]]
    """Gets a table, what is wanted of its columns and its key; returns the last two, complete."""


@frozen(kw_only=True)
class ListOptions:
    """How a file is read, as somebody said it.

    maps: as `columns.given` takes them. only_mapped: other columns are left out. skip, table: as `reading.read` takes
    them. counts, revive: as `Planner` does. decimal: "comma", "point", or None as it is recognised. called: the
    file's name, where it lies under another one.
    """

    file: Path
    entity_type: str = "products"
    key: str | None = None
    maps: tuple[str, ...] = ()
    only_mapped: bool = False
    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    skip: int = 0
    table: str | None = None
    zone: ZoneInfo = STORE_ZONE
    counts: bool = False
    revive: bool = False
    called: str | None = None

    @property
    def name(self) -> str:
        return self.called or self.file.name

    def found(self) -> Table:
        """The file's rows. Raises Unreadable, OSError, Misfit."""
        tab = "\t" if (self.delimiter or "").casefold() in ("tab", "\\t") else self.delimiter
        if tab is not None and len(tab) != 1:
            raise Misfit("--delimiter: um caractere / one character")
        return read(self.file, encoding=self.encoding, delimiter=tab, skip=self.skip, table=self.table)

    def read(self, asks: Asks | None = None) -> Listed:
        """The file, with what the options say of its columns. asks: what they leave open.

        Raises Unreadable, OSError, Misfit, and what `asks` raises.
        """
        found = self.found()
        wanted, key = columns.given(self.maps, found.columns), self.key
        if self.only_mapped:
            wanted |= {name: Wanted("") for name in found.columns if name not in wanted}
        elif not self.maps and asks is not None:
            wanted, key = asks(found, wanted, key)
        return Listed(self, found, wanted, key)


@frozen
class Listed:
    """wanted: by column. key: the column with each row's id; None where its name says it."""

    options: ListOptions
    found: Table
    wanted: Mapping[str, Wanted]
    key: str | None

    def mapped(self, shown: Shown) -> Mapped:
        """What its rows are where this is shown. Raises Misfit."""
        options = self.options
        separator = {"comma": ",", "point": ".", None: None}[options.decimal]
        numbers = shown.counters
        return columns.mapped(
            self.found, self.wanted, self.key, decimal=separator, numbers=numbers, zone=options.zone
        )

    def planner(self, mapped: Mapped, shown: Shown) -> Planner:
        limits = LimitsSection()
        of_message = CodecLimits(limits.json_depth, limits.bulk_items, limits.fields, bulk_fields=limits.bulk_fields)
        options = self.options
        return Planner(options.entity_type, mapped, shown, of_message, counts=options.counts, revive=options.revive)


__all__ = ["ListOptions", "Listed", "Misfit", "Unreadable"]
