"""Every client against every hostile node: was every order kept, none doubled, is what it shows what the node shows?

COMANDA_CLIENTS=all plays all scenarios, and the protocol document's own client beside ours; else a few are played.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from tests.client.door import Door
from tests.client.driver import OURS, Client
from tests.client.scenarios import SCENARIOS, Scene, Verdict, numbers
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALL = os.environ.get("COMANDA_CLIENTS") == "all"
PLAYED = [name for name, scenario in SCENARIOS.items() if ALL or scenario.usual]

DOCUMENTED_S = 5.0
"""How long the document's client, which gives up, is waited for."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("node") / "data").start()
    yield process
    process.end()


async def play(name: str, client: Client, shared: NodeProcess, folder: Path, **more: float) -> Verdict:
    """One scenario to its end."""
    scenario = SCENARIOS[name]
    node = NodeProcess(folder / "data").start() if scenario.alone else shared
    try:
        async with trio.open_nursery() as nursery:
            door = Door(node.port)
            await nursery.start(door.serve)
            called = f"{client.name}-{next(numbers)}"
            scene = Scene(called, client, node, door, folder, nursery, **more)
            try:
                await scenario.run(scene)
                verdict = await scene.verdict()
            finally:
                with trio.CancelScope(shield=True):
                    await scene.driver.kill()
            nursery.cancel_scope.cancel()
    finally:
        if scenario.alone:
            node.end()
    return verdict


def cases() -> Iterator[object]:
    for name in PLAYED:
        for client in OURS:
            yield pytest.param(name, client, id=f"{name} {client.name}")


@pytest.mark.parametrize(("name", "client"), list(cases()))
async def test_no_order_is_lost_or_doubled_and_the_screen_is_right(
    name: str, client: Client, shared: NodeProcess, tmp_path: Path
) -> None:
    verdict = await play(name, client, shared, tmp_path)
    assert verdict.good, f"{SCENARIOS[name].says}: {verdict}"
