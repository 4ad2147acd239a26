"""The black-box suites against `python -m node serve`, as a user of the protocol runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from node.runtime.api.tokens import new_token, token_hash
from storage.records import TokenRow
from storage.sqlite.store import Store
from tests.processes import ROOT, SHARED, NodeProcess, missing, node_modules

if TYPE_CHECKING:
    from pathlib import Path

SUITE = SHARED / "conformance"
START = f"{sys.executable} -m node serve --port {{port}} --data {{data}}"


def run_suite(name: str, *flags: str) -> str:
    if not SUITE.is_dir():
        missing("the conformance suite is not beside this checkout")
    env = {**os.environ, "BB_WS": str(node_modules() / "ws")} if name == "seed_client.py" else None
    command = [sys.executable, name, "--cwd", str(ROOT), *flags]
    result = subprocess.run(command, capture_output=True, text=True, cwd=SUITE, env=env, check=False, timeout=200)
    failures = "\n".join(line for line in result.stdout.splitlines() if line.startswith("FAIL"))
    assert result.returncode == 0, failures or result.stdout[-1_000:] + result.stderr[-1_000:]
    return result.stdout


def test_every_documented_message_code_and_endpoint_behaves_as_documented() -> None:
    output = run_suite("conformance.py", "--perf", "--start", START)
    assert ", 0 failed" in output


def test_a_node_below_a_hub_behaves_as_documented_too(tmp_path: Path) -> None:
    hub = NodeProcess(tmp_path / "hub", "--id", "central").start()
    try:
        output = run_suite("conformance.py", "--start", f"{START} --upstream {hub.url}")
        assert ", 0 failed" in output
    finally:
        hub.end()


def test_with_tokens_a_wrong_one_is_refused_and_the_right_one_let_in(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data", "node-t", lambda: "0" * 32)
    token = new_token()
    for terminal in ("raw-1", "reader"):
        store.add_token(TokenRow(token_hash(token), terminal, "pos", "", "2026-01-15T10:00:00Z", None))
    store.close()
    start = f"{sys.executable} -m node serve --port {{port}} --data {tmp_path / 'data'}"
    output = run_suite("conformance.py", "--only", "4003", "--token", token, "--start", start)
    assert "1 passed, 0 failed" in output


def test_the_documents_own_javascript_client_works_unmodified() -> None:
    document = SHARED / "protocol" / "websocket-api.md"
    output = run_suite("seed_client.py", "--seed-doc", str(document), "--start", START)
    assert ", 0 failed" in output
