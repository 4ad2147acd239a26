"""What a read costs: every statement finds its rows by an index, and a page costs the same wherever it begins."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from storage.records import Commit, key64
from storage.sqlite.archived_reader import ArchivedReader
from storage.sqlite.history_reader import HistoryReader
from storage.sqlite.reader import Reader
from tests.storage.archives import archive
from tests.storage.rows import conflict, cursor, entity, open_store, row, steps

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from storage.sqlite.store import Store

    Read = Callable[[HistoryReader], object]

ENTITIES = 3_000
TYPES = ("cashier_operations", "customers", "orders", "products")
PAGE = 100

SMALL = {
    "archives",
    "cursors",
    "followers",
    "heads",
    "meta",
    "owed",
    "parked",
    "refused",
    "tokens",
    "locks",
    "peers",
    "wanted",
}
"""Tables that may be read whole: what they hold does not grow with the years, or is the question itself."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Three thousand entities with two rows each, one in seven from a BULK_UPDATE; the first third is archived."""
    directory = tmp_path_factory.mktemp("year")
    store = open_store(directory / "node")
    seq = 0
    for first in range(0, ENTITIES, 200):
        group = Commit(cursors=[cursor("ana"), cursor("bia")])
        for number in range(first, first + 200):
            entity_type, name = TYPES[number % 4], f"e-{number:05}"
            for _ in range(2):
                seq += 1
                bulk = seq % 7 == 0
                group.rows.append(
                    row(
                        seq,
                        kind="refused" if seq % 50 == 0 else "notice" if seq % 51 == 0 else "operation",
                        priority=number % 4,
                        entity_type=entity_type,
                        entity_id=None if bulk else name,
                        targets=(name,) if bulk else ("bia",) if seq % 51 == 0 else (),
                        link_key=key64(f"link-{seq}"),
                        terminal_id=f"t-{number % 20}",
                    )
                )
            group.entities.append(entity(name, entity_type, seq=seq, deleted=number % 10 == 0))
            raised = conflict(f"c-{number}", "open" if number % 3 else "closed", seq)
            group.conflicts.append(evolve(raised, entity_type=entity_type, entity_id=name))
        store.commit(group)
    archive(store, directory / "first.archive", seq // 3, batch=200)
    yield store
    store.close()


def statistics(connection: sqlite3.Connection) -> None:
    """What ANALYZE would find after a year: three million rows, a million entities."""
    connection.execute("ANALYZE")
    for table, index, stat in connection.execute("SELECT tbl, idx, stat FROM sqlite_stat1").fetchall():
        first, *rest = stat.split(" ")
        grown = " ".join([str(int(first) * 500), *(n if n == "1" else str(int(n) * 500) for n in rest)])
        where = "tbl = ? AND idx IS ?"
        connection.execute(f"UPDATE sqlite_stat1 SET stat = ? WHERE {where}", (grown, table, index))
    connection.commit()


NAMES = [("orders", f"e-{number:05}") for number in range(2, 200, 4)]

READS: dict[str, Read] = {
    "entity": lambda h: (h.reader.entity("orders", "e-00002"), h.reader.stored_entity("orders", "e-00002")),
    "fetch": lambda h: h.reader.fetch(NAMES, ["op-7", "op-5000"], ["c-1"], NAMES, [(NAMES[0], "t-1", 3000)]),
    "entities": lambda h: h.reader.entities("orders", "e-01000", PAGE),
    "entities, dead too": lambda h: h.reader.entities("orders", "e-01000", PAGE, deleted=True),
    "state": lambda h: h.reader.state(TYPES, ("orders", "e-01000"), PAGE, 3000, "t-1"),
    "rows": lambda h: h.reader.rows(None, 3000, 6000, PAGE),
    "rows of a class": lambda h: h.reader.rows(2, 3000, 6000, PAGE),
    "about": lambda h: h.reader.about("t-2", 5000, PAGE),
    "history": lambda h: h.reader.history(3000, 6000, PAGE),
    "reached": lambda h: h.reader.reached(2, 3000, 6000, PAGE),
    "row hash": lambda h: (h.reader.row_hash(3000), h.reader.row_hash(1), h.reader.row_hash(2000)),
    "linked": lambda h: h.reader.linked([key64(f"link-{n}") for n in range(3000, 3100)]),
    "places": lambda h: h.reader.places([key64(f"link-{n}") for n in range(3000, 3100)]),
    "audit": lambda h: h.reader.audit(after=3000, limit=PAGE),
    "audit of an entity": lambda h: h.reader.audit("orders", "e-02002", limit=PAGE),
    "audit of an id": lambda h: h.reader.audit(entity_id="e-02002", limit=PAGE),
    "audit of a terminal": lambda h: h.reader.audit(terminal_id="t-2", limit=PAGE),
    "audit of a type": lambda h: h.reader.audit("orders", limit=PAGE),
    "audit since": lambda h: h.reader.audit(since=7000, limit=PAGE),
    "audit until": lambda h: h.reader.audit(until=5000, limit=PAGE),
    "audit between": lambda h: h.reader.audit(since=6000, until=7000, limit=PAGE),
    "audit of the refused": lambda h: h.reader.audit(kinds=("refused",), limit=PAGE),
    "audit of a terminal's refused": lambda h: h.reader.audit(kinds=("refused",), terminal_id="t-2", limit=PAGE),
    "conflicts": lambda h: h.reader.conflicts(None, 3000, PAGE),
    "decided conflicts": lambda h: h.reader.decided(5000, PAGE),
    "conflicts of an entity": lambda h: h.reader.conflicts_of(("orders", "e-02002"), PAGE),
    "earlier": lambda h: h.reader.earlier(("orders", "e-02002"), 5000, PAGE),
    "row by number": lambda h: h.reader.row(5000),
    "unsent": lambda h: (h.reader.unsent("orders", None, 5_900), h.reader.unsent("orders", "e-02002", 5_900)),
    "written since": lambda h: h.reader.written_since(5_900, 10_000),
    "open conflicts": lambda h: h.reader.conflicts("open", 3000, PAGE),
    "stored rows": lambda h: list(h.reader.stored_rows(5000, 5500)),
    "before": lambda h: h.reader.before(6000, 2000),
    "head": lambda h: (h.reader.head(), h.reader.cuts(), h.reader.dropped(), h.reader.anchor()),
    "heads": lambda h: h.reader.heads("node-b"),
    "base": lambda h: h.reader.archived.base("orders", "e-00002"),
    "wholes": lambda h: h.reader.archived.wholes(TYPES, ("orders", "e-01000"), PAGE),
    "lacking": lambda h: h.reader.archived.lacking("orders", "e-00500", {key64("link-1001")}),
    "compacted": lambda h: [h.reader.archived.compacted(p, TYPES[p : p + 1], 500, PAGE, "bia") for p in range(4)],
    "compacted for a node": lambda h: h.reader.archived.compacted(2, ("orders",), 500, PAGE, None),
    "history of an entity": lambda h: list(h.entity_rows(("orders", "e-02002"))),
    "base of an entity": lambda h: h.entity_base(("orders", "e-00002")),
    "a row": lambda h: h.row(5000),
    "open conflicts, all": lambda h: list(h.open_conflicts()),
}
"""Every read that happens more than once in a node's life, in the middle of what there is."""


def statements(connection: sqlite3.Connection, read: Callable[[], object]) -> list[str]:
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    read()
    connection.set_trace_callback(None)
    return [sql for sql in dict.fromkeys(asked) if sql.lstrip().startswith(("SELECT", "WITH"))]


def costly(plan: list[str]) -> list[str]:
    """The steps of a plan that cost what the table holds, or what was found before it was cut to a page."""
    found = []
    for step in plan:
        scanned = re.match(r"SCAN (\S+)(?!.*VIRTUAL)", step)
        if scanned and scanned.group(1) not in SMALL and "CONSTANT ROW" not in step and "SUBQUERY" not in step:
            found.append(step)
        if "TEMP B-TREE" in step or "AUTOMATIC" in step:
            found.append(step)
    return found


@pytest.mark.parametrize("analysed", [False, True], ids=["without statistics", "with statistics of a year"])
def test_every_statement_finds_its_rows_by_an_index(filled: Store, analysed: bool) -> None:
    if analysed:
        statistics(filled.connection)
    with closing(HistoryReader(filled.path)) as history:
        connection = history.reader.queries.connection
        wrong = [
            f"{name}: {step}  <=  {sql[:200]}"
            for name, read in READS.items()
            for sql in statements(connection, lambda read=read: read(history))  # type: ignore[misc]
            for step in costly([step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}")])
        ]
    assert wrong == []


def test_a_start_reads_the_keys_of_the_log_from_indexes(filled: Store) -> None:
    """Looking up a row for each took half of a start."""
    connection = filled.connection
    asked = [sql for sql in statements(connection, filled.boot) if "FROM log" in sql and "_key" in sql]
    steps = [step[3] for sql in asked for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert len(steps) == 2
    assert all("COVERING INDEX" in step for step in steps), steps


WHOLE = {"check_structure", "chained_rows", "damaged_rows", "entity_keys", "entity_count"}
"""What `verify` reads: everything."""

FEW = {"close", "moment", "tokens", "archives", "followers", "parked", "config", "policies"}
"""What reads nothing that grows with the years."""


def test_every_read_is_among_those_above(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one is held to its plan from the day it is written."""
    asked: set[str] = set()
    public: set[str] = set()
    for reader in (Reader, HistoryReader, ArchivedReader):
        for name, method in vars(reader).items():
            if name.startswith("_") or name in WHOLE | FEW or not callable(method):
                continue
            public.add(f"{reader.__name__}.{name}")
            monkeypatch.setattr(reader, name, _noted(asked, f"{reader.__name__}.{name}", method))
    with closing(HistoryReader(filled.path)) as history:
        for read in READS.values():
            read(history)
    assert sorted(public - asked) == []


def _noted(asked: set[str], name: str, method: Callable[..., object]) -> Callable[..., object]:
    def call(*arguments: object, **named: object) -> object:
        asked.add(name)
        return method(*arguments, **named)

    return call


FOUND_NOTHING: dict[str, Read] = {
    "audit of a terminal": lambda h: h.reader.audit(terminal_id="nobody"),
    "audit of an entity": lambda h: h.reader.audit("orders", "nothing"),
    "audit of an id": lambda h: h.reader.audit(entity_id="nothing"),
    "audit of the refused": lambda h: h.reader.audit(kinds=("refused",), after=5_990),
    "history of an entity": lambda h: list(h.entity_rows(("orders", "nothing"))),
}


@pytest.mark.parametrize("name", FOUND_NOTHING)
def test_what_is_not_there_is_not_looked_for_row_by_row(filled: Store, name: str) -> None:
    with closing(HistoryReader(filled.path)) as history:
        assert steps(history.reader.queries.connection, lambda: FOUND_NOTHING[name](history)) <= 5


def last_of(page: list[object], *names: str) -> object:
    values = tuple(getattr(page[-1], name) for name in names)
    return values[0] if len(values) == 1 else values


PAGED: dict[str, tuple[object, Callable[[Reader, object], list[object]], tuple[str, ...]]] = {
    "state": (None, lambda r, a: list(r.state(TYPES, a, PAGE, 9_999, "t-1")), ("entity_type", "entity_id")),  # type: ignore[arg-type]
    "entities": (None, lambda r, a: list(r.entities("orders", a, PAGE)), ("entity_id",)),  # type: ignore[arg-type]
    "rows": (0, lambda r, a: list(r.rows(None, a, 9_999, PAGE)), ("seq",)),  # type: ignore[arg-type]
    "history": (2_000, lambda r, a: list(r.history(a, 9_999, PAGE)), ("seq",)),  # type: ignore[arg-type]
    "audit": (0, lambda r, a: list(r.audit(after=a, limit=PAGE)), ("seq",)),  # type: ignore[arg-type]
    "audit of a terminal": (0, lambda r, a: list(r.audit(terminal_id="t-2", after=a, limit=10)), ("seq",)),  # type: ignore[arg-type]
    "refused": (0, lambda r, a: list(r.audit(kinds=("refused",), after=a, limit=10)), ("seq",)),  # type: ignore[arg-type]
    "conflicts": (-1, lambda r, a: list(r.conflicts("open", a, PAGE)), ("seq",)),  # type: ignore[arg-type]
}
"""Where the first page begins, the page after a place, and what of its last row is the next place."""


@pytest.mark.parametrize("name", PAGED)
def test_the_last_page_costs_what_the_first_does(filled: Store, name: str) -> None:
    after, page, place = PAGED[name]
    costs, sizes = [], []
    with closing(Reader(filled.path)) as reader:
        while True:
            found: list[object] = []
            costs.append(steps(reader.queries.connection, lambda: found.extend(page(reader, after))))  # noqa: B023
            if not found:
                break
            sizes.append(len(found))
            after = last_of(found, *place)
    assert len(sizes) > 3
    assert max(costs) <= 2 * costs[0] + 5, costs
