"""`comanda bench` at its smallest: every bench runs, with everybody whom Comanda is measured against."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from bench.contest import merging, runs, servers
from bench.contest.workload import changes
from node.cli import main
from tests.bench.forked import popen
from tests.processes import missing
from tests.slices import part

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def _contestants() -> None:
    """What the lock file pins for Node.js, installed once."""
    pinned, installed = servers.SERVERS / "package-lock.json", servers.PACKAGES / ".installed.json"
    with (servers.SERVERS / ".npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests run in several processes
        if not installed.is_file() or installed.read_bytes() != pinned.read_bytes():
            npm = shutil.which("npm")
            if npm is None:
                missing("the contest needs npm")
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=servers.SERVERS, capture_output=True, text=True, check=False)
            if done.returncode:
                missing(f"npm ci in {servers.SERVERS}: {done.stderr[-300:]}")
            shutil.copy(pinned, installed)


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", popen)


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(main, ["bench", "--smoke", "--json", *arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def test_everybody_is_there() -> None:
    assert runs.missing() == []
    assert len(list(merging.contestants())) == 2 * len(merging.INSTALLED) + 4


def test_merging_is_measured_for_all_and_plotted_without_a_network(tmp_path: Path) -> None:
    everybody = [name for name, _ in merging.contestants()]
    asked = part(everybody, 3, "merging")
    report = run("merge", "--html", str(tmp_path / "report.html"), *(f"--only={name}" for name in asked))
    wanted = [name for name in everybody if any(one in name for one in asked)]
    assert [result["contestant"] for result in report["results"]] == wanted
    assert all(result["figures"]["merges/s"] > 0 for result in report["results"])
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "merge: merge p50 us" in page
    assert 'src="http' not in page, "a script from elsewhere"


def test_what_a_program_says_is_read_to_its_end() -> None:
    """A pipe takes 64 KB at once; 2,000 edits say more."""
    (result,) = run("merge", "--edits", "2000", "--only", "yjs")["results"]
    assert result["failed"] is None


def test_every_server_is_measured() -> None:
    report = run("latency")
    assert [result["contestant"] for result in report["results"]] == [server.name for server in servers.ALL]
    assert all(result["figures"]["delivery p50 ms"] > 0 for result in report["results"])


@pytest.mark.walk(4)
@pytest.mark.parametrize("bench", sorted(runs.SERVED.keys() - {"latency"}))
def test_a_bench_measures_servers_that_say_when_it_is_stored_and_that_do_not(bench: str) -> None:
    report = run(bench, "--only", "each confirmed", "--only", "pycrdt")
    assert [result["failed"] for result in report["results"]] == [None, None]
    named = {name for result in report["results"] for name in result["figures"]}
    assert named <= runs.FIGURES.keys()


def test_a_run_is_compared_with_one_before(tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    only = ("merge", "--only", "Comanda on pycrdt")
    report = run(*only)
    for result in report["results"]:
        result["figures"]["snapshot B"] *= 2
    before.write_text(json.dumps(report))
    done = CliRunner().invoke(main, ["bench", "--smoke", *only, "--against", str(before)])
    assert done.exit_code == 0, done.output
    assert "-50%" in done.output
    before.write_text("[]")
    refused = CliRunner().invoke(main, ["bench", "--smoke", *only, "--against", str(before)])
    assert refused.exit_code == 2
    assert "before.json" in refused.output


@pytest.mark.parametrize(
    "error",
    [RuntimeError("it broke"), OSError("it broke"), ValueError("it broke"), subprocess.SubprocessError("it broke")],
)
def test_one_that_fails_is_told_and_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object) -> object:
        raise error

    monkeypatch.setattr(merging, "_pycrdt", broken)
    done = CliRunner().invoke(main, ["bench", "merge", "--smoke", "--json", "--only", "pycrdt"])
    assert done.exit_code == 1
    assert [result["failed"] for result in json.loads(done.stdout)["results"]] == [None, "it broke"]


def test_the_workload_is_the_same_from_the_same_seed() -> None:
    first, again, other = (list(changes(seed, 4, 200)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert {change.entity_type for change in first} == {"orders", "products", "customers", "cashier_operations"}
    names = [change.name for change in first]
    assert len(set(names)) == len(names)
    owners = {change.entity_id: change.terminal for change in first}
    assert all(owners[change.entity_id] == change.terminal for change in first), "an entity has one writer"
