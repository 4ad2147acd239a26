"""A store with a history of every kind, in whose database one value after another is replaced."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import orjson
from attrs import frozen

from node.config.sections import Config
from node.core.history.verify import Verification
from node.core.ports import Draws
from node.runtime.api.tokens import Tokens
from node.runtime.identity import take_up
from storage.audit import chain_walk
from storage.records import TokenRow
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.history_reader import HistoryReader
from storage.sqlite.store import Store
from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

HARMLESS = {("_sqlite_migrations", "id"), ("_sqlite_migrations", "applied_at")}
"""Columns that nobody reads, or whose value says nothing."""

OTHERS = 3
"""Values of other rows that are tried in a place."""


@frozen
class Cell:
    """One value of one row. row: its place among the table's rows. how: what is put there, in words."""

    table: str
    column: str
    row: int
    how: str
    value: object

    def __str__(self) -> str:
        return f"{self.table}.{self.column} of row {self.row}, {self.how}"


def hostile(value: object, others: list[object]) -> Iterator[tuple[str, object]]:
    """What may stand in the place of a value. others: what other rows hold there."""
    yield "NULL", None
    yield "a text", "damage"
    yield "an empty text", ""
    yield "a number", 7
    yield "a negative number", -1
    yield "a large number", 2**63 - 1
    yield "half a number", 2.5
    yield "bytes", b"\xff\xfe\x00damage"
    yield "no bytes", b""
    yield "text that is no UTF-8", BAD_TEXT
    if isinstance(value, str | bytes) and len(value) > 1:
        yield "half of it", value[: len(value) // 2]
        yield "it twice", value + value
        yield "other JSON", type(value)() + (b"[{}]" if isinstance(value, bytes) else "[{}]")  # type: ignore[operator]
    if isinstance(value, int):
        yield "one more", value + 1
    for other in others[:OTHERS]:
        yield f"{str(other)[:30]!r} of another row", other


BAD_TEXT = object()


class History:
    """The database of a node that has lived: a hub with a node below, archived rows, conflicts, leases, tokens."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        mesh = Mesh(directory, 2, [(1, 0, True)], config=Config())
        hub, node = mesh.worlds
        ana, bia, eva = (Client(hub, name).connect() for name in ("ana", "bia", "eva"))
        monitor = Client(hub, "watch", "monitor").connect()
        others = [bia, eva, monitor]
        ana.do("orders", "o-1", "CREATE", {"status": "open", "items": [{"id": "a", "quantity": 1}], "total": 10})
        ana.do("products", "p-1", "CREATE", {"name": "Chopp", "stock": 20})
        ana.do("products", "p-2", "CREATE", {"name": "Suco", "stock": 9})
        ana.do("customers", "c-1", "CREATE", {"name": "Rita", "points": 1})
        ana.do("cashier_operations", "k-1", "CREATE", {"amount": 50})
        settle_all(hub, [ana, *others])
        ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o-1", "timeout": 1_000})
        hub.settle()
        refused = eva.operation("orders", "o-1", "UPDATE", {"total": 11})
        eva.send({"type": "data_sync", "operation": refused})
        settle_all(hub, [ana, *others])
        hub.advance(1_500)
        bia.disconnect()
        ana.do("customers", "c-1", "UPDATE", {"name": "Rita Lima"})
        eva.do("customers", "c-1", "UPDATE", {"name": "Ritinha"}, version=1)
        updates = [{"entity_id": p, "data": {"stock": n}} for p, n in (("p-1", 18), ("p-2", 8))]
        ana.do("products", None, "BULK_UPDATE", {"updates": updates})
        mesh.settle()
        bia.connect()
        bia.do("customers", "c-1", "UPDATE", {"name": "R. Lima"}, version=1)
        mesh.settle()
        archive(hub, hub.store.head - 1, force=True)
        ana.do("products", "p-1", "UPDATE", {"stock": 15})
        ana.do("orders", "o-1", "UPDATE", {"total": 12})
        ana.do("orders", "o-2", "CREATE", {"status": "open", "total": 1})
        updates = [{"entity_id": p, "data": {"stock": n}} for p, n in (("p-1", 13), ("p-2", 7))]
        ana.do("products", None, "BULK_UPDATE", {"updates": updates})
        ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o-1", "timeout": 3_600_000})
        ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o-2", "timeout": 3_600_000})
        below = Client(node, "kds", "kds").connect()
        for n in range(2):
            below.do("orders", f"o-{3 + n}", "CREATE", {"n": n})
        mesh.wires[0].damage = spoil
        below.do("orders", "o-9", "CREATE", {"n": 1})
        below.do("orders", "o-8", "CREATE", {"n": 1})
        mesh.settle()
        mesh.wires[0].damage = None
        mesh.wires[0].cut()
        for total in (13, 14):  # signed after they are stored
            ana.do("orders", "o-1", "UPDATE", {"total": total})
        for name in ("ana", "bia"):
            hub.store.put_tokens([TokenRow(f"hash-{name}", name, "pos", "", "2026-01-01T00:00:00Z", None)])
        hub.store.put_tokens([TokenRow("hash-eva", "eva", "pos", "", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")])
        settle_all(hub, [ana, *others])
        hub.core.store_cursors(every=True)
        hub.settle()
        self.truth = {t: dict(ana.shown(t)) for t in ("orders", "products", "customers", "cashier_operations")}
        mesh.close()
        self.pristine = hub.directory
        with closing(sqlite3.connect(self.pristine / DATABASE)) as database:
            database.row_factory = sqlite3.Row
            names = [
                n for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            ]
            self.tables = {n: [dict(row) for row in database.execute(f"SELECT * FROM {n}")] for n in names}

    def empty_tables(self) -> list[str]:
        return [name for name, rows in self.tables.items() if not rows and not name.startswith("sqlite_")]

    def cells(self, rng: random.Random) -> list[Cell]:
        """Every table, column and kind of value, each in a row that is drawn."""
        found = []
        for table, rows in self.tables.items():
            for column in rows[0] if rows else ():
                values = [row[column] for row in rows]
                place = rng.randrange(len(rows))
                others = [value for value in dict.fromkeys(values) if value != values[place]]
                for how, value in hostile(values[place], rng.sample(others, len(others))):
                    found.append(Cell(table, column, place, how, value))
        return found

    # ------------------------------------------------------------------ one start

    def problem(self, directory: Path, cell: Cell | None) -> str | None:
        """What goes wrong where this value is replaced; None where all is as it should be."""
        shutil.copytree(self.pristine, directory)
        try:
            if cell is not None and not self._replace(directory / DATABASE, cell):
                return None
            named = cell is None or (cell.table, cell.column) in HARMLESS or verified(directory)
            with said() as log:
                return self._start(directory, log, named=named)
        except Exception as error:
            return f"{type(error).__name__}: {error} ({place_of(error)})"
        finally:
            shutil.rmtree(directory)

    def _replace(self, path: Path, cell: Cell) -> bool:
        """Whether the database took it, and it is another value."""
        key = list(self.tables[cell.table][0])
        old = self.tables[cell.table][cell.row]
        if cell.value == old[cell.column] and type(cell.value) is type(old[cell.column]):
            return False
        what = "CAST(x'ff20' AS TEXT)" if cell.value is BAD_TEXT else "?"
        where = " AND ".join(f"{column} IS ?" for column in key)
        bound = [] if cell.value is BAD_TEXT else [cell.value]
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            try:
                sql = f"UPDATE {cell.table} SET {cell.column} = {what} WHERE {where}"
                changed = database.execute(sql, [*bound, *(old[column] for column in key)]).rowcount
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error:
                return False  # NOT NULL, a key that is there already, a number where the key is one
        assert changed == 1
        return True

    def _start(self, directory: Path, log: list[str], *, named: bool) -> str | None:
        try:
            world = Started(directory)
        except StorageError as error:
            text = str(error)
            if "\n" in text or "restore" not in text or "row " not in text:
                return f"refused without naming row and remedy: {text}"
            return None
        try:
            return self._used(world, log) if named else "it starts, and `comanda verify` finds nothing"
        finally:
            world.close()

    def _used(self, world: Started, log: list[str]) -> str | None:
        """What is shown and what becomes of writes, compared with the truth."""
        until = Client(world, "new").connect(full=True)
        ana = Client(world, "ana").connect()
        settle_all(world, [until, ana])
        told = {message.get("entity_id") for message in until.of("sync_error")}
        named = " ".join([*log, str(world.core.trouble or "")])
        for entity_type, entities in self.truth.items():
            for entity_id, truth in entities.items():
                shown = until.shown(entity_type).get(entity_id)
                if shown != truth and not (shown is None and (entity_id in told or named)):
                    return f"{entity_type} {entity_id} is shown as {shown}, told {told}, named {named[:200]}"
                operation = ana.write(entity_type, entity_id, "UPDATE", {"note": "x"})
                settle_all(world, [until, ana])
                ana.answer(operation)
        if world.core.replica.faults.count:
            return f"{world.core.replica.faults.count} faults: {[line for line in log if 'failed' in line][:2]}"
        for read in (world.reader.audit, world.reader.tokens, world.reader.parked, world.reader.archives):
            try:
                list(read())
            except StorageError as error:
                if "row " not in str(error):
                    return f"{read.__name__} says {error}"
        with suppress(StorageError):
            archive(world)
        return None


class Started(World):
    """A world that starts as the node's process does."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, node_id="n0")
        self.tokens = Tokens(self.reader.tokens())

    def boot(self) -> None:
        store = Store.open(self.directory, None, self.new_epoch)
        try:
            take_up(store, store.boot(), Draws(self.new_epoch, lambda: next(self.writers)), self.wall_ms)
        finally:
            store.close()
        super().boot()


def verified(directory: Path) -> bool:
    """Whether `comanda verify` would name something."""
    try:
        with closing(HistoryReader(directory / DATABASE)) as history:
            return bool(
                next(iter(history.reader.damaged_rows()), None)
                or next(iter(chain_walk.verify(history.reader)), None)
                or next(iter(Verification(history, Config().registry()).run()), None)
            )
    except StorageError:
        return True


def spoil(frame: bytes) -> bytes:
    """A frame whose operations came damaged."""
    loaded = orjson.loads(frame)
    for message in loaded if isinstance(loaded, list) else [loaded]:
        if message.get("type") == "data_sync" and "updates" in message.get("link", {}):
            message["link"]["updates"] = [["orders", "o-9", "AAAA", {}, [1, 0, 1]]]
    return orjson.dumps(loaded)


@contextmanager
def said() -> Iterator[list[str]]:
    """What the node logs as a warning or worse."""
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Handler(logging.WARNING)
    logging.getLogger("comanda").addHandler(handler)
    try:
        yield found
    finally:
        logging.getLogger("comanda").removeHandler(handler)


def place_of(error: BaseException) -> str:
    trace: Any = error.__traceback__
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places[-4:])
