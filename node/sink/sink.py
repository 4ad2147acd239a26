"""What a sink into PostgreSQL does, over a connection that may be lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from attrs import define, field

from node.sink.cursor import Cursor, make_tables
from node.sink.follow import Follower, Refused

if TYPE_CHECKING:
    from storage.sqlite.reader import Reader

logger = logging.getLogger("comanda.sink")

NAME = "comanda sink"
"""What PostgreSQL calls its connection, where `to` names none."""

AGAIN_S = 1.0
"""How long it waits before it connects again."""


@define(eq=False, kw_only=True)
class Sink:
    """to: where PostgreSQL is. cursor: makes the one of a store. every_s: between two looks."""

    to: str
    follower: Follower
    cursor: Callable[[str], Cursor]
    every_s: float = 1.0
    _cursors: dict[str, Cursor] = field(factory=dict, init=False)

    def run(self, *, once: bool) -> None:
        """Until it is interrupted; once: until every log is read to its end.

        Raises Fenced, ConfigError; with `once` also what else keeps a store from being read.
        """
        while True:
            try:
                with psycopg.connect(self.to, autocommit=True, fallback_application_name=NAME) as connection:
                    make_tables(connection)
                    self.follower.watch.forget()  # this may be another database, or what it was yesterday
                    while self.follower.round(partial(self._page, connection), once=once) or not once:
                        time.sleep(0 if once else self.every_s)
                    return
            except psycopg.OperationalError as error:
                if once:
                    raise
                logger.warning("PostgreSQL is away: %(reason)s; trying again", {"reason": str(error).strip()})
                time.sleep(AGAIN_S)

    def _page(self, connection: psycopg.Connection[Any], site: str, reader: Reader) -> int:
        if site not in self._cursors:
            cursor = self.cursor(site)
            cursor.take(connection)
            self._cursors[site] = cursor
        try:
            return self._cursors[site].step(connection, reader)
        except psycopg.DataError as error:
            raise Refused(f"PostgreSQL: {error}") from error
