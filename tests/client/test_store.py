"""The queue on disk, and the synchronous twin that scripts have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from node.client import LockRefused, State, StoreError, connect, sync
from tests.patience import PATIENCE_S
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = "ws://127.0.0.1:1"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("node") / "data").start()
    yield process
    process.end()


async def test_what_was_written_is_there_when_the_program_starts_again(tmp_path: Path) -> None:
    store = tmp_path / "queue.db"
    async with connect(NOBODY, "w-1", "waiter", store=store) as waiter:
        made = [await waiter.create("orders", f"mesa-{n}", {"n": n}, label=f"l{n}") for n in range(3)]
        refusals = [float("nan"), "\ud83d", {1, 2}]
        for refused in refusals:
            with pytest.raises((ValueError, TypeError)):
                await waiter.create("orders", "mesa-9", {"n": refused})
    async with connect(NOBODY, "w-1", "waiter", store=store) as waiter:
        assert [(o.id, o.label, o.message) for o in waiter.unanswered] == [(o.id, o.label, o.message) for o in made]
        assert waiter.entities("orders") == {f"mesa-{n}": {"n": n} for n in range(3)}
        assert {operation.state for operation in waiter.unanswered} == {State.SAVED}


async def test_a_queue_is_one_terminals_and_one_programs(tmp_path: Path) -> None:
    store = tmp_path / "queue.db"
    async with connect(NOBODY, "w-1", "waiter", store=store):
        with pytest.raises(StoreError):
            async with connect(NOBODY, "w-1", "waiter", store=store):
                pass
    with pytest.raises(StoreError, match="w-1"):
        async with connect(NOBODY, "w-2", "waiter", store=store):
            pass
    with pytest.raises(StoreError):
        async with connect(NOBODY, "w-1", "waiter", store=tmp_path):
            pass


async def test_what_the_program_changes_afterwards_is_not_written(tmp_path: Path) -> None:
    async with connect(NOBODY, "w-1", "waiter") as waiter:
        data = {"items": [{"id": "1"}]}
        made = await waiter.create("orders", "mesa-1", data)
        data["items"].append({"id": "2"})
        waiter.entities("orders")["mesa-1"]["items"].clear()
        assert made.message["operation"]["data"] == waiter.entity("orders", "mesa-1") == {"items": [{"id": "1"}]}


def test_a_script_writes_waits_and_locks(node: NodeProcess, tmp_path: Path) -> None:
    with (
        sync.connect(node.url, "script-1", "pos", store=tmp_path / "a.db") as script,
        sync.connect(node.url, "script-2", "pos", store=tmp_path / "b.db") as other,
    ):
        order = script.create("orders", "mesa-1", {"status": "pending"})
        assert script.answer(order, timeout_s=PATIENCE_S).state is State.CONFIRMED
        with script.lock("orders", "mesa-1") as lock:
            assert script.holds(lock)
            with pytest.raises(LockRefused, match="script-1"), other.lock("orders", "mesa-1"):
                pass
        note = script.update("orders", "mesa-1", {"note": "after the lock"})
        assert script.answer(note, timeout_s=PATIENCE_S).state is State.CONFIRMED
        with other.lock("orders", "mesa-1"):
            pass
        events = iter(script)  # to a new terminal comes meanwhile what there was before it, its own order as well
        while script.entity("orders", "mesa-1") != {"status": "pending", "note": "after the lock"}:
            next(events)


def test_a_script_hears_what_happens(node: NodeProcess) -> None:
    with sync.connect(node.url, "script-3", "pos") as script, sync.connect(node.url, "script-4", "pos") as other:
        events = iter(script)
        other.create("products", "cafe", {"price": 5})
        while script.entity("products", "cafe") is None:
            next(events)


def test_a_script_that_cannot_begin_is_told_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError), sync.connect(NOBODY, "w-1", "pos", store=tmp_path):
        pass
    with sync.connect(NOBODY, "w-1", "pos") as script:
        order = script.create("orders", "mesa-1", {})
        with pytest.raises(TimeoutError):
            script.answer(order, timeout_s=0)
        with pytest.raises(ValueError, match="saved"):
            script.retry(order)


async def test_a_program_that_fails_is_not_held_up(tmp_path: Path) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(ZeroDivisionError)):
        async with connect(NOBODY, "w-1", "waiter"):
            await trio.lowlevel.checkpoint()
            raise ZeroDivisionError
