"""The reporting tables as files: one a table, store and business day, written whole and put in the place of the last.

    pages of the log --> the files of their days, read, changed, written --> the cursor, in `cursors/SITE.db`

A file is a function of the rows that were read, whatever is read twice: an operation has its key, an order its id. So
a kill before the cursor moves costs work and nothing else. One process writes into a folder at a time.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field
from filelock import Timeout

from node.errors import ConfigError
from node.sink.follow import Follower, Refused, begins, changed
from node.sink.mapping import Counted, Mapping
from node.sink.page import page_of
from node.sink.sheets import Sheet
from storage.system import lock_file

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from node.sink.page import Page
    from storage.sqlite.reader import Reader

Row = dict[str, Any]

TABLES: dict[str, dict[str, type]] = {
    "operations": {
        "site": str,
        "business_day": str,
        "link_key": int,
        "operation_id": str,
        "origin": str,
        "terminal_id": str,
        "user_id": str,
        "entity_type": str,
        "entity_id": str,
        "kind": str,
        "status": str,
        "accepted_at": str,
        "operation": str,
        "changes": str,
    },
    "orders": {
        "site": str,
        "business_day": str,
        "order_id": str,
        "opened_at": str,
        "status": str,
        "total": Decimal,
        "tip": Decimal,
        "people": Decimal,
        "waiter": str,
        "deleted": bool,
    },
    "order_lines": {
        "site": str,
        "business_day": str,
        "order_id": str,
        "line_id": str,
        "position": int,
        "sku": str,
        "name": str,
        "quantity": Decimal,
        "price": Decimal,
    },
    "payments": {
        "site": str,
        "business_day": str,
        "order_id": str,
        "payment_id": str,
        "method": str,
        "amount": Decimal,
        "drawer": str,
    },
}
"""Columns by table."""

SORTED = {
    "operations": ("accepted_at", "link_key"),
    "orders": ("order_id",),
    "order_lines": ("order_id",),
    "payments": ("order_id",),
}
"""By what the rows of a file are; lines and payments of an order stay in their order."""

UNDATED = "undated"
"""The day of an order that no operation is known of."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS cursor (
    one INTEGER PRIMARY KEY CHECK (one = 1), node TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    hash BLOB NOT NULL, counted TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS opened (order_id TEXT PRIMARY KEY, at TEXT NOT NULL, day TEXT NOT NULL) WITHOUT ROWID;
