"""The examples of node/client/README.md, as they are printed: every order is on the kitchen's screen, once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import trio

from tests.client.door import Door, dropping, unchanged
from tests.patience import PATIENCE_S
from tests.processes import ROOT, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


README = (ROOT / "node" / "client" / "README.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- (\w+\.py) -->\n```python\n(.*?)```", README, re.DOTALL))


class Program:
    """One example as a process. said: the lines that it printed."""

    def __init__(self, process: trio.Process, nursery: trio.Nursery) -> None:
        self.said: list[str] = []
        self._process = process
        self._changed, self._over = trio.Event(), trio.Event()
        nursery.start_soon(self._read)

    @classmethod
    async def start(cls, nursery: trio.Nursery, folder: Path, name: str, *arguments: str) -> Program:
        (folder / name).write_text(EXAMPLES[name], encoding="utf-8")
        command = [sys.executable, str(folder / name), *arguments]
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=None
        )
        return cls(process, nursery)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        async for received in self._process.stdout:
            *lines, rest = (rest + received).split(b"\n")
            self.said += [line.decode() for line in lines]
            self._changed.set()
            self._changed = trio.Event()
        await self._process.stdout.aclose()
        self._over.set()
        self._changed.set()

    async def until(self, condition: Callable[[list[str]], Any]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not condition(self.said):
                assert not self._over.is_set(), self.said
                await self._changed.wait()

    async def type(self, line: str) -> None:
        """A line, which it has taken when this returns."""
        said = len(self.said)
        assert self._process.stdin is not None
        await self._process.stdin.send_all(f"{line}\n".encode())
        await self.until(lambda lines: len(lines) > said)

    async def leave(self) -> None:
        """No more is typed, and it ends well."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        assert await self._process.wait() == 0
        await self._over.wait()

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()
        await self._over.wait()


def on_screen(lines: list[str]) -> dict[str, list[dict[str, Any]]]:
    """What the kitchen's screen shows."""
    return json.loads(lines[-1])["pedidos"] if lines else {}


async def test_every_order_is_on_the_kitchens_screen_once(tmp_path: Path, nursery: trio.Nursery) -> None:
    node = NodeProcess(tmp_path / "data").start()
    door = Door(node.port)
    await nursery.start(door.serve)
    url, store = f"ws://127.0.0.1:{door.port}", str(tmp_path / "waiter.db")
    kitchen = await Program.start(nursery, tmp_path, "kitchen.py", node.url)
    waiter = await Program.start(nursery, tmp_path, "waiter.py", url, store)
    await waiter.type("1 feijoada")
    await waiter.type("2 moqueca")
    await kitchen.until(lambda lines: len(on_screen(lines)) == 2)

    node.kill()
    await waiter.type("3 caldo")
    node.start()
    await kitchen.until(lambda lines: len(on_screen(lines)) == 3)

    door.shut = True  # the cable is out
    await door.cut()
    await waiter.type("4 tapioca")
    door.shut = False
    await kitchen.until(lambda lines: len(on_screen(lines)) == 4)

    door.to_node = dropping("data_sync")  # it sends, and is switched off before anything arrives
    sent = door.sent["data_sync"]
    await waiter.type("5 vatapá")
    await waiter.type("6 acarajé")
    await door.until(lambda: door.sent["data_sync"] >= sent + 1)
    await waiter.kill()
    door.to_node = unchanged
    waiter = await Program.start(nursery, tmp_path, "waiter.py", url, store)
    await waiter.leave()
    assert waiter.said == ["tudo entregue"]
    await kitchen.until(lambda lines: len(on_screen(lines)) == 6)

    shown = on_screen(kitchen.said)
    assert {name: [item["name"] for item in items] for name, items in shown.items()} == {
        "mesa-1": ["feijoada"],
        "mesa-2": ["moqueca"],
        "mesa-3": ["caldo"],
        "mesa-4": ["tapioca"],
        "mesa-5": ["vatapá"],
        "mesa-6": ["acarajé"],
    }
    await kitchen.kill()
    node.end()


async def test_the_example_of_a_test_passes(tmp_path: Path, autojump_clock: object) -> None:
    printed: dict[str, Any] = {}
    exec(EXAMPLES["test_waiter.py"], printed)
    (test,) = [value for name, value in printed.items() if name.startswith("test_")]
    await test(tmp_path, autojump_clock)
