"""What an import would do: each row against what the node shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from attrs import field

from crdt.classes import define, frozen
from node.errors import InvalidMessage
from node.lists import notation
from node.lists.cells import without_guard
from node.wire.codec import ID, ID_ALPHABET, LONGEST_ID, CodecLimits, decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from node.lists.columns import Column, Mapped
    from node.lists.reading import Row, Table

NOT_FIELDS = ("version", "deleted_at")
"""Members of `data` that are no fields of the entity."""


@frozen
class Entry:
    """One entity that is written. before: what the node shows of the fields of `data`; None where it is created."""

    line: int
    entity_id: str
    data: dict[str, Any]
    before: dict[str, Any] | None
    version: int = 0

    def report(self) -> dict[str, object]:
        return {"line": self.line, "entity_id": self.entity_id, "before": self.before, "after": self.data}


@frozen
class Refusal:
    """A row that is not taken. column, value: what is wrong with it; empty where it is the whole row."""

    line: int
    column: str
    value: Any
    reason: str

    def report(self) -> dict[str, object]:
        return {"line": self.line, "column": self.column, "value": self.value, "reason": self.reason}


@define
class Plan:
    """unchanged: rows that are at the node already. left: counters of entities there that differ, and are left."""

    created: list[Entry] = field(factory=list)
    changed: list[Entry] = field(factory=list)
    refused: list[Refusal] = field(factory=list)
    unchanged: int = 0
    left: int = 0


@frozen
class Shown:
    """What the node shows of one entity type. seq: the row of its log up to which it was read. epoch: of that log,
    where another one may take its place."""

    entities: Mapping[str, Mapping[str, Any]]
    counters: Collection[str]
    seq: int
    epoch: str | None = None


class _Wrong(Exception):
    """A row's refusals."""

    def __init__(self, *refusals: Refusal) -> None:
        super().__init__()
        self.refusals = refusals


