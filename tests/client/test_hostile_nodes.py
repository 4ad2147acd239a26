"""Every client against every hostile node: was every order kept, none doubled, is what it shows what the node shows?

COMANDA_CLIENTS=all plays all scenarios, and the protocol document's own client beside ours; else a few are played.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from tests.client.door import Door
from tests.client.driver import DOCUMENTED, OURS, Client
from tests.client.scenarios import SCENARIOS, Scene, Verdict, numbers
from tests.conformance.document_client import document_text
from tests.patience import PATIENCE_S
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALL = os.environ.get("COMANDA_CLIENTS") == "all"
PLAYED = [name for name, scenario in SCENARIOS.items() if ALL or scenario.usual]

GIVES_UP = {
    "confirmation_lost": "it never learns that its order was stored",
    "operation_lost": "an operation that is lost on an open connection is never sent again",
    "half_open": "it does not notice, and what it sent meanwhile is lost",
    "flapping": "what it sent and was not answered is not sent again",
    "nobody_there": "it stops after five tries",
    "token_refused": "its queue ends with its program",
    "overtaken": "it shows its own write, whatever came of it",
    "not_stored": "it does not know `retry`",
    "not_allowed": "a refused write stays on its screen",
    "anothers_answers": "an operation that is lost on an open connection is never sent again",
    "node_killed": "what it sent and was not answered is not sent again",
    "older_database": "it stops after five tries, and shows what the node lost",
    "program_killed": "it keeps nothing on disk",
    "program_killed_unconfirmed": "it keeps nothing on disk",
}
"""Where the protocol document's own client may fail, and why."""

DOCUMENTED_S = 5.0
"""How long it is waited for where it may fail, as it does not say that it has given up."""


@pytest.fixture
def document() -> str:
    """Skips where it is not there."""
    return document_text()


GAVE_UP = Verdict(kept=False, once=True, shown=False)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("node") / "data").start()
    yield process
    process.end()


async def play(name: str, client: Client, shared: NodeProcess, folder: Path, patience: float = PATIENCE_S) -> Verdict:
    """One scenario to its end. Raises trio.TooSlowError, in a group."""
    scenario = SCENARIOS[name]
    node = NodeProcess(folder / "data").start() if scenario.alone else shared
    try:
        async with trio.open_nursery() as nursery:
            door = Door(node.port, patience)
            await nursery.start(door.serve)
            called = f"{client.name}-{next(numbers)}"
            scene = Scene(called, client, node, door, folder, nursery)
            try:
                await scenario.run(scene)
                verdict = await scene.verdict()
            finally:
                with trio.CancelScope(shield=True):
                    await scene.end()
            nursery.cancel_scope.cancel()
    finally:
        if scenario.alone:
            node.end()
    return verdict


def cases() -> Iterator[object]:
    for name in PLAYED:
        for client in OURS:
            yield pytest.param(name, client, id=f"{name} {client.name}")


@pytest.mark.walk(1 if ALL else 2)
@pytest.mark.parametrize(("name", "client"), list(cases()))
async def test_no_order_is_lost_or_doubled_and_the_screen_is_right(
    name: str, client: Client, shared: NodeProcess, tmp_path: Path
) -> None:
    verdict = await play(name, client, shared, tmp_path)
    assert verdict.good, f"{SCENARIOS[name].says}: {verdict}"


@pytest.mark.usefixtures("document")
async def test_the_documents_own_client_beside_them(
    shared: NodeProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prints what it keeps, doubles and shows."""
    table = {}
    for name in [*SCENARIOS] if ALL else ("honest", "program_killed"):
        folder = tmp_path / name
        folder.mkdir()
        try:
            patience = DOCUMENTED_S if name in GIVES_UP else PATIENCE_S
            table[name] = await play(name, DOCUMENTED, shared, folder, patience)
        except* trio.TooSlowError:
            table[name] = GAVE_UP
    with capsys.disabled():
        print(f"\n{'the documented client':<28} kept  once  shown")
        for name, verdict in table.items():
            marks = ["yes" if held else "NO" for held in (verdict.kept, verdict.once, verdict.shown)]
            print(f"{name:<28} {marks[0]:<5} {marks[1]:<5} {marks[2]:<5} {GIVES_UP.get(name, '')}")
    assert {name for name, verdict in table.items() if not verdict.good} <= GIVES_UP.keys()
    assert not table["program_killed"].good
