"""A process killed between, and in, commits: what it said was committed is there, whole, and chained."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from storage.audit.chain_walk import verify
from storage.sqlite.database import DATABASE
from storage.sqlite.reader import Reader
from tests.storage.rows import ROOT, open_store

if TYPE_CHECKING:
    from pathlib import Path

COMMIT_FOR_EVER = """
import sys
from pathlib import Path
from tests.storage.rows import entity, open_store, rows
store = open_store(Path(sys.argv[1]))
while True:
    group = rows(store.head + 1, store.head + 1 + store.head % 40, message=b"x" * 1200)
    group.entities = [entity(f"e{row.seq % 97}", version=row.seq, seq=row.seq) for row in group.rows]
    store.commit(group)
    print(store.head, flush=True)
    if store.head % 7 == 0:
        store.checkpoint()
"""


@pytest.mark.parametrize("commits", [1, 5, 23, 60])
def test_a_killed_node_keeps_what_it_confirmed_and_half_of_nothing(directory: Path, commits: int) -> None:
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", COMMIT_FOR_EVER, str(directory)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        confirmed = 0
        for _ in range(commits):
            confirmed = int(process.stdout.readline())
        process.kill()
        confirmed = max([confirmed, *(int(line) for line in process.stdout.read().splitlines())])
        process.stdout.close()
        process.wait()

        store = open_store(directory)
        boot = store.boot()
        integrity = store.connection.execute("PRAGMA integrity_check").fetchall()
        store.close()
        reader = Reader(directory / DATABASE)
        head, chain = reader.head()
        findings = list(verify(reader))
        newest = max(row.seq for row in reader.entities("orders", None, 200))
        reader.close()
        assert boot.head >= confirmed > 0
        assert (head, chain) == (boot.head, boot.chain)
        assert newest == boot.head
        assert integrity == [("ok",)]
        assert findings == []
