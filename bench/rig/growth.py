"""A store of any size, made at once: what a node wrote of a few orders, again and again under other names and times.

A template is a shift of real operations, written by a real node into its own data directory: of each nine operations
five are of an order, one is of the cashier and three are of a customer. Its rows and entities are then copied, each
copy under names and acceptance times of its own, with the signatures, the audit chain, the keys and the indexes that
the node itself would have written; each operation as if it was a commit alone. `comanda verify` and `comanda audit
verify` hold of the result.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from base64 import b64decode, b64encode
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from attrs import define, evolve, field

from bench.rig.load import ITEMS
from bench.rig.orders import Batch, batch
from crdt.hlc import pack
from node.runtime.identity import fingerprint
from node.runtime.keys import signatures
from storage.chain import GENESIS, chain_hash
from storage.records import CLASSES, CursorRow, EntityRow, LogRow, link_key
from storage.signer import Signer
from storage.sqlite.database import DATABASE
from storage.sqlite.head_note import NOTE_FILE
from storage.sqlite.meta import write_meta
from storage.sqlite.rows import CURSORS, ENTITIES, LOG, PROOFS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TERMINAL = "pos-1"
ORDERS = 20
"""Of the template, each with a payment and a customer."""

ROWS_AN_ORDER, ENTITIES_AN_ORDER = 9, 3
ROW_MS = 10_500
"""Between two rows: three million make a year."""

MARK = re.compile(rb"zq[0-9]{8}")
"""What names an order, its payment, its customer and their operations. Nothing else in a row looks like it."""


def mark(number: int) -> str:
    return f"zq{number:08d}"


def order_id(number: int) -> str:
    """The order of a grown store, numbered from 0."""
    return f"o-{mark(number)}"


def shift() -> Batch:
    """The operations of the template, all orders a step at a time."""
    steps: list[dict[str, Any]] = []
    for step in range(ROWS_AN_ORDER):
        steps += (_step(number, step) for number in range(ORDERS))
    return batch(TERMINAL, steps)


def _step(number: int, step: int) -> dict[str, Any]:
    name = mark(number)
    if step < 5:
        data: dict[str, Any] = {"status": ("pending", "preparing", "ready", "delivered", "paid")[step]}
        if step == 0:
            data |= {"table": number % 40, "items": ITEMS[: 1 + number % 3], "total": 61.7 + number, "people": 2}
        return _operation(name, step, "orders", f"o-{name}", step + 1, data)
    if step == 5:
        data = {"order": f"o-{name}", "amount": 61.7 + number, "method": "card", "drawer": "caixa-1"}
        return _operation(name, step, "cashier_operations", f"k-{name}", 1, data)
    data = {"points": 10 * (step - 5)}
    if step == 6:
        data |= {"name": f"Cliente {number}", "phone": f"+55 11 9{number:08d}", "active": True}
    return _operation(name, step, "customers", f"c-{name}", step - 5, data)


def _operation(
    name: str, step: int, entity_type: str, entity_id: str, version: int, data: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": f"{name}.{step}",
        "entity_type": entity_type,
        "entity_id": entity_id,
        "operation": "CREATE" if version == 1 else "UPDATE",
        "data": {"id": entity_id, **data, "version": version},
        "version": version,
        "timestamp": datetime.now(UTC).isoformat(),
        "terminal_id": TERMINAL,
        "user_id": "ana",
    }


@define
class Text:
    """Bytes of the template, cut at what changes from copy to copy.

    parts: in order; those at odd places are numbers of an order's mark, or stamps.
    base64: places of parts that are to be encoded.
    """

    parts: list[bytes]
    changes: list[tuple[int, bytes]]

    @classmethod
    def cut(cls, text: bytes, stamps: re.Pattern[bytes]) -> Text:
        parts = re.split(rb"(" + MARK.pattern + rb"|" + stamps.pattern + rb")", text)
        return cls(parts, [(place, parts[place]) for place in range(1, len(parts), 2)])

    def copy(self, named: dict[bytes, bytes]) -> bytes:
        for place, name in self.changes:
            self.parts[place] = named[name]
        return b"".join(self.parts)


class Updates:
    """`LogRow.updates` of the template: Yjs updates in base64, within JSON."""

    def __init__(self, text: bytes, stamps: re.Pattern[bytes]) -> None:
        self._entries = orjson.loads(text)
        self._ids = [Text.cut(entry[1].encode(), stamps) for entry in self._entries]
        self._updates = [Text.cut(b64decode(entry[2]), stamps) for entry in self._entries]

    def copy(self, named: dict[bytes, bytes]) -> list[Any]:
        for entry, name, update in zip(self._entries, self._ids, self._updates, strict=True):
            entry[1], entry[2] = name.copy(named).decode(), b64encode(update.copy(named)).decode()
        return self._entries  # type: ignore[no-any-return]


@define
class RowCopier:
    row: LogRow
    texts: dict[str, Text]
    updates: Updates

    @classmethod
    def of(cls, row: LogRow, stamps: re.Pattern[bytes]) -> RowCopier:
        texts = {name: Text.cut(getattr(row, name), stamps) for name in ("operation", "message", "changes")}
        texts |= {name: Text.cut(getattr(row, name).encode(), stamps) for name in ("entity_id", "operation_id")}
        return cls(row, texts, Updates(row.updates, stamps))

    def copy(self, seq: int, named: dict[bytes, bytes], stamp: Callable[[int], int]) -> LogRow:
        row, texts = self.row, self.texts
        entries = self.updates.copy(named)
        copied = evolve(
            row,
            seq=seq,
            entity_id=texts["entity_id"].copy(named).decode(),
            operation_id=texts["operation_id"].copy(named).decode(),
            operation=texts["operation"].copy(named),
            message=texts["message"].copy(named),
            changes=texts["changes"].copy(named),
            updates=orjson.dumps(entries),
            stamp=stamp(row.stamp),
            accepted=stamp(row.accepted),
            proof=b"",
        )
        copied.link_key = link_key(copied.name, entries)
        return copied


@define
class EntityCopier:
    row: EntityRow
    texts: dict[str, Text]

    @classmethod
    def of(cls, row: EntityRow, stamps: re.Pattern[bytes]) -> EntityCopier:
        texts = {name: Text.cut(getattr(row, name), stamps) for name in ("view", "snapshot", "seen")}
        return cls(row, texts | {"entity_id": Text.cut(row.entity_id.encode(), stamps)})

    def copy(self, before: int, named: dict[bytes, bytes]) -> EntityRow:
        """before: rows of the log before this copy. The rows that `seen` names stay those of the template: whoever
        came later counts as having seen its records, as is so of whatever is old."""
        texts = self.texts
        return evolve(
            self.row,
            entity_id=texts["entity_id"].copy(named).decode(),
            view=texts["view"].copy(named),
            snapshot=texts["snapshot"].copy(named),
            seen=texts["seen"].copy(named),
            seq=before + self.row.seq,
        )


@define(eq=False)
class GrownStore:
    """The database of a stopped node, which has written the template and nothing else.

    most: rows it will have at last, about now; earlier ones lie as far back as ROW_MS makes them.
    """

    directory: Path
    most: int
    rows: int = field(default=0, init=False)
    _log: list[RowCopier] = field(factory=list, init=False)
    _entities: list[EntityCopier] = field(factory=list, init=False)
    _stamps: list[int] = field(factory=list, init=False)
    _copies: int = field(default=0, init=False)
    _chain: bytes = field(default=GENESIS, init=False)
    _begun_ms: int = field(default=0, init=False)
    _signer: Signer = field(init=False)

    def __attrs_post_init__(self) -> None:
        with closing(self._open()) as database:
            log = [LOG.record(row) for row in database.execute("SELECT * FROM log ORDER BY seq")]
            entities = [ENTITIES.record(row) for row in database.execute("SELECT * FROM entities")]
            if len(log) != ORDERS * ROWS_AN_ORDER or len(entities) != ORDERS * ENTITIES_AN_ORDER:
                raise RuntimeError(f"a template of {len(log)} rows and {len(entities)} entities")
            self._stamps = sorted({stamp for row in log for stamp in (row.stamp, row.accepted)})
            stamps = re.compile(b"|".join(b"%d" % stamp for stamp in self._stamps))
            self._log = [RowCopier.of(row, stamps) for row in log]
            self._entities = [EntityCopier.of(row, stamps) for row in entities]
            database.execute("DELETE FROM log")
            database.execute("DELETE FROM entities")
            self._head(database, 0, GENESIS)
            database.commit()
        key = signatures(self.directory)
        self._signer = Signer(key.sign, key.seal)
        self._begun_ms = time.time_ns() // 1_000_000 - self.most * ROW_MS

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.directory / DATABASE)
        database.row_factory = sqlite3.Row
        return database

    @property
    def orders(self) -> int:
        return self._copies * ORDERS

    def grow(self, rows: int) -> None:
        """Until there are so many rows of copies, and up to a template more."""
        with closing(self._open()) as database:
            database.execute("PRAGMA synchronous = OFF")
            head, chain = self.rows, self._chain
            indexes = database.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'log' AND sql IS NOT NULL"
            ).fetchall()
            for name, _ in indexes:
                database.execute(f"DROP INDEX {name}")
            for part in self._copied(rows - head, head):
                for row in part[0]:
                    signed = self._signer.take([row], now=False)
                    row.hash = chain = chain_hash(chain, row)
                    LOG.put(database, [row])
                    PROOFS.put(database, signed.proofs)
                    self._signer.stored(signed)
                ENTITIES.put(database, part[1])
                head = part[0][-1].seq
            for _, sql in indexes:
                database.execute(sql)
            self._head(database, head, chain)
            database.commit()
        self.rows, self._chain = head, chain

    def _copied(self, rows: int, head: int) -> Iterator[tuple[Sequence[LogRow], Sequence[EntityRow]]]:
        for _ in range(0, rows, len(self._log)):
            times = self._times()
            named = {mark(n).encode(): mark(self.orders + n).encode() for n in range(ORDERS)}
            named |= {b"%d" % old: b"%d" % new for old, new in times.items()}
            log = [one.copy(head + place, named, times.__getitem__) for place, one in enumerate(self._log, 1)]
            yield log, [one.copy(head, named) for one in self._entities]
            head += len(log)
            self._copies += 1

    def _times(self) -> dict[int, int]:
        """The stamps of the next copy, in the order of the template's."""
        begun = self._begun_ms + self._copies * len(self._log) * ROW_MS
        apart = len(self._log) * ROW_MS // len(self._stamps)
        return {old: pack(begun + place * apart) for place, old in enumerate(self._stamps)}

    def away(self, terminal_id: str, missed: int) -> None:
        """A terminal that was here before the last `missed` rows."""
        positions = (max(self.rows - missed, 0),) * CLASSES
        with closing(self._open()) as database:
            CURSORS.put(database, [CursorRow(terminal_id, "kds", None, positions, 1, positions)])
            database.commit()

    def copy(self, directory: Path) -> None:
        """A data directory that its node takes for the one it had."""
        shutil.copytree(self.directory, directory)
        with closing(sqlite3.connect(directory / DATABASE)) as database:
            write_meta(database, {"fingerprint": fingerprint(directory / DATABASE)})
            database.commit()

    def _head(self, database: sqlite3.Connection, head: int, chain: bytes) -> None:
        write_meta(database, {"head": str(head), "chain": chain.hex()})
        (self.directory / NOTE_FILE).unlink(missing_ok=True)
