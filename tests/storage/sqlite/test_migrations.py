from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlite_utils import Database

from node.cli import main
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.migrations import ORDER, migrate, migrations
from tests.harness import Client, World
from tests.storage.rows import open_store, tamper

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.store import Store

TABLES = {"log", "log_entities", "entities", "conflicts", "locks", "cursors", "meta", "tokens"}


def test_a_new_database_has_every_table(store: Store) -> None:
    assert set(Database(store.connection).table_names()) >= TABLES


def test_a_new_database_is_what_all_steps_make_of_an_empty_one(store: Store) -> None:
    stepped = Database(memory=True, execute_plugins=False)
    migrations.apply(stepped)
    assert schema(store.path) == schema_of(stepped)
    applied = [migration.name for migration in migrations.applied(Database(store.connection))]
    assert applied == [migration.name for migration in migrations.applied(stepped)] == ORDER
    stepped.close()


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


# ------------------------------------------------------------------ one version back

UNDO = {
    "m019_anew": ["ALTER TABLE cursors DROP COLUMN anew"],
}
"""How to make of a database one of the schema before, with what is in it. A new step puts its own way back here."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A store in which something happened, closed and set back by one step of the schema."""
    world = World(tmp_path / "node", has_key=False)
    ana = Client(world, "ana").connect()
    ana.do("orders", "mesa-1", "CREATE", {"items": [{"id": "1", "name": "Feijoada"}]})
    ana.do("products", "p-1", "CREATE", {"stock": 3})
    ana.do("orders", "mesa-1", "UPDATE", {"status": "ready"})
    world.close()
    forget = f"DELETE FROM _sqlite_migrations WHERE name = '{ORDER[-1]}'"
    with closing(sqlite3.connect(world.directory / DATABASE)) as database:
        database.executescript(";".join([*UNDO[ORDER[-1]], forget]))
    return world


def schema(path: Path | None) -> set[tuple[str, str]]:
    """(name, SQL) of everything in a database; None: a new one of the schema before."""
    database = Database(memory=True, execute_plugins=False) if path is None else Database(path)
    if path is None:
        migrations.apply(database, stop_before=ORDER[-1])
    found = schema_of(database)
    database.close()
    return found


def schema_of(database: Database) -> set[tuple[str, str]]:
    rows = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(name, " ".join(sql.split())) for name, sql in rows}


def kept(world: World) -> list[Path]:
    return sorted((world.directory / "backups").glob("*"))


def test_the_way_back_is_that_of_the_last_step(world: World) -> None:
    assert list(UNDO) == [ORDER[-1]]
    assert schema(world.directory / DATABASE) == schema(None)


def test_a_database_of_the_version_before_goes_forward_and_shows_the_same(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    again = World(world.directory)
    assert again.view("orders")["mesa-1"]["status"] == "ready"
    assert again.view("products")["p-1"]["stock"] == 3
    Client(again, "bia").connect().do("orders", "mesa-2", "CREATE", {})
    assert len(again.view("orders")) == 2
    again.close()
    result = CliRunner().invoke(main, ["verify", "--data", str(world.directory)])
    assert result.exit_code == 0, result.output
    (copy,) = kept(world)
    assert schema(copy) == schema(None)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [str(copy) in one.message for one in caplog.records if "goes forward" in one.message] == [True]
    caplog.clear()
    World(world.directory).close()
    assert kept(world) == [copy]
    assert "goes forward" not in caplog.text


def test_the_copy_is_opened_as_it_was_by_who_puts_it_back(world: World, tmp_path: Path) -> None:
    World(world.directory).close()
    (copy,) = kept(world)
    result = CliRunner().invoke(main, ["restore", "--data", str(tmp_path / "other"), str(copy)])
    assert result.exit_code == 0, result.output
    restored = World(tmp_path / "other")
    assert "mesa-1" in restored.view("orders")
    restored.close()


def test_without_a_copy_the_schema_stays_as_it_was(world: World) -> None:
    (world.directory / "backups").write_text("not a folder")
    with pytest.raises(StorageError, match="only after a copy"):
        World(world.directory)
    assert schema(world.directory / DATABASE) == schema(None)
    (world.directory / "backups").unlink()
    World(world.directory).close()
    assert len(kept(world)) == 1


def test_broken_off_after_the_copy_it_goes_on_from_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def power_cut(database: Database) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(migrations, "apply", power_cut)
        with pytest.raises(KeyboardInterrupt):
            World(world.directory)
    (copy,) = kept(world)
    before = copy.read_bytes()
    World(world.directory).close()
    assert (kept(world), copy.read_bytes()) == ([copy], before)


def test_a_new_database_needs_no_copy(tmp_path: Path) -> None:
    World(tmp_path / "node").close()
    assert not (tmp_path / "node" / "backups").exists()
