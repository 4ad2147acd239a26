"""A sink that is killed anywhere leaves tables that are the log's: nothing is there twice, and nothing is missing."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from node.errors import ConfigError
from node.sink.cursor import Fenced, make_tables
from node.sink.follow import Archived
from storage.sqlite.database import StorageError
from tests.archives import archive
from tests.harness import World
from tests.launcher import launch_read
from tests.mesh import Mesh, Wire
from tests.patience import PROGRAM_S
from tests.processes import comanda
from tests.sink.rig import Connection, Store, agree, connected, cursor, of_log, rows, sink, step, tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Killed(Exception):
    """The sink is gone."""


class Mortal:
    """A connection whose process is killed at the statement of this number."""

    def __init__(self, connection: Connection, dies_at: int) -> None:
        self.connection, self.left = connection, dies_at

    def _live(self) -> None:
        self.left -= 1
        if self.left < 0:
            self.connection.close()
            raise Killed

    def transaction(self) -> Any:
        return self.connection.transaction()

    def execute(self, *arguments: Any) -> Any:
        self._live()
        return self.connection.execute(*arguments)

    def cursor(self) -> Any:
        return self

    def __enter__(self) -> Mortal:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def executemany(self, statement: str, several: list[dict[str, Any]]) -> None:
        for one in several:
            self._live()
            self.connection.execute(statement, one)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "a", "loja-a")
    for number in range(3):
        made.order(number)
    yield made
    made.close()


def test_the_tables_are_what_the_log_says_and_follow_it(store: Store, to: str) -> None:
    sink(store, to)
    agree(store, to)
    assert len(of_log(store)["payments"]) == 6
    before = tables(to, "loja-a")
    sink(store, to)
    assert tables(to, "loja-a") == before, "nothing new, nothing changed"
    store.till.do("orders", "mesa-1", "UPDATE", {"payments": [], "items": [{"id": "2", "sku": "suco", "price": 8}]})
    store.till.do("orders", "mesa-2", "DELETE", {})
    sink(store, to)
    assert {row[0] for row in tables(to, "loja-a")["payments"]} == {"mesa-0"}
    assert {row[0]: row[8] for row in tables(to, "loja-a")["orders"]} == {
        "mesa-0": False,
        "mesa-1": False,
        "mesa-2": True,
    }


def test_killed_at_every_statement_it_leaves_whole_pages(store: Store, to: str) -> None:
    """At each number a sink begins anew and dies at that statement, until one comes to the end."""
    deaths = 0
    with connected(to) as connection:
        make_tables(connection)
    for dies_at in range(10_000):
        with connected(to) as connection:
            one, mortal = cursor(store, page=4), Mortal(connection, dies_at)
            try:
                one.take(mortal)  # type: ignore[arg-type]
                while step(one, mortal, store):  # type: ignore[arg-type]
                    pass
            except (Killed, psycopg.OperationalError):  # the latter where a transaction was open
                deaths += 1
                seq = rows(to, "SELECT seq FROM comanda.cursors")
                passed = [key for key, row in of_log(store)["operations"].items() if seq and row.seq <= seq[0][0]]
                assert [key for key, *_ in tables(to, "loja-a")["operations"]] == sorted(passed)
                continue
        break
    assert deaths >= 20
    agree(store, to)


def test_a_process_that_is_killed_again_and_again_comes_to_the_end(store: Store, to: str) -> None:
    store.close()
    words = ["sink", "--to", to, "--data", str(store.directory), "--page", "1"]
    with (store.directory.parent / "log").open("wb") as log:
        for kill in range(1, 5):
            process = launch_read(words, log)
            while not passed(to, token=kill, seq=2 * kill):
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait(PROGRAM_S)
            process.stdout.close()
    done = comanda("sink", "--once", "--to", to, "--data", store.directory)
    assert done.returncode == 0, done.stderr
    store.boot()
    agree(store, to)
    assert rows(to, "SELECT token FROM comanda.cursors") == [(5,)]


def passed(to: str, token: int, seq: int) -> bool:
    """Whether the sink of this token is at work, and the cursor beyond a row."""
    with suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return bool(rows(to, "SELECT 1 FROM comanda.cursors WHERE token = %s AND seq >= %s", token, seq))
    return False


def test_a_sink_that_somebody_took_over_writes_nothing_any_more(store: Store, to: str) -> None:
    with connected(to) as old, connected(to) as new:
        make_tables(old)
        zombie, heir = cursor(store), cursor(store)
        zombie.take(old)
        heir.take(new)
        with pytest.raises(Fenced, match="token 1, now 2"):
            step(zombie, old, store)
        assert tables(to, "loja-a")["operations"] == []
        while step(heir, new, store):
            pass
        store.order(7)
        with pytest.raises(Fenced):
            step(zombie, old, store)
        assert step(heir, new, store)
    agree(store, to)


def test_another_nodes_log_of_the_store_goes_on_with_the_same_operations(
    tmp_path: Path, store: Store, to: str
) -> None:
    """Head office's disk is gone, and the sink reads the log that it got back, which is numbered otherwise."""
    sink(store, to)
    other = World(tmp_path / "other", node_id="office", config=store.config)
    mesh = Mesh(tmp_path / "mesh", 0, [])
    mesh.worlds, mesh.wires = [store, other], [Wire(other, store, upstream=False)]
    mesh.settle()
    store.order(8)
    mesh.settle()
    before = of_log(store)
    again = cursor(store)
    with connected(to) as connection:
        again.take(connection)
        while step(again, connection, other):
            pass
    agree(store, to)
    assert set(before["operations"]) == {row[0] for row in tables(to, "loja-a")["operations"]}
    other.close()


def test_what_only_an_archive_holds_is_not_passed_over_in_silence(store: Store, to: str) -> None:
    archive(store)
    with pytest.raises(Archived, match="skip-archived"):
        sink(store, to)
    store.order(8)
    sink(store, to, skip_archived=True)
    store.order(9)
    sink(store, to)
    assert {row[0] for row in tables(to, "loja-a")["orders"]} == {"mesa-8", "mesa-9"}


def test_the_days_of_a_store_stay_as_they_were_counted(store: Store, to: str) -> None:
    sink(store, to)
    with pytest.raises(ConfigError, match="America/Sao_Paulo"):
        sink(store, to, zone="America/Manaus")


def test_two_stores_with_the_same_ids_are_two_in_the_tables(tmp_path: Path, store: Store, to: str) -> None:
    other = Store(tmp_path / "b", "loja-b")
    other.order(0)
    for one in (store, other):
        sink(one, to)
    for one in (store, other):
        agree(one, to)
    assert rows(to, "SELECT site FROM comanda.orders WHERE order_id = 'mesa-0' ORDER BY 1") == [
        ("loja-a",),
        ("loja-b",),
    ]
    other.close()


def test_a_damaged_log_is_not_sunk(store: Store, to: str) -> None:
    store.store._connection.execute("UPDATE log SET status = 'paid' WHERE seq = 2")
    with pytest.raises(StorageError):
        sink(store, to)
    assert tables(to, "loja-a")["operations"] == []
