"""`comanda sink` as a process: all stores of head office, a PostgreSQL that crashes, and one that was taken over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.test_json import run
from tests.faults.rig import until
from tests.launcher import launch_read
from tests.patience import PROGRAM_S
from tests.processes import comanda
from tests.sink.rig import Store, agree, rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sink.postgres import Postgres


def office(tmp_path: Path) -> tuple[Path, list[Store]]:
    """Head office's data directory, and its two stores, in which the same tables ordered."""
    data = tmp_path / "office"
    stores = [Store(data / "realms" / site, site) for site in ("loja-a", "loja-b")]
    for store in stores:
        store.order(0)
        store.order(1)
    return data, stores


def test_all_stores_of_head_office_and_no_other(tmp_path: Path, to: str) -> None:
    data, stores = office(tmp_path)
    assert json.loads(run(["sink", "--once", "--to", to, "--data", str(data), "--json"]))["rows"] > 0
    for store in stores:
        agree(store, to)
    assert json.loads(run(["sink", "--once", "--to", to, "--data", str(data), "--json"])) == {"rows": 0}
    assert rows(to, "SELECT site, token FROM comanda.cursors ORDER BY 1") == [("loja-a", 2), ("loja-b", 2)]
    for store in stores:
        store.close()


def test_it_goes_on_after_a_crash_of_postgresql_and_ends_when_it_is_taken_over(
    tmp_path: Path, to: str, server: Postgres
) -> None:
    data, (a, b) = office(tmp_path)
    with (tmp_path / "log").open("wb") as log:
        words = ["sink", "--to", to, "--data", str(data), "--page", "1", "--every", "0.05"]
        process = launch_read(words, log)
        until(lambda: settled(to, 2))
        server.kill()
        for store in (a, b):
            store.order(2)
        server.start()
        until(lambda: settled(to, 6))
        assert process.poll() is None, (tmp_path / "log").read_text()
        agree(a, to)
        agree(b, to)
        done = comanda("sink", "--once", "--to", to, "--data", data)
        assert done.returncode == 0, done.stderr
        b.order(3)
        assert process.wait(PROGRAM_S) == 1
        process.stdout.close()
    said = (tmp_path / "log").read_text()
    assert "PostgreSQL is away" in said
    assert "another sink took over (token 1, now 2)" in said
    a.close()
    b.close()


def settled(to: str, orders: int) -> bool:
    """Whether so many orders of both stores are there."""
    try:
        found = rows(to, "SELECT count(*) FROM comanda.orders WHERE status = 'paid'")
    except Exception:  # it is not there yet, or away
        return False
    return bool(found[0][0] >= orders)


def test_it_says_what_it_cannot_do(tmp_path: Path, to: str) -> None:
    nobody = comanda("sink", "--once", "--to", "postgresql://nobody@127.0.0.1:1/x", "--data", tmp_path)
    assert nobody.returncode == 1
    assert "127.0.0.1" in nobody.stderr
    data, (a, b) = office(tmp_path)
    run(["sink", "--once", "--to", to, "--data", str(data)])
    other = comanda("sink", "--once", "--to", to, "--data", data, "--zone", "America/Manaus")
    assert (other.returncode, "America/Sao_Paulo" in other.stderr) == (1, True)
    a.close()
    b.close()
