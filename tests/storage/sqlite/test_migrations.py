from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlite_utils import Database

from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.migrations import migrate, migrations
from tests.storage.rows import open_store, tamper

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.store import Store

TABLES = {"log", "log_entities", "entities", "conflicts", "locks", "cursors", "meta", "tokens"}


def test_a_new_database_has_every_table(store: Store) -> None:
    assert set(Database(store.connection).table_names()) >= TABLES


def test_migrating_twice_changes_nothing(store: Store) -> None:
    database = Database(store.connection)
    before = database.schema
    migrate(database, str(store.path))
    assert database.schema == before


def test_a_database_left_behind_is_brought_up_to_date() -> None:
    database = Database(memory=True, execute_plugins=False)
    migrations.apply(database, stop_before="m003_tokens")
    assert "tokens" not in database.table_names()
    migrate(database, "memory")
    assert set(database.table_names()) >= TABLES
    database.close()


def test_a_database_of_a_newer_comanda_is_refused_by_its_step(directory: Path) -> None:
    open_store(directory).close()
    tamper(
        directory / DATABASE,
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('comanda', 'm999_future', '')",
    )
    with pytest.raises(StorageError, match="m999_future"):
        open_store(directory)


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("SELECT * FROM log WHERE op_key = 1 ORDER BY log.seq", "log_operation"),
        ("SELECT * FROM log WHERE priority = 1 AND seq > 5 AND seq <= 9 ORDER BY seq LIMIT 9", "log_class"),
        ("SELECT seq FROM log WHERE entity_type = 'a' AND entity_id = 'b'", "log_entity"),
        ("SELECT * FROM conflicts WHERE state = 'open' ORDER BY seq", "conflicts_state"),
        (
            "SELECT * FROM conflicts WHERE entity_type = 'a' AND entity_id = 'b' AND state = 'closed'",
            "conflicts_entity",
        ),
    ],
)
def test_the_hot_reads_use_an_index_and_need_no_sort(store: Store, sql: str, index: str) -> None:
    plan = " ".join(step[3] for step in store.connection.execute(f"EXPLAIN QUERY PLAN {sql}"))
    assert index in plan
    assert "TEMP B-TREE" not in plan
