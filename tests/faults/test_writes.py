"""The disk refuses to write: nothing confirmed is lost, everybody is told, and the node goes on when it can."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.faults.rig import (
    ROUNDS,
    applied,
    failing,
    get,
    injected,
    orders,
    refused_start,
    said,
    seeded,
    trouble,
    until,
    verified,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.conftest import Store

WAL = ("comanda.db-wal",)
CALLS = [
    ("fdatasync", "EIO", "disk fails"),
    ("fdatasync", "ENOSPC", "disk fails"),
    ("pwrite64", "EIO", "disk fails"),
    ("pwrite64", "ENOSPC", "no space left"),
    ("pwrite64", "EROFS", "read-only"),
]


def test_a_write_that_fails_anywhere_is_refused_and_stored_once_when_it_is_sent_again(store: Store) -> None:
    rng = seeded("writes")
    node = store.node().start()
    tills = [store.till("a", node), store.till("b", node)]
    for till in tills:
        till.writes(5)
    for _ in range(ROUNDS):
        for call, error, words in rng.sample(CALLS, 2):
            fault = f"{call}:error={error}:when={rng.randrange(1, 12)}+"
            with failing(node, fault, paths=WAL) as record:
                for till in tills:
                    till.write_until_refused()
                assert "send it again" in tills[0].errors[-1]["error"]
                reason = trouble(node)
                assert reason is not None
                assert reason.startswith("the node cannot store anything")
                assert words in reason, fault
                assert get(node, "/healthz").status_code == 200
                assert orders(node), "what is stored can be read"
                assert injected(record)
            until(lambda: trouble(node) is None, "ready")
            for till in tills:
                till.again()
    log = said(node)
    assert log.count("nothing can be stored") == log.count("the disk takes writes again") == 2 * ROUNDS
    confirmed = {**tills[0].confirmed, **tills[1].confirmed}
    assert orders(node)["o"]["version"] == sum(n.startswith(("a-", "b-")) for n in confirmed) - 10
    assert node.stop() == 0
    assert set(applied(node.data)) == set(confirmed)
    verified(node.data)


def test_a_database_file_that_cannot_be_written_at_the_stop_loses_nothing(store: Store) -> None:
    rng, node = seeded("stop"), store.node()
    till = store.till("a", node)
    for _ in range(ROUNDS):
        node.start()
        till.writes(20)
        call = rng.choice(("pwrite64", "fdatasync"))
        with failing(node, f"{call}:error=EIO:when=1+", paths=("comanda.db",)) as record:
            assert node.stop() == 0
            assert injected(record)
        said(node)
    assert set(applied(node.data)) == set(till.confirmed)
    verified(node.data)


# ------------------------------------------------------------------ a full disk, a read-only one


@contextmanager
def mounted(*words: str) -> Iterator[bool]:
    """A mount for a while. False where this machine does not let us."""
    done = subprocess.run(["mount", *words], capture_output=True, check=False)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", words[-1]], check=True)


def test_a_disk_that_runs_full_refuses_and_goes_on_by_itself_once_there_is_room(store: Store) -> None:
    small = store.directory / "small"
    small.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)) as can:
        if not can:
            pytest.skip("mounting is not allowed here; ENOSPC is injected by the test of failing writes instead")
        watched = (
            "[disk]\nlow_mb = 1\nlast_mb = 0\n"  # of three megabytes, less than what is watched for is always free
        )
        node = store.node(folder=small, config=watched).start()
        till = store.till("a", node)
        till.writes(5)
        filler = small / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        till.write_until_refused()
        reason = trouble(node)
        assert reason is not None
        assert "no space left on the disk" in reason
        assert "goes on by itself" in reason
        filler.unlink()
        until(lambda: trouble(node) is None, "ready")
        till.again()
        said(node)
        assert node.stop() == 0
        assert set(applied(node.data)) == set(till.confirmed)
        verified(node.data)


def test_a_read_only_data_directory_is_named_at_the_start(store: Store) -> None:
    node = store.node().start()
    store.till("a", node).writes(1)
    assert node.stop() == 0
    data = str(node.data)
    with mounted("--bind", data, data) as can:
        if not can or subprocess.run(["mount", "-o", "remount,ro,bind", data], check=False).returncode:
            pytest.skip("mounting is not allowed here, and root may write anywhere else")
        message = refused_start(node)
    assert "Read-only file system" in message
    assert "data directory must be writable" in message
