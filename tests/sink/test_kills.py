"""A sink and its connection killed at random moments, while stores write: the tables are the log, to the cent."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from tests.faults.rig import until
from tests.launcher import launch_read
from tests.patience import PROGRAM_S
from tests.processes import comanda
from tests.sink.rig import Store, agree, rows

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("COMANDA_KILLS", "3"))
SEED = int(os.environ.get("COMANDA_SEED", "18"))

POSITION = "SELECT min(token), sum(seq)::bigint FROM comanda.cursors HAVING count(*) = 2"
HANG_UP = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'comanda sink'
"""
MONEY = "SELECT sum(amount), pg_typeof(sum(amount))::text FROM comanda.payments"


def position(to: str) -> tuple[int, int]:
    """The token under which both stores are read, and how many rows of their logs were passed."""
    with suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        for token, passed in rows(to, POSITION):
            return token, passed
    return 0, 0


def at_work(to: str, token: int, passed: int = 0) -> bool:
    """Whether the sink of this token is, and so many rows were passed."""
    return position(to)[0] == token and position(to)[1] >= passed


def test_killed_at_random_moments_while_stores_write(tmp_path: Path, to: str) -> None:
    """Each order is 4 operations, and ten more are written before each kill."""
    draw = random.Random(SEED)
    stores = [Store(tmp_path / "office" / "realms" / site, site) for site in ("loja-a", "loja-b")]
    killed = hung_up = written = 0
    with (tmp_path / "log").open("wb") as log:
        while killed + hung_up < KILLS:
            words = ["sink", "--to", to, "--data", str(tmp_path / "office"), "--every", "0.01"]
            process = launch_read([*words, "--page", str(draw.choice((1, 2, 3, 7, 500)))], log)
            until(partial(at_work, to, killed + 1))
            for moment in range(draw.randint(1, 3)):
                last = position(to)[1]
                for store in stores:
                    for number in range(5):
                        store.order(written + number)
                written += 5
                until(partial(at_work, to, killed + 1, last + draw.randint(1, 30)))
                assert process.poll() is None, (tmp_path / "log").read_text()
                if moment:
                    hung_up += len(rows(to, HANG_UP))
            process.send_signal(signal.SIGKILL)
            killed += 1
            process.wait(PROGRAM_S)
            process.stdout.close()
    done = comanda("sink", "--once", "--to", to, "--data", tmp_path / "office")
    assert done.returncode == 0, done.stderr
    for store in stores:
        agree(store, to)
        store.close()
    total = 2 * written * (Decimal("79.8") + 24)
    assert rows(to, MONEY) == [(total, "numeric")]
    assert position(to)[0] == killed + 1
