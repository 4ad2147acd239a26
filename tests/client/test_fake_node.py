"""The whole client against the node's real core, in simulated time: evenings of everything that breaks."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import trio

from node.client import Contact, LockRefused, Progress, State
from node.client.testing import FakeNode, fake_node
from tests.scenarios.seeds import EXAMPLES, FIRST

if TYPE_CHECKING:
    from pathlib import Path

    from node.client import Terminal

TYPES = ("orders", "products", "customers")
HOURS, ORDERS, BREAKS = 1, 12, 12
NAMES = ("caixa-1", "garcom-1", "garcom-2")


async def breaks(node: FakeNode, rng: random.Random) -> None:
    """One thing goes wrong for a while, or for good."""
    name = rng.choice(NAMES)
    match rng.choice(["cut", "cable", "freeze", "kill", "refuse", "lose", "disk"]):
        case "cut":
            node.cut(name)
        case "cable":
            node.pull_cable(name)
            await trio.sleep(rng.choice([3, 60, 3600]))
            node.plug_cable(name)
        case "freeze":
            node.freeze(name)
        case "kill":
            node.kill()
            await trio.sleep(rng.choice([1, 300]))
            node.start()
        case "refuse":
            node.refuse(name, rng.choice([1013, 4004, 1011, 4005]), times=3)
            node.cut(name)
        case "lose":
            node.lose(name, "sync_confirmation", times=3)
        case "disk":
            node.fill_disk()
            await trio.sleep(30)
            node.fill_disk(full=False)


async def works(terminal: Terminal, rng: random.Random, wrote: list[str]) -> None:
    """One person's evening. wrote: ids of the orders that were taken down."""
    for number in range(ORDERS):
        await trio.sleep(rng.expovariate(1 / (HOURS * 3600 / ORDERS)))
        order = f"{terminal.terminal_id}-{number}"
        await terminal.create("orders", order, {"status": "pending", "note": order})
        wrote.append(order)
        if wrote and rng.random() < 0.7:
            await terminal.update("orders", rng.choice(wrote), {"status": rng.choice(["ready", "served"])})
        if terminal.terminal_id.startswith("caixa"):
            await terminal.update("products", "guarana", {"stock": {"$inc": -1}})


@pytest.mark.parametrize("seed", range(FIRST, FIRST + max(EXAMPLES // 10, 1)))
async def test_after_an_evening_every_order_is_there_and_every_screen_is_right(
    tmp_path: Path, autojump_clock: object, seed: int
) -> None:
    rng = random.Random(seed)
    wrote: list[str] = []
    async with (
        fake_node(tmp_path, seed=seed) as node,
        node.terminal("caixa-1", "pos") as till,
        node.terminal("garcom-1", "waiter") as lia,
        node.terminal("garcom-2", "waiter") as rui,
    ):
        everybody = (till, lia, rui)
        async with trio.open_nursery() as nursery:
            for terminal in everybody:
                nursery.start_soon(works, terminal, rng, wrote)
            for _ in range(BREAKS):
                await trio.sleep(rng.expovariate(BREAKS / (HOURS * 3600)))
                await breaks(node, rng)
        for terminal in everybody:
            for operation in terminal.unanswered:
                await terminal.answer(operation)
        await trio.sleep(60)
        assert set(wrote) == node.entities("orders").keys()
        assert node.entities("products")["guarana"]["stock"] == -ORDERS
        for terminal in everybody:
            for entity_type in TYPES:
                assert terminal.entities(entity_type) == node.entities(entity_type), (
                    terminal.terminal_id,
                    entity_type,
                )


async def test_what_only_an_older_database_lacks_is_taken_off_the_screen(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with fake_node(tmp_path) as node, node.terminal("caixa-1", "pos") as till:
        await till.answer(await till.create("orders", "mesa-1", {"status": "pending"}))
        copy = node.backup()
        await till.answer(await till.create("orders", "mesa-2", {"status": "pending"}))
        node.pull_cable("caixa-1")
        await till.create("orders", "mesa-3", {"status": "pending"})
        node.set_back(copy)
        node.plug_cable("caixa-1")
        await trio.sleep(120)
        assert till.entities("orders").keys() == node.entities("orders").keys() == {"mesa-1", "mesa-3"}


async def test_after_4003_nobody_dials_until_somebody_resumes(tmp_path: Path, autojump_clock: object) -> None:
    async with fake_node(tmp_path) as node, node.terminal("caixa-1", "pos") as till:
        node.refuse("caixa-1", 4003, times=1)
        async for event in till:
            if isinstance(event, Contact):
                assert (event.up, event.code, event.stays_away) == (False, 4003, True)
                break
        order = await till.create("orders", "mesa-1", {"status": "pending"})
        await trio.sleep(3600)
        assert order.state is State.SAVED
        till.reconnect("another token")
        await till.answer(order)
        assert order.state is State.CONFIRMED


async def test_a_lock_is_held_until_it_expires_and_its_end_is_told(tmp_path: Path, autojump_clock: object) -> None:
    async with (
        fake_node(tmp_path) as node,
        node.terminal("caixa-1", "pos") as till,
        node.terminal("garcom-1", "waiter") as lia,
    ):
        async with till.lock("orders", "mesa-1", timeout_s=60) as lock:
            assert till.holds(lock)
            with pytest.raises(LockRefused) as refused:
                async with lia.lock("orders", "mesa-1"):
                    pass
            assert refused.value.lock.locked_by == "caixa-1"
            order = await lia.create("orders", "mesa-1", {"status": "pending"})
            assert (await lia.answer(order)).code == 4009
            assert order.kept
            assert lia.entities("orders") == {}
            await trio.sleep(61)
            assert not till.holds(lock)
            assert lock.state == "lost"
        await lia.retry(order)
        assert (await lia.answer(order)).state is State.CONFIRMED


async def test_a_row_is_confirmed_when_the_program_asks_for_what_comes_after_it(
    tmp_path: Path, autojump_clock: object
) -> None:
    """What a terminal wrote before it took a row was written without having seen it."""
    async with (
        fake_node(tmp_path) as node,
        node.terminal("caixa-1", "pos") as till,
        node.terminal("caixa-2", "pos") as other,
    ):
        events = aiter(other)
        for name in ("eva", "ana"):
            await till.answer(await till.create("customers", name, {"phone": "1"}))
        while other.entity("customers", "ana") is None:
            await anext(events)
        unseen = await other.update("customers", "ana", {"phone": "2"})  # the row is taken, and not confirmed yet
        await other.answer(unseen)
        assert unseen.state is State.CONFLICT


async def test_each_operation_tells_its_states_in_order(tmp_path: Path, autojump_clock: object) -> None:
    async with fake_node(tmp_path) as node, node.terminal("garcom-1", "waiter") as lia:
        events, told = aiter(lia), []
        fine = await lia.create("orders", "mesa-1", {"status": "pending"}, label="fine")
        refused = await lia.create("products", "x", {"price": 1}, label="refused")
        while not (fine.state.final and refused.state.final):
            event = await anext(events)
            if isinstance(event, Progress):
                told.append((event.operation.label, event.state.value))
        assert [state for label, state in told if label == "fine"] == ["saved", "sent", "confirmed"]
        assert [state for label, state in told if label == "refused"] == ["saved", "sent", "refused"]
        assert lia.entities("products") == node.entities("products") == {}
