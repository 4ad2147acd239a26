"""A store's log with orders, lines and payments, and what the reporting tables should hold of it."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg
from attrs import evolve

from node.cli.exports.days import Days
from node.config.sections import Config, NodeSection
from node.core.start import note_realm
from node.sink.cursor import Cursor, make_tables
from node.sink.mapping import Mapping
from storage.sqlite.reader import Reader
from tests.harness import Client, World

if TYPE_CHECKING:
    from pathlib import Path

ZONE = "America/Sao_Paulo"
Connection = psycopg.Connection[Any]


class Store(World):
    """A world that is a store. Its till writes."""

    def __init__(self, directory: Path, site: str, **world: Any) -> None:
        config = world.pop("config", Config())
        super().__init__(directory, config=evolve(config, node=NodeSection(site=site)), **world)
        note_realm(self.store, self.store.boot(), self.config)
        self.site, self.till = site, Client(self, "pos-001").connect()

    def order(self, number: int) -> None:
        """A table orders, changes its mind, and pays."""
        key = f"mesa-{number}"
        items = [{"id": "1", "sku": "feijoada", "quantity": 2, "price": 39.9}, {"id": "2", "sku": "suco", "price": 8}]
        self.till.do(
            "orders", key, "CREATE", {"status": "open", "items": items, "note": f"nul \x00 \\u0000 {number}"}
        )
        self.till.do("orders", key, "UPDATE", {"items": [items[0], {**items[1], "quantity": 3}]})
        payments = [{"id": "p1", "method": "pix", "amount": 79.8}, {"id": "p2", "method": "cash", "amount": 24}]
        self.till.do("orders", key, "UPDATE", {"payments": payments, "status": "paid", "total": 103.8, "people": 2})
        self.till.do("products", "suco", "CREATE" if number == 0 else "UPDATE", {"name": "suco", "price": number})


def cursor(store: Store, zone: str = ZONE, **more: Any) -> Cursor:
    days = Days(ZoneInfo(zone), time(5))
    known = {"site": store.site, "mapping": Mapping(), "day_of": days.day_of}
    return Cursor(**{**known, "zone": zone, "day_begins": "05:00", **more})


def step(one: Cursor, connection: Connection, store: World) -> int:
    with closing(Reader(store.store.path)) as reader:
        return one.step(connection, reader)


def connected(to: str) -> Connection:
    connection: Connection = psycopg.connect(to, autocommit=True)
    return connection


def sink(store: Store, to: str, **more: Any) -> None:
    """Everything, with a sink that takes over."""
    with connected(to) as connection:
        make_tables(connection)
        one = cursor(store, **more)
        one.take(connection)
        while step(one, connection, store):
            pass


def rows(to: str, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with connected(to) as connection:
        return connection.execute(sql, parameters).fetchall()


def tables(to: str, site: str) -> dict[str, Any]:
    """What the tables hold of a store, but for when it came there and by which numbers."""
    names = (
        "operations (link_key, operation_id, entity_type, entity_id, kind, status, accepted_at, business_day)",
        "entities (entity_type, entity_id, version, deleted, data)",
        "orders (order_id, business_day, opened_at, status, total, tip, people, waiter, deleted)",
        "order_lines (order_id, line_id, position, sku, name, quantity, price)",
        "payments (order_id, payment_id, business_day, method, amount, drawer)",
        "days (business_day, operations)",
    )
    found = {}
    for said in names:
        name, _, columns = said.partition(" ")
        sql = f"SELECT {columns.strip('()')} FROM comanda.{name} WHERE site = %s ORDER BY 1, 2"
        found[name] = rows(to, sql, site)
    return found


def of_log(store: Store) -> dict[str, Any]:
    """The same of the log, told independently of the sink."""
    with closing(Reader(store.store.path)) as reader:
        log = reader.rows(None, 0, 10**9, 10**9)
    operations = {row.link_key: row for row in log if row.kind == "operation"}
    orders = store.view("orders")
    lines = {(key, one["id"]): one for key, data in orders.items() for one in data.get("items", ())}
    payments = {(key, one["id"]): one for key, data in orders.items() for one in data.get("payments", ())}
    return {"operations": operations, "orders": orders, "lines": lines, "payments": payments}


def agree(store: Store, to: str) -> None:
    """The tables are what the log says: each operation once, money to the last digit."""
    told, said = tables(to, store.site), of_log(store)
    assert [row[0] for row in told["operations"]] == sorted(said["operations"])
    assert {(row[0], row[1]) for row in told["order_lines"]} == set(said["lines"])
    assert {(row[0], row[1]): row[4] for row in told["payments"]} == {
        key: Decimal(json.dumps(one["amount"])) for key, one in said["payments"].items()
    }
    assert {row[0]: row[4] for row in told["orders"]} == {
        key: Decimal(json.dumps(data["total"])) if "total" in data else None for key, data in said["orders"].items()
    }
    assert sum(row[1] for row in told["days"]) == len(said["operations"])
