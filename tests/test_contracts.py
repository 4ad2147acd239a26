"""Each contract on imports is held to an import that breaks it, planted in a copy of the tree.

A contract that names a module that has moved, or one that allows the way round, would pass for ever. `PLANTS` must
therefore break every contract of both files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.__main__ import CONTRACTS, ROOT

if TYPE_CHECKING:
    from pathlib import Path

FILES = ("pyproject.toml", ".importlinter-run-time.toml")
PACKAGES = ("node", "storage", "strategies", "crdt")

LAYERS = "layers: node -> storage -> strategies -> crdt, never back"
ENGINE = "the engine has one importer"
TRIO_WEBSOCKET = "trio_websocket has one importer"
WSPROTO = "wsproto stays with the sockets"
PSYCOPG = "psycopg stays with the sink and the hubs"
COREDIS = "coredis stays with one engine of the hubs"
CRYPTOGRAPHY = "cryptography stays with keys and certificates"
STORAGE = "storage: audit above sqlite above the values"
CIRCLES = "no circles, types counted"
SIMULATOR = "the node does not know its simulator"
CONFORMANCE = "the conformance suite judges the node from outside"
CLIENT = "the client loads nothing of the node"
DEPARTMENTS = "departments of the core"
PURE = "what decides reaches no disk, socket, clock or dice, even by way of others"

TYPES = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    "

PLANTS = [
    (LAYERS, "strategies/policy.py", "from storage import records"),
    (LAYERS, "storage/sqlite/reader.py", f"{TYPES}from node.core.core import Core"),
    (ENGINE, "crdt/records.py", "import y_py"),
    (ENGINE, "node/runtime/app.py", "from pycrdt import Doc"),
    (TRIO_WEBSOCKET, "node/runtime/api/routes.py", "import trio_websocket"),
    (WSPROTO, "node/runtime/net/listener.py", "from wsproto import WSConnection"),
    (PSYCOPG, "node/runtime/realm.py", "import psycopg"),
    (COREDIS, "node/runtime/hubs.py", "import coredis"),
    (CRYPTOGRAPHY, "node/core/keyring.py", "import cryptography"),
    (STORAGE, "storage/sqlite/reader.py", "from storage.audit import chain_walk"),
    (STORAGE, "storage/answers.py", f"{TYPES}from storage.sqlite.reader import Reader"),
    (STORAGE, "storage/packed.py", "from storage import records"),
    (STORAGE, "storage/cache.py", ""),  # a new file has to say where it stands
    (CIRCLES, "crdt/update_format.py", f"{TYPES}from crdt.document import Document"),
    (CIRCLES, "strategies/conflict.py", f"{TYPES}from strategies.view import View"),
    (CIRCLES, "storage/sqlite/statements.py", "from storage.sqlite import queries"),
    (CIRCLES, "node/wire/numbers.py", f"{TYPES}from node.wire.codec import CodecLimits"),
    (CIRCLES, "node/simulation/people.py", f"{TYPES}from node.simulation.evening import Evening"),
    (SIMULATOR, "node/runtime/app.py", "from node.simulation import runner"),
    (CONFORMANCE, "node/conformance/runner.py", "from node.wire.codec import ID"),
    (CLIENT, "node/client/sync.py", "from node.wire import codec"),
    (CLIENT, "node/client/values.py", f"{TYPES}from node.screen import Screen"),
    (DEPARTMENTS, "node/core/log/ring.py", f"{TYPES}from node.core.delivery.delivery import Delivery"),
    (DEPARTMENTS, "node/core/helpers.py", ""),  # a new file has to say where it stands
    (PURE, "crdt/hlc.py", "import time"),
    (PURE, "node/client/core.py", "import random"),
    (PURE, "node/core/links/link.py", "from storage.sqlite.history_reader import HistoryReader"),  # by three others
    (PURE, "node/wire/links/states.py", "from node.runtime.net import deflate"),
    (PURE, "node/hubs/ownership.py", "from node.hubs import postgres"),
    (PURE, "storage/records.py", "from storage.sqlite.backup import write_copy"),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("tree")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=lambda _, names: {n for n in names if not _is_source(n)})
    for name in FILES:
        shutil.copyfile(ROOT / name, copy / name)
    return copy


def _is_source(name: str) -> bool:
    return name.endswith(".py") or ("." not in name and name != "__pycache__")


def lint(tree: Path) -> tuple[set[str], str]:
    """The contracts that are broken, and everything that import-linter says."""
    command = [sys.executable, *CONTRACTS, "--no-logo", "--no-cache"]
    wide = {**os.environ, "COLUMNS": "200"}  # so that no name is broken over two lines
    run = subprocess.run(command, cwd=tree, env=wide, capture_output=True, text=True, check=False)
    broken = set(re.findall(r"^(.+) BROKEN", run.stdout, re.MULTILINE))
    assert run.returncode == bool(broken), run.stdout + run.stderr
    return broken, run.stdout


def test_the_tree_as_it_is_keeps_every_contract(tree: Path) -> None:
    broken, told = lint(tree)
    assert not broken, told


def test_every_contract_is_held_to_an_import_that_breaks_it() -> None:
    named = set()
    for file in FILES:
        options = tomllib.loads((ROOT / file).read_text())["tool"]["importlinter"]
        named |= {contract["name"] for contract in options["contracts"]}
    assert {contract for contract, _, _ in PLANTS} == named


def rounds() -> list[list[tuple[str, str, str]]]:
    """The plants, no two of a round for one contract: what that one then says is of its own plant."""
    found: list[list[tuple[str, str, str]]] = []
    for plant in PLANTS:
        for chosen in found:
            if not any(plant[0] == contract or plant[1] == path for contract, path, _ in chosen):
                chosen.append(plant)
                break
        else:
            found.append([plant])
    return found


def said_of(contract: str, told: str) -> str:
    """What import-linter says of one broken contract."""
    head, _, said = told.partition("Broken contracts")[2].partition(f"\n{contract}\n-")
    assert said, head
    return re.split(r"^.+\n-{3,}$", said.partition("\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("plants", rounds(), ids=[f"round {number}" for number in range(len(rounds()))])
def test_an_import_that_breaks_a_contract_is_named(tree: Path, plants: list[tuple[str, str, str]]) -> None:
    before = {path: (tree / path).read_text() if planted else None for _, path, planted in plants}
    try:
        for _, path, planted in plants:
            (tree / path).write_text(f"{before[path] or ''}\n\n{planted}\n")
        broken, told = lint(tree)
    finally:
        for path, text in before.items():
            if text is None:
                (tree / path).unlink()
            else:
                (tree / path).write_text(text)
    for contract, path, _ in plants:
        assert contract in broken
        assert re.search(rf"\b{(tree / path).stem}\b", said_of(contract, told)), (contract, path, told)