"""

PAGE = 5_000
"""Rows of the log at once, by default."""

MOVE = "UPDATE cursor SET node = ?, epoch = ?, seq = ?, hash = ?"


@define(eq=False, kw_only=True)
class Files:
    """folder: where. counted: how a store's days are. page: rows of the log at once: each costs its days' files."""

    folder: Path
    sheet: Sheet
    follower: Follower
    mapping: Mapping
    counted: Callable[[str], Counted]
    every_s: float = 60.0
    skip_archived: bool = False
    page: int = PAGE
    _cursors: dict[str, sqlite3.Connection] = field(factory=dict, init=False)

    def run(self, *, once: bool) -> None:
        """Until it is interrupted; once: until every log is read to its end. Raises ConfigError, OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = lock_file(self.folder / "lock")
        except Timeout:
            raise ConfigError(f"{self.folder}: another sink writes here") from None
        try:
            while self.follower.round(self._page, once=once) or not once:
                time.sleep(0 if once else self.every_s)
        finally:
            for cursor in self._cursors.values():
                cursor.close()
            lock.release()

    # ------------------------------------------------------------------ a page

    def _page(self, site: str, reader: Reader) -> int:
        counted = self.counted(site)
        cursor = self._cursor(site, f"{counted.zone} {counted.day_begins}")
        (stood,) = cursor.execute("SELECT node, epoch, seq, hash FROM cursor")
        after, _, node, epoch = begins(site, reader, stood, skip_archived=self.skip_archived)
        head, _ = reader.head()
        rows = list(reader.history(after, head, self.page))
        while rows and len(rows) < self.page and (more := reader.history(rows[-1].seq, head, self.page - len(rows))):
            rows += more
        if not rows:
            return 0
        page = page_of(node, rows, changed(rows, reader), self.mapping, counted.day_of)
        try:
            with cursor:  # one transaction: if the files are not written, the next try finds it as it was
                self._write(site, page, cursor)
                cursor.execute(MOVE, (node, epoch, rows[-1].seq, rows[-1].hash))
        except (OSError, ValueError, sqlite3.Error) as error:
            raise Refused(f"{self.folder}: {error}") from error
        return len(rows)

    def _cursor(self, site: str, counted: str) -> sqlite3.Connection:
        """Raises ConfigError where the store's days were counted otherwise."""
        if site not in self._cursors:
            folder = self.folder / "cursors"
            folder.mkdir(exist_ok=True)
            made = sqlite3.connect(folder / f"{site}.db")
            made.executescript(SCHEMA)
            with made:
                made.execute("INSERT OR IGNORE INTO cursor VALUES (1, '', '', 0, x'', ?)", (counted,))
            self._cursors[site] = made
        ((said,),) = self._cursors[site].execute("SELECT counted FROM cursor")
        if said != counted:
            raise ConfigError(f"the days of {site} are {said} in all that was written so far, and not {counted}")
        return self._cursors[site]

    def _write(self, site: str, page: Page, cursor: sqlite3.Connection) -> None:
        by_day: dict[str, list[Row]] = defaultdict(list)
        for row in page.operations:
            by_day[str(row["business_day"])].append(row)
        for day, rows in by_day.items():
            self._merge("operations", site, day, "link_key", {row["link_key"] for row in rows}, rows)
        before, after = self._days(page, cursor)
        for name, rows in (("orders", page.orders), ("order_lines", page.lines), ("payments", page.payments)):
            mine: dict[str, list[Row]] = defaultdict(list)
            for row in rows:
                opened_at, day = after[row["order_id"]]
                mine[day].append({**row, "opened_at": opened_at})
            gone: dict[str, set[object]] = defaultdict(set)
            for order_id, (_, day) in before.items():
                gone[day].add(order_id)
            for row in self._of_orders(page, before):  # also where one that was killed may have put it
                gone[str(row["business_day"])].add(row["entity_id"])
            for day, orders in gone.items():
                self._merge(name, site, day, "order_id", orders, mine[day])

    def _days(
        self, page: Page, cursor: sqlite3.Connection
    ) -> tuple[dict[str, tuple[str | None, str]], dict[str, tuple[str | None, str]]]:
        """When each order of a page was opened, and its day: before the page, and after it."""
        unknown = (None, UNDATED)
        before: dict[str, tuple[str | None, str]] = {}
        for order in page.orders:
            known = cursor.execute("SELECT at, day FROM opened WHERE order_id = ?", (order["order_id"],)).fetchone()
            before[order["order_id"]] = known or unknown
        after = dict(before)
        for row in self._of_orders(page, after):
            at, _ = after[row["entity_id"]]
            if at is None or row["accepted_at"] < at:
                after[row["entity_id"]] = row["accepted_at"], str(row["business_day"])
        moved = [(key, *after[key]) for key in after if after[key] != before[key]]
        cursor.executemany("INSERT OR REPLACE INTO opened VALUES (?, ?, ?)", moved)
        return before, after

    def _of_orders(self, page: Page, orders: Container[str]) -> Iterator[Row]:
        """The operations of a page on these orders."""
        kind = self.mapping.orders.type
        return (row for row in page.operations if row["entity_type"] == kind and row["entity_id"] in orders)

    def _merge(self, table: str, site: str, day: str, key: str, gone: Iterable[object], rows: list[Row]) -> None:
        """Rows in the place of those with these keys, in the file of a day."""
        columns, path = TABLES[table], self.folder / table / site / f"{day}{self.sheet.ends}"
        try:
            held = self.sheet.read(path)
        except FileNotFoundError:
            if not rows:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            held = []
        if held and held[0].keys() != columns.keys():
            raise ValueError(f"{path} has other columns; move it away and delete {self.folder / 'cursors' / site}.db")
        out = {self.sheet.encode({key: one})[key] for one in gone}
        kept = [row for row in held if row[key] not in out]
        of_day = {"site": site, "business_day": None if day == UNDATED else day}
        kept += [self.sheet.encode({name: {**row, **of_day}.get(name) for name in columns}) for row in rows]
        kept.sort(key=lambda row: [str(row[name]) for name in SORTED[table]])
        self.sheet.write(path, columns, kept)
