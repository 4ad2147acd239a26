"""`comanda conformance`: its exit status, what it prints, and what it asks for."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from click.testing import CliRunner

from node.cli import main
from node.conformance.subject import read_token
from tests.conformance.faults import FAULTS
from tests.conformance.proxy import WrongNode
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def url(node_port: int) -> str:
    return f"ws://127.0.0.1:{node_port}"


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["conformance", *words])


def last_line(result: Result) -> str:
    return result.output.splitlines()[-1]


def test_a_node_that_passes_ends_with_status_0_and_a_count(url: str) -> None:
    result = run(url, "--only", "heartbeat.")
    assert result.exit_code == 0, result.output
    assert last_line(result) == "4 passed, 0 failed"
    assert "heartbeat.every_ping" in result.output
    assert "1 not tried" in result.output


def test_quiet_prints_the_count_only_when_all_is_well(url: str) -> None:
    assert run(url, "--only", "heartbeat.pong", "--quiet").output == "1 passed, 0 failed\n"


def test_without_start_rules_about_restarts_are_not_tried(url: str) -> None:
    result = run(url, "--only", "restart.")
    assert result.exit_code == 0
    assert "needs --start" in result.output
    assert last_line(result) == "0 passed, 0 failed"


def test_with_start_the_node_is_killed_and_started_again() -> None:
    start = f"{sys.executable} -m node serve --port {{port}} --data {{data}}"
    result = run("--start", start, "--only", "restart.both_come_back")
    assert result.exit_code == 0, result.output
    assert last_line(result) == "1 passed, 0 failed"


def test_a_node_that_does_not_start_is_named_with_its_log() -> None:
    result = run("--start", f"{sys.executable} -c 'raise SystemExit(\"no such node\")'")
    assert result.exit_code == 1
    assert "no such node" in result.output


def test_additions_are_tried_when_asked_for(url: str) -> None:
    assert run(url, "--only", "additions.lock").exit_code == 2
    assert last_line(run(url, "--only", "additions.lock", "--additions")) == "1 passed, 0 failed"


def test_json_gives_every_outcome_and_the_counts(url: str) -> None:
    found = json.loads(run(url, "--only", "connection.user", "--json").output)
    assert (found["passed"], found["failed"], found["not tried"]) == (1, 0, 0)
    (outcome,) = found["rules"]
    assert (outcome["rule"], outcome["outcome"], outcome["kind"]) == ("connection.user_optional", "passed", "stated")


async def test_a_failure_says_the_rule_what_was_sent_what_came_and_what_should_have(node_port: int) -> None:
    fault = next(fault for fault in FAULTS if fault.name == "a pong without the time")
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(WrongNode(node_port, fault).serve)
        words = (f"ws://127.0.0.1:{port}", "--only", "heartbeat.pong")
        result = await trio.to_thread.run_sync(partial(run, *words))
        as_json = await trio.to_thread.run_sync(partial(run, *words, "--json"))
        nursery.cancel_scope.cancel()
    assert result.exit_code == 1
    assert last_line(result) == "0 passed, 1 failed"
    assert "FAIL heartbeat.pong" in result.output
    assert "the fields server_time; missing: server_time" in result.output
    assert '{"type": "ping"' in result.output
    assert '{"type": "pong"}' in result.output
    (outcome,) = json.loads(as_json.output)["rules"]
    assert any("ping" in line for line in outcome["sent"])
    assert any("pong" in line for line in outcome["received"])


def test_nobody_at_the_address_is_a_failure() -> None:
    result = run("ws://127.0.0.1:1", "--only", "connection.greeting")
    assert result.exit_code == 1
    assert "a connection, and an answer" in result.output


def test_url_and_start_exclude_each_other() -> None:
    assert run().exit_code == 2
    assert run("ws://127.0.0.1:1", "--start", "x").exit_code == 2
    assert run("--only", "no such rule", "ws://127.0.0.1:1").exit_code == 2
    assert "ws://" in run("ftp://127.0.0.1").output


def test_every_rule_is_listed_with_its_heading() -> None:
    lines = run("--list", "--additions").output.splitlines()
    assert len(lines) > 200
    assert all(": " in line for line in lines)


def test_with_tokens_a_wrong_one_is_refused_and_the_right_one_let_in(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    tokens = []
    for kind, terminal in (("pos", "caixa-1"), ("kds", "cozinha-1")):
        added = CliRunner().invoke(main, ["token", "add", terminal, "--type", kind, "--data", data])
        tokens += ["--token", f"{kind}:{terminal}={added.output.split()[-1]}"]
    node = NodeProcess(tmp_path / "data").start()
    try:
        result = run(node.url, "--only", "4003", *tokens)
        assert last_line(result) == "2 passed, 0 failed", result.output
        assert last_line(run(node.url, "--only", "data_sync.fields", *tokens)) == "1 passed, 0 failed"
        assert "needs one more --token" in run(node.url, "--only", "locks.failed", *tokens).output
    finally:
        node.end()


def test_a_token_opens_every_terminal_or_one() -> None:
    assert read_token("secret").token == "secret"
    assert (read_token("pos:a=b").kind, read_token("pos:a=b").name, read_token("pos:a=b").token) == ("pos", "a", "b")
    for wrong in ("toaster:a=b", "pos:a", "pos:=b"):
        with pytest.raises(ValueError, match="neither"):
            read_token(wrong)
