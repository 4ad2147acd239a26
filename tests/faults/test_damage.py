"""Bytes of the database that are not what was written: named where they are met, with what to do about them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.faults.rig import (
    ROUNDS,
    Till,
    applied,
    comanda,
    get,
    orders,
    refused_start,
    said,
    seeded,
    trouble,
    until,
    verified,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.conftest import Store
    from tests.processes import NodeProcess

PAGE = 4096
NO_CHECKPOINT = ("tests.faults.no_checkpoint:never",)


def overwrite(path: Path, at: int, what: bytes) -> None:
    """In place: the file stays the one it was."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


def filled(store: Store, *flags: str, first: tuple[str, ...] = ()) -> tuple[NodeProcess, Till]:
    node = store.node("data", *flags, first=first).start()
    till = store.till("a", node)
    till.writes(100, orders=60)
    return node, till


# ------------------------------------------------------------------ the database file


def test_a_damaged_database_is_named_at_the_start_with_what_to_do(store: Store) -> None:
    rng = seeded("database")
    node, till = filled(store)
    backup = node.data / comanda("backup", "--url", f"http://127.0.0.1:{node.port}")[1].strip()
    assert node.stop() == 0
    path = node.data / "comanda.db"
    sound = path.read_bytes()

    def words_of(damage: Callable[[], object]) -> str:
        path.write_bytes(sound)
        damage()
        return refused_start(node)

    assert "is damaged" in words_of(lambda: overwrite(path, 0, b"\xff" * 100))
    for _ in range(ROUNDS):
        at = rng.randrange(PAGE, len(sound) // 2)
        message = words_of(lambda at=at: path.write_bytes(sound[:at]))  # type: ignore[misc]
        assert "is damaged" in message
        assert f"comanda restore --data {node.data}" in message
    assert "is empty, and this node had" in words_of(lambda: path.write_bytes(b""))
    path.write_bytes(sound)
    (node.data / "comanda.db-wal").unlink(missing_ok=True)
    for page in rng.sample(used(path), 3):
        path.write_bytes(sound)
        overwrite(path, (page - 1) * PAGE, rng.randbytes(PAGE))
        status, output = comanda("verify", "--data", node.data)
        assert status == 1, f"page {page} is damaged and verified: {output}"
    status, output = comanda("restore", "--data", node.data, backup)
    assert status == 0, output
    verified(node.data)
    assert set(applied(node.data)) == set(till.confirmed)


def used(path: Path, where: str = "pageno > 1 AND pagetype != 'overflow'") -> list[int]:
    """The numbers of pages that hold something whose structure SQLite can tell."""
    with closing(sqlite3.connect(path)) as database:
        try:
            return [
                number for (number,) in database.execute(f"SELECT pageno FROM dbstat WHERE {where} ORDER BY path")
            ]
        except sqlite3.OperationalError:
            pytest.skip("this SQLite has no dbstat, to tell which page is what")


def test_a_page_that_goes_bad_while_the_node_runs_costs_its_entities_alone(store: Store) -> None:
    node, till = filled(store)
    assert node.stop() == 0
    page = used(node.data / "comanda.db", "name = 'entities' AND pagetype = 'leaf'")[0]
    node.start()
    overwrite(node.data / "comanda.db", (page - 1) * PAGE, b"\xff" * PAGE)
    answer = get(node, "/api/v1/entities/orders/a-o-0")
    assert answer.status_code == 503
    assert "is damaged" in answer.json()["error"]
    error = till.write("a-o-0")
    assert (error["type"], error["code"]) == ("sync_error", 1011)
    reason = trouble(node)
    assert reason is not None
    assert "comanda restore" in reason
    assert get(node, "/api/v1/entities/orders/a-o-9").status_code == 200
    assert till.write("a-o-9")["type"] == "sync_confirmation"
    said(node)
    node.kill()
    status, output = comanda("verify", "--data", node.data)
    assert status == 1
    assert "is damaged" in output


# ------------------------------------------------------------------ the write-ahead log


def frames(wal: bytes) -> int:
    return (len(wal) - 32) // (PAGE + 24)


def flipped(wal: bytes, rng: random.Random) -> bytes:
    """A byte in the middle of a frame, neither in the first nor in the last ones."""
    frame = rng.randrange(frames(wal) // 4, frames(wal) // 2)
    at = 32 + frame * (PAGE + 24) + 24 + rng.randrange(PAGE)
    return wal[:at] + bytes([wal[at] ^ 0x40]) + wal[at + 1 :]


def cut(wal: bytes, rng: random.Random) -> bytes:
    return wal[: rng.randrange(len(wal) // 4, len(wal) // 2)]


def no_header(wal: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(32) + wal[32:]


@pytest.fixture
def killed(store: Store) -> tuple[NodeProcess, NodeProcess, Till]:
    """A hub that has everything of a node, which was killed with all of it in its WAL."""
    hub = store.node("hub").start()
    node, till = filled(store, "--upstream", hub.url, first=NO_CHECKPOINT)
    until(lambda: orders(hub) == orders(node), "the same on both nodes")
    till.close()
    node.kill()
    return hub, node, till


SPOILT = [flipped, cut, no_header]


@pytest.mark.parametrize("spoil", seeded("spoil").sample(SPOILT, min(ROUNDS, len(SPOILT))))
def test_a_damaged_wal_is_noticed_and_said_and_linked_nodes_give_back_what_was_in_it(
    killed: tuple[NodeProcess, NodeProcess, Till], spoil: Callable[[bytes, random.Random], bytes]
) -> None:
    hub, node, till = killed
    wal = node.data / "comanda.db-wal"
    overwritten(wal, spoil(wal.read_bytes(), seeded(spoil.__name__)))
    node.start()
    log = said(node)
    assert "and this node had confirmed up to 100: a damaged WAL" in log
    assert "comes back from linked nodes" in log
    assert till.write("after")["type"] == "sync_confirmation"
    until(lambda: orders(node) == orders(hub) and "after" in orders(hub), "what was lost")
    assert get(node, "/api/v1/links").json()["quarantine"] == {"bad": 0, "waiting": 0, "by_node": {}}
    assert get(hub, "/api/v1/links").json()["quarantine"] == {"bad": 0, "waiting": 0, "by_node": {}}
    assert hub.stop() == node.stop() == 0
    assert set(applied(node.data)) == set(applied(hub.data)) == set(till.confirmed)
    status, output = comanda("audit", "verify", "--data", node.data)
    assert status == 1, "the audit remembers for good that this log was cut"
    assert "its head was 100" in output
    verified(hub.data)


def alone(store: Store) -> tuple[NodeProcess, Till]:
    """A node without others, killed with everything in its WAL."""
    node, till = filled(store, first=NO_CHECKPOINT)
    till.close()
    node.kill()
    return node, till


def test_after_a_power_cut_a_wal_with_a_hole_is_told_from_a_torn_one(store: Store) -> None:
    node, _ = alone(store)
    (node.data / "head.json").unlink()  # it was never on the disk
    wal = node.data / "comanda.db-wal"
    overwritten(wal, flipped(wal.read_bytes(), seeded("hole")))
    node.start()
    log = said(node)
    assert "the WAL was damaged: about" in log
    assert "comanda.db-wal-damaged" in log
    assert (node.data / "comanda.db-wal-damaged").exists()
    node.kill()
    status, output = comanda("audit", "verify", "--data", node.data)
    assert status == 1
    assert "the WAL was damaged before a start" in output


def test_a_wal_that_was_cut_without_a_trace_is_found_out_by_a_linked_node_which_gives_back_what_is_lost(
    killed: tuple[NodeProcess, NodeProcess, Till],
) -> None:
    hub, node, till = killed
    (node.data / "head.json").unlink()
    wal = node.data / "comanda.db-wal"
    overwritten(wal, cut(wal.read_bytes(), seeded("cut")))
    node.start()
    until(lambda: orders(node) == orders(hub), "what was lost")
    assert "new epoch" in said(node)
    assert "of this log, which ends at" in said(node)
    assert till.write("after")["type"] == "sync_confirmation"
    until(lambda: orders(node) == orders(hub) and "after" in orders(hub), "the same on both nodes")
    assert hub.stop() == node.stop() == 0
    assert set(applied(node.data)) == set(applied(hub.data)) == set(till.confirmed)
    verified(hub.data)
    verified(node.data)


def test_garbage_behind_a_wal_costs_nothing(store: Store) -> None:
    node, till = alone(store)
    with (node.data / "comanda.db-wal").open("ab") as file:
        file.write(seeded("garbage").randbytes(3 * PAGE))
    node.start()
    assert "fresh writer" not in said(node)
    assert set(orders(node)) == {f"a-o-{n}" for n in range(60)}
    assert node.stop() == 0
    assert set(applied(node.data)) == set(till.confirmed)
    verified(node.data)


def overwritten(path: Path, what: bytes) -> None:
    with path.open("r+b") as file:
        file.write(what)
        file.truncate()
