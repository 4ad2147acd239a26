"""kill -9 in the middle of archiving, of a running node under load and of the command: nothing is lost or doubled."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from node.runtime.retention import DAY_MS
from storage.audit.archive_file import read_archive, verify_archives
from storage.audit.chain_walk import verify
from storage.sqlite.reader import Reader
from tests.e2e.test_kill import Waiter
from tests.faults.rig import get, until
from tests.harness import Client, World
from tests.patience import PATIENCE_S, connect, http_get, http_post
from tests.processes import ROOT, NodeProcess, comanda, missing

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("COMANDA_KILLS", "3"))
COMANDA = (sys.executable, "-m", "node")
CALLS = (("fdatasync", 6), ("fsync", 2), ("rename", 1), ("unlink", 6), ("pwrite64", 300))
"""Where the command is killed: system calls, and about how many of each it makes."""
ROWS = (200, 400, 600)
"""Of the log, upto each of which the command archives."""


def run(*words: str) -> str:
    done = comanda(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def history(data: Path) -> list[str]:
    """The ids of all operations in the archives and in the log, which are one chain."""
    with contextlib.closing(Reader(data / "comanda.db")) as reader:
        anchor = reader.anchor()
        assert not list(verify(reader)), "the chain is broken"
        paths = sorted({*(data.parent.glob("*.gz")), *(data / "archives").glob("*.gz")})
        rows = {row.seq: row for row in reader.rows(None, anchor.seq, 2**62, 10**6)}
        noted = [path for path in paths if str(path) in [archive.file for archive in reader.archives()]]
        assert not list(verify_archives(noted, anchor)), "the archives do not join"
        for path in noted:
            with read_archive(path) as (_, found):
                rows |= {row.seq: row for row in found if row.seq <= anchor.seq}
        assert sorted(rows) == list(range(1, reader.head()[0] + 1)), "rows are missing"
    return [rows[seq].operation_id for seq in sorted(rows) if rows[seq].kind == "operation"]


def test_a_node_archives_by_itself_what_is_older_than_it_is_to_keep(tmp_path: Path) -> None:
    world, now = World(tmp_path / "node"), datetime.now(UTC)
    world.wall_ms = int(now.timestamp() * 1000) - 50 * DAY_MS
    Client(world, "ana").connect().do("orders", "mesa-1", "CREATE", {"note": "x"})
    world.close()
    said = f"[retention]\nkeep_days = 30\nhour = {now.hour}\n"
    node = NodeProcess(world.directory, config=said).start()
    try:
        until(lambda: " rows of before " in node.said() and get(node, "/api/v1/audit").json()["entries"])
        (act,) = get(node, "/api/v1/audit").json()["entries"]
        assert (act["user_id"], act["changes"]["after"]["archived"]) == ("[retention]", 1)
    finally:
        node.end()
    assert len(history(world.directory)) == 1


def fill(node: NodeProcess, count: int) -> None:
    """`count` operations on a fifth as many orders, all confirmed."""
    with connect(f"{node.url}/ws/pos-1?type=pos", close_timeout=0.1) as socket:
        for number in range(count):
            operation = {"id": f"op-{number}", "entity_type": "orders", "entity_id": f"o-{number // 5}"}
            operation |= {"operation": "UPDATE", "data": {"n": number, "note": "x" * 300}}
            socket.send(json.dumps({"type": "data_sync", "operation": operation}))
        left = count
        while left:
            left -= orjson.loads(socket.recv(timeout=PATIENCE_S))["type"] == "sync_confirmation"


@pytest.mark.linux  # strace
def test_the_command_killed_anywhere_is_completed_by_the_next(tmp_path: Path) -> None:
    strace = shutil.which("strace") or missing("strace is needed to kill the command at a system call")
    data, rng = tmp_path / "data", random.Random(20260115)
    node = NodeProcess(data).start()
    fill(node, ROWS[-1])
    assert node.stop() == 0
    ids = [f"op-{number}" for number in range(ROWS[-1])]
    killed = 0
    for upto in ROWS:
        words = ["archive", "--data", str(data), "--until", str(upto), str(tmp_path / f"{upto}.gz")]
        for _ in range(max(KILLS // 3, 1)):
            call, calls = rng.choice(CALLS)
            kill = f"inject={call}:signal=KILL:when={rng.randrange(calls) + 1}"
            traced = [strace, "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", kill, *COMANDA, *words]
            process = subprocess.run(traced, capture_output=True, check=False, cwd=ROOT, timeout=PATIENCE_S)
            assert process.returncode in (0, -signal.SIGKILL), process.stderr
            killed += process.returncode != 0
            assert history(data) == ids
        run(*words)
        assert history(data) == ids
    assert killed, "no attempt was killed"
    files = [word for until in ROWS for word in ("--archive", str(tmp_path / f"{until}.gz"))]
    assert str(ROWS[-1]) in run("audit", "verify", "--data", str(data), *files)
    node = NodeProcess(data).start()
    try:
        shown = http_get(f"http://127.0.0.1:{node.port}/api/v1/entities/orders").json()["entities"]
        again = {"id": "op-7", "entity_type": "orders", "entity_id": "o-1", "operation": "UPDATE"}
        again |= {"data": {"n": 7, "note": "x" * 300}}
        with connect(f"{node.url}/ws/pos-1?type=pos", close_timeout=0.1) as socket:
            socket.send(json.dumps({"type": "data_sync", "operation": again}))
            while (answer := orjson.loads(socket.recv(timeout=PATIENCE_S)))["type"] != "sync_confirmation":
                pass
        assert answer["status"] == "duplicate"
    finally:
        assert node.stop() == 0
    assert {row["entity_id"]: row["version"] for row in shown} == {f"o-{n}": 5 for n in range(ROWS[-1] // 5)}


def test_a_node_killed_while_it_archives_under_load_loses_nothing(tmp_path: Path) -> None:
    data, rng = tmp_path / "data", random.Random(7)
    node = NodeProcess(data)
    waiters = [Waiter(f"w-{number}") for number in range(3)]
    for _ in range(KILLS):
        node.start()
        stop = threading.Event()
        threads = [threading.Thread(target=waiter.serve, args=(node, stop)) for waiter in waiters]
        threads.append(threading.Thread(target=ask, args=(node, stop)))
        before = sum(len(waiter.confirmed) for waiter in waiters)
        for thread in threads:
            thread.start()
        target = before + rng.randrange(50, 600)
        while sum(len(waiter.confirmed) for waiter in waiters) < target:
            threads[0].join(0.001)
        node.kill()
        stop.set()
        for thread in threads:
            thread.join()
    node.start()
    try:
        assert archive(node)["log_begins"] > 1
        shown = http_get(f"http://127.0.0.1:{node.port}/api/v1/entities/orders").json()["entities"]
        listed = http_get(f"http://127.0.0.1:{node.port}/api/v1/archives").json()
        audit = http_get(f"http://127.0.0.1:{node.port}/api/v1/audit").json()
    finally:
        assert node.stop() == 0
    assert listed["log_begins"] == audit["log_begins"] == listed["archives"][-1]["last"] + 1
    applied = history(data)
    assert len(applied) == len(set(applied)), "an operation was applied twice"
    versions = {entity["entity_id"]: entity["version"] for entity in shown}
    for waiter in waiters:
        assert set(waiter.confirmed) <= set(applied), "a confirmed operation is gone"
        assert waiter.versions == sorted(set(waiter.versions)), "a version went back"
        assert versions[f"order-{waiter.name}"] == sum(i.startswith(f"{waiter.name}-") for i in applied)


def archive(node: NodeProcess) -> dict[str, Any]:
    answer = http_post(f"http://127.0.0.1:{node.port}/api/v1/archive?until=999999999", timeout=PATIENCE_S)
    assert answer.status_code in (200, 409), answer.text
    return dict(answer.json())


def ask(node: NodeProcess, stop: threading.Event) -> None:
    """Have it archive again and again, until it dies."""
    with contextlib.suppress(httpx.HTTPError):
        while not stop.is_set():
            archive(node)


@pytest.mark.parametrize("query", ["", "?until=yesterday", "?until=-4"])
def test_until_is_asked_for(tmp_path: Path, query: str) -> None:
    node = NodeProcess(tmp_path / "data").start()
    try:
        assert http_post(f"http://127.0.0.1:{node.port}/api/v1/archive{query}").status_code == 400
        assert http_get(f"http://127.0.0.1:{node.port}/api/v1/archive").status_code == 405
    finally:
        node.end()


def test_a_running_node_archives_what_is_asked_and_goes_on(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data").start()
    try:
        fill(node, 400)
        url = f"http://127.0.0.1:{node.port}"
        said = run("archive", "--url", url, "--until", "300")
        assert "300" in said
        assert "nothing to archive" in run("archive", "--url", url, "--until", "300")
        with connect(f"{node.url}/ws/pos-2?type=pos", close_timeout=0.1) as socket:
            seen = set()
            while len(seen) < 80:
                message = orjson.loads(socket.recv(timeout=PATIENCE_S))
                if message["type"] == "data_sync":
                    seen.add(message["operation"]["entity_id"])
        (file,) = (tmp_path / "data" / "archives").iterdir()
        rows = 400 + 2  # and who archived, each time
        assert str(rows) in run("audit", "verify", "--data", str(tmp_path / "data"), "--archive", str(file))
        assert http_get(f"{url}/api/v1/audit").json()["entries"][0]["seq"] == 301
    finally:
        assert node.stop() == 0


def test_a_real_node_keeps_what_archived_rows_did_to_a_counter(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data").start()
    try:
        with connect(f"{node.url}/ws/pos-1?type=pos", close_timeout=0.1) as socket:
            for stock in (12, 11, 10):
                operation = {
                    "id": f"stock-{stock}",
                    "entity_type": "products",
                    "entity_id": "p",
                    "operation": "UPDATE",
                }
                socket.send(
                    json.dumps(
                        {
                            "type": "data_sync",
                            "operation": operation | {"operation": "UPDATE", "data": {"stock": stock}},
                        }
                    )
                )
                while orjson.loads(socket.recv(timeout=PATIENCE_S))["type"] != "sync_confirmation":
                    pass
        run("archive", "--url", f"http://127.0.0.1:{node.port}", "--until", "1000")
    finally:
        assert node.stop() == 0
    with contextlib.closing(Reader(tmp_path / "data" / "comanda.db")) as reader:
        assert [row.kind for row in reader.rows(None, 0, 2**62, 10)] == ["act"]
        left = reader.archived.traces(("products", "p"), "pos-1", 0, 10)
        assert [orjson.loads(row.operation)["data"]["stock"] for row in left] == [10, 11, 12]
