"""What a page of a store's log is in rows of the reporting tables. No database and no clock."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from crdt import hlc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from node.sink.mapping import Mapping
    from storage.records import EntityRow, Key, LogRow

Row = dict[str, Any]

NUL = re.compile(r"((?<!\\)(?:\\\\)*)\\u0000")
"""The escape of a character that PostgreSQL keeps in no text."""

OF_ENTITIES = ("operation", "state")
"""Rows of the log after which an entity is another."""


@frozen
class Page:
    """Rows by table. lines, payments: all that these orders have."""

    operations: list[Row] = field(factory=list)
    entities: list[Row] = field(factory=list)
    orders: list[Row] = field(factory=list)
    lines: list[Row] = field(factory=list)
    payments: list[Row] = field(factory=list)


def touched(rows: Iterable[LogRow]) -> list[Key]:
    """The entities that these rows changed."""
    found: dict[Key, None] = {}
    for row in rows:
        if row.kind in OF_ENTITIES:
            ids = row.targets if row.entity_id is None else (row.entity_id,)
            found.update(((row.entity_type, one), None) for one in ids)
    return list(found)


def page_of(
    node_id: str,
    rows: Sequence[LogRow],
    entities: Iterable[EntityRow],
    mapping: Mapping,
    day_of: Callable[[str], date],
) -> Page:
    """node_id: whose log it is. day_of: the business day of a moment."""
    page = Page([_operation(node_id, row, day_of) for row in rows if _counts(row)])
    for entity in entities:
        page.entities.append(
            {
                "entity_type": text(entity.entity_type),
                "entity_id": text(entity.entity_id),
                "version": entity.version,
                "deleted": entity.deleted,
                "seq": entity.seq,
                "data": jsonb(entity.view),
            }
        )
        if entity.entity_type == mapping.orders.type:
            _order(page, entity, mapping)
    return page


def _counts(row: LogRow) -> bool:
    return row.kind == "operation" and row.link_key is not None


def _operation(node_id: str, row: LogRow, day_of: Callable[[str], date]) -> Row:
    accepted = hlc.iso(hlc.millis(row.accepted))
    said = json.loads(row.operation)
    return {
        "link_key": row.link_key,
        "seq": row.seq,
        "operation_id": text(row.operation_id),
        "origin": row.origin or node_id,
        "terminal_id": text(row.terminal_id),
        "user_id": None if row.user_id is None else text(row.user_id),
        "entity_type": text(row.entity_type),
        "entity_id": None if row.entity_id is None else text(row.entity_id),
        "kind": text(str(said.get("operation"))),
        "status": row.status,
        "accepted_at": accepted,
        "business_day": day_of(accepted),
        "operation": jsonb(row.operation),
        "changes": jsonb(row.changes) if row.changes else None,
    }


def _order(page: Page, entity: EntityRow, mapping: Mapping) -> None:
    data, columns = json.loads(entity.view, parse_float=Decimal), mapping.orders
    order_id = text(entity.entity_id)
    page.orders.append(
        {
            "order_id": order_id,
            "status": word(data.get(columns.status)),
            "total": number(data.get(columns.total)),
            "tip": number(data.get(columns.tip)),
            "people": number(data.get(columns.people)),
            "waiter": word(data.get(columns.waiter)),
            "deleted": entity.deleted,
            "seq": entity.seq,
        }
    )
    if entity.deleted:
        return
    lines, payments = mapping.order_lines, mapping.payments
    for position, line in enumerate(_elements(data.get(lines.list), lines.id)):
        page.lines.append(
            {
                "order_id": order_id,
                "line_id": word(line[lines.id]),
                "position": position,
                "sku": word(line.get(lines.sku)),
                "name": word(line.get(lines.name)),
                "quantity": number(line.get(lines.quantity)),
                "price": number(line.get(lines.price)),
            }
        )
    for payment in _elements(data.get(payments.list), payments.id):
        page.payments.append(
            {
                "order_id": order_id,
                "payment_id": word(payment[payments.id]),
                "method": word(payment.get(payments.method)),
                "amount": number(payment.get(payments.amount)),
                "drawer": word(payment.get(payments.drawer)),
            }
        )


def _elements(listed: Any, key: str) -> Iterable[dict[str, Any]]:
    """The elements of a list that have an id, the first of each: a list that is no keyed list may repeat one."""
    found: dict[str, dict[str, Any]] = {}
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and word(one.get(key)) is not None:
            found.setdefault(str(word(one[key])), one)
    return found.values()


def jsonb(of: bytes) -> str:
    """JSON as it was written, number for number, but for a character that PostgreSQL has no place for."""
    return NUL.sub(r"\1\\ufffd", of.decode())


def text(said: str) -> str:
    """The same for a text."""
    return said.replace("\x00", "\ufffd")


def word(value: Any) -> str | None:
    """A text or a number as a text; None for what is neither, which stays in the entity's `data`."""
    if isinstance(value, str):
        return text(value)
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def number(value: Any) -> Decimal | None:
    """Money is what was written, to the last digit: no float is made of it on the way."""
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None