class Planner:
    """counts: counters of entities that are there are written too, as counts. revive: deleted ones come back."""

    def __init__(
        self,
        entity_type: str,
        mapped: Mapped,
        shown: Shown,
        limits: CodecLimits,
        *,
        counts: bool = False,
        revive: bool = False,
    ) -> None:
        self._entity_type, self._mapped, self._shown, self._limits = entity_type, mapped, shown, limits
        self._counts, self._revive = counts, revive
        self._columns = mapped.fields
        self._plan = Plan()
        self._lines: dict[str, int] = {}

    def plan(self, table: Table) -> Plan:
        """All rows. The order is the file's."""
        for row in table.rows:
            try:
                self._take(row)
            except _Wrong as wrong:
                self._plan.refused += wrong.refusals
            except TypeError as error:  # an integer beyond 64 bits, where values are compared
                self._plan.refused.append(Refusal(row.line, "", None, str(error)))
        return self._plan

    def _take(self, row: Row) -> None:
        if row.problem is not None:
            raise _Wrong(Refusal(row.line, "", None, row.problem))
        entity_id = self._id(row)
        shown = self._shown.entities.get(entity_id)
        there = shown is not None and not shown["deleted"]
        if shown is not None and not there and not self._revive:
            reason = "excluído aqui; --revive traz de volta / deleted here; --revive brings it back"
            raise _Wrong(Refusal(row.line, self._mapped.key, entity_id, reason))
        before: Mapping[str, Any] = shown["data"] if shown is not None and there else {}
        data = self._data(row, before)
        version = int(shown["version"]) if shown is not None else 0
        if not there:
            self._check(row, entity_id, "CREATE", data)
            self._plan.created.append(Entry(row.line, entity_id, data, None, version))
            return
        changes = self._changes(data, before)
        if not changes:
            self._plan.unchanged += 1
            return
        self._check(row, entity_id, "UPDATE", changes)
        old = {name: before.get(name) for name in changes}
        self._plan.changed.append(Entry(row.line, entity_id, changes, old, version))

    def _id(self, row: Row) -> str:
        key, value = self._mapped.key, row.cells.get(self._mapped.key)
        whole = isinstance(value, float) and value.is_integer()
        text = str(int(value) if whole else value).strip() if value is not None else ""
        text = text if self._mapped.typed else without_guard(text)
        if not text:
            raise _Wrong(Refusal(row.line, key, value, "sem chave / there is no key"))
        if isinstance(value, bool | list | dict) or ID.match(text) is None:
            alphabet = f"1 a {LONGEST_ID} de / 1 to {LONGEST_ID} of {ID_ALPHABET}"
            raise _Wrong(Refusal(row.line, key, value, f"não serve de chave / is no key: {alphabet}"))
        earlier = self._lines.setdefault(text, row.line)
        if earlier != row.line:
            reason = f"a chave já está na linha / the key stands in line {earlier} already"
            raise _Wrong(Refusal(row.line, key, value, reason))
        return text

    def _data(self, row: Row, before: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a row. An empty cell of a spreadsheet says nothing of its field."""
        data: dict[str, Any] = {}
        refusals = []
        for column in self._mapped.columns:
            cell = row.cells.get(column.name)
            if cell is None and column.name not in row.cells:
                continue
            if isinstance(cell, str):
                if not cell.strip() and not self._mapped.typed:
                    continue
                try:
                    data[column.field] = self._value(column, cell, before.get(column.field))
                except ValueError as error:
                    refusals.append(Refusal(row.line, column.name, cell, str(error)))
            elif cell is not None or self._mapped.typed:
                shown = before.get(column.field)
                data[column.field] = shown if isinstance(shown, bool) and shown == cell else cell
        if refusals:
            raise _Wrong(*refusals)
        return data

    def _value(self, column: Column, cell: str, before: object) -> Any:
        """What a cell says; just what is shown, where the cell may be how that was written."""
        typed, written = self._mapped.typed, self._mapped.notation
        text = cell if typed else without_guard(cell)
        if before == text or notation.may_be(text.strip(), before, written):
            return before
        return text if typed and column.kind == notation.TEXT else notation.read(text.strip(), column.kind, written)

    def _changes(self, data: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        changes = {}
        for name, value in data.items():
            if name in before and notation.same(value, before[name]):
                continue
            if name not in self._shown.counters:
                changes[name] = value
            elif self._counts:
                changes[name] = {"$set": value}
            elif before.get(name) is None:
                changes[name] = value
            else:
                self._plan.left += 1
        return changes

    def _check(self, row: Row, entity_id: str, kind: str, data: dict[str, Any]) -> None:
        """What the node would refuse whatever it shows. Raises _Wrong."""
        for name in NOT_FIELDS:
            if name in data:
                reason = f"{name} não é campo / is no field of an entity"
                raise _Wrong(Refusal(row.line, self.column(name), data[name], reason))
        operation = {"id": "x", "entity_type": self._entity_type, "entity_id": entity_id, "operation": kind}
        try:
            message = orjson.dumps({"type": "data_sync", "operation": {**operation, "data": data}})
            decode(message, self._limits)
        except InvalidMessage as error:
            raise _Wrong(self.refused(row.line, data, error.where or "", error.reason)) from error

    def refused(self, line: int, data: Mapping[str, Any], where: str, reason: str) -> Refusal:
        """What the node says of a row, with the column that it means. where: a place in the message."""
        names = [name for name in data if where.startswith(f"$.operation.data.{name}")]
        name = max(names, key=len, default="")
        return Refusal(line, self.column(name), data.get(name), reason)

    def column(self, name: str) -> str:
        return self._columns.get(name, name)


def shown_of(pages: Iterable[Mapping[str, Any]], counters: Collection[str]) -> Shown:
    """What a node shows of a type. pages: answers of `GET /api/v1/entities/{type}`, the first one first."""
    entities: dict[str, Mapping[str, Any]] = {}
    seq = None
    for page in pages:
        seq = page["seq"] if seq is None else seq
        entities |= {entity["entity_id"]: entity for entity in page["entities"]}
    return Shown(entities, counters, seq or 0)
