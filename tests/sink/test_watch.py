"""A log that has grown is read, whatever its files look like; where nothing happened, nothing is opened."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from node.sink import follow as module
from node.sink.cursor import make_tables
from node.sink.follow import Follower
from node.sink.sink import Sink
from node.sink.watch import ANYWAY_S, FRESH_NS, Watch
from tests.sink.rig import Connection, Store, agree, connected, cursor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path

    from node.sink.cursor import Cursor

LATER_NS = 10 * FRESH_NS


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[Store]]:
    made = [Store(tmp_path / "realms" / site, site) for site in ("loja-a", "loja-b")]
    yield made
    for store in made:
        store.close()


def written_ns(store: Store) -> int:
    return max(os.stat(f"{store.store.path}{end}").st_mtime_ns for end in ("", "-wal"))


def grown(watch: Watch, wall_ns: int, monotonic_s: float = 0.0) -> list[str]:
    """The folders that have to be read; they are, at once."""
    found = list(watch.grown(wall_ns, monotonic_s))
    for look in found:
        watch.read(look)
    return [look.path.parent.name for look in found]


def test_only_what_was_written_is_read_again(tmp_path: Path, stores: list[Store]) -> None:
    watch, b = Watch(tmp_path), stores[1]
    later = max(map(written_ns, stores)) + LATER_NS
    assert grown(watch, later) == ["loja-a", "loja-b"]
    assert grown(watch, later) == []
    for number in range(5):
        b.order(number)
        later = written_ns(b) + LATER_NS
        assert grown(watch, later) == ["loja-b"]
        assert grown(watch, later) == []
    assert grown(watch, later, ANYWAY_S) == ["loja-a", "loja-b"], "files that lie are believed for a minute"


def test_a_write_in_the_same_moment_as_the_one_before_is_seen(tmp_path: Path, stores: list[Store]) -> None:
    """Neither size nor time of a file tells of it."""
    watch, (a, _) = Watch(tmp_path), stores
    files = [f"{a.store.path}{end}" for end in ("", "-wal")]
    at_ns = written_ns(a)
    for elapsed_ns in (0, FRESH_NS - 1):
        assert "loja-a" in grown(watch, at_ns + elapsed_ns)
    for file in files:
        os.utime(file, ns=(at_ns, at_ns))
    assert "loja-a" in grown(watch, at_ns + FRESH_NS), "it was last looked at while it could still be written"
    assert "loja-a" not in grown(watch, at_ns + FRESH_NS)


def test_another_database_in_its_place_is_read(tmp_path: Path, stores: list[Store]) -> None:
    watch, a = Watch(tmp_path), stores[0]
    later = max(map(written_ns, stores)) + LATER_NS
    grown(watch, later)
    a.close()
    other = tmp_path / "other.db"
    other.write_bytes(a.store.path.read_bytes())
    was = a.store.path.stat()
    os.utime(other, ns=(was.st_mtime_ns, was.st_mtime_ns))
    other.replace(a.store.path)
    assert grown(watch, later) == ["loja-a"]
    a.boot()


def look(running: Sink, connection: Connection) -> None:
    running.follower.round(partial(running._page, connection), once=False)


class Counted:
    """Opens databases, and counts it."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self._reader = module.Reader

    def __call__(self, path: Path) -> Any:
        self.opened.append(path.parent.name)
        return self._reader(path)


def test_a_store_where_nothing_happens_costs_no_opening(
    tmp_path: Path, stores: list[Store], to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = stores
    by_site = {store.site: store for store in stores}

    def of(site: str) -> Cursor:
        return cursor(by_site[site])

    counted, running = Counted(), Sink(to=to, follower=Follower(Watch(tmp_path)), cursor=of)
    monkeypatch.setattr(module, "Reader", counted)
    now_ns = [max(map(written_ns, stores)) + LATER_NS]
    monkeypatch.setattr("time.time_ns", lambda: now_ns[0])
    with connected(to) as connection:
        make_tables(connection)
        for store in stores:
            store.order(0)
        now_ns[0] = max(map(written_ns, stores)) + LATER_NS
        look(running, connection)
        assert sorted(counted.opened) == ["loja-a", "loja-b"]
        for _ in range(10):
            look(running, connection)
        assert len(counted.opened) == 2
        a.order(1)
        look(running, connection)
        assert counted.opened[2:] == ["loja-a"]
    agree(a, to)
    agree(b, to)


def test_a_value_that_no_table_takes_stops_its_store_and_no_other(
    tmp_path: Path, stores: list[Store], to: str
) -> None:
    by_site = {store.site: store for store in stores}
    for store in stores:
        store.order(0)

    def of(site: str) -> Cursor:
        return cursor(by_site[site], **({"day_of": refuse} if site == "loja-a" else {}))

    def refuse(_: str) -> date:
        raise psycopg.DataError("no date")

    running = Sink(to=to, follower=Follower(Watch(tmp_path)), cursor=of)
    with connected(to) as connection:
        make_tables(connection)
        look(running, connection)
    assert running.follower.wrong == {"loja-a": "PostgreSQL: no date"}
    agree(stores[1], to)
