"""A store's cursor in PostgreSQL: where the sink is in its log, moved in the transaction of the rows that it passed.

    take: token + 1 --> step: lock the cursor, the token is still mine, the log is still that log
                              --> rows, cursor --> commit
                        another token --> Fenced: somebody took over, and this one writes nothing any more

So each operation is there once, wherever the sink, its machine or the database is killed: what was not committed is
read again from where the cursor stands.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

from attrs import define, field

from node.errors import ConfigError
from node.sink import tables
from node.sink.follow import begins, changed
from node.sink.mapping import Mapping
from node.sink.page import page_of

if TYPE_CHECKING:
    import psycopg

    from node.sink.page import Page
    from storage.sqlite.reader import Reader

PAGE = 500
"""Rows of the log in one transaction, by default."""


class Fenced(Exception):
    """Another sink has taken this store over; the text says since when."""


@define(eq=False, kw_only=True)
class Cursor:
    """One store's. skip_archived: go on where the log begins. page: rows of one transaction.

    zone, day_begins: of its business day, as `day_of` counts it; they stay what they were.
    """

    site: str
    mapping: Mapping
    day_of: Callable[[str], date]
    zone: str
    day_begins: str
    skip_archived: bool = False
    page: int = PAGE
    token: int = field(default=0, init=False)

    def take(self, connection: psycopg.Connection[Any]) -> None:
        """Take the store over. Raises ConfigError where its days were counted otherwise."""
        said = {"site": self.site, "zone": self.zone, "day_begins": self.day_begins}
        with connection.transaction():
            connection.execute(tables.SITE, said)
            found = _one(connection.execute(tables.READ_SITE, said).fetchone())
            if found != (self.zone, self.day_begins):
                raise ConfigError(
                    f"the days of {self.site} begin at {found[1]} in {found[0]}, in all that was written so far"
                )
            (self.token,) = _one(connection.execute(tables.TAKE, said).fetchone())

    def step(self, connection: psycopg.Connection[Any], reader: Reader) -> int:
        """One page of the store's log, one transaction. Returns how many rows the cursor has passed, 0 at the end.

        Raises Fenced, Archived, StorageError and psycopg.Error; nothing of the page is written then.
        """
        said: dict[str, Any] = {"site": self.site, "token": self.token}
        with connection.transaction():
            node, epoch, seq, known, token = _one(connection.execute(tables.READ, said).fetchone())
            if token != self.token:
                raise Fenced(f"{self.site}: another sink took over (token {self.token}, now {token})")
            stood = (node, epoch, seq, bytes(known))
            after, other, node, epoch = begins(self.site, reader, stood, skip_archived=self.skip_archived)
            said |= {"seq": seq, "node": node, "epoch": epoch}
            if other:
                connection.execute(tables.AGAIN, said)
            head, _ = reader.head()
            rows = reader.history(after, head, self.page)
            if not rows:
                return 0
            self._write(connection, page_of(node, rows, changed(rows, reader), self.mapping, self.day_of))
            moved = connection.execute(tables.MOVE, {**said, "upto": rows[-1].seq, "hash": rows[-1].hash})
            if moved.rowcount != 1:
                raise Fenced(f"{self.site}: the cursor moved meanwhile")
            return len(rows)

    def _write(self, connection: psycopg.Connection[Any], page: Page) -> None:
        orders = [row["order_id"] for row in page.orders]
        with connection.cursor() as cursor:
            for statement, rows in (
                (tables.OPERATION, page.operations),
                (tables.ENTITY, page.entities),
                (tables.ORDER, [{**row, "entity_type": self.mapping.orders.type} for row in page.orders]),
                (tables.DROP_LINES, [{"orders": orders}] if orders else []),
                (tables.DROP_PAYMENTS, [{"orders": orders}] if orders else []),
                (tables.LINE, page.lines),
                (tables.PAYMENT, page.payments),
            ):
                if rows:
                    cursor.executemany(statement, [{**row, "site": self.site} for row in rows])


def make_tables(connection: psycopg.Connection[Any]) -> None:
    """Those that are not there."""
    with connection.transaction():
        connection.execute(tables.SETTLE)
        connection.execute(tables.SCHEMA)


def _one(row: Any) -> Any:
    assert row is not None
    return row
