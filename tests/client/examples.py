"""The examples of the clients' READMEs as programs, copied word for word. Their time can be moved."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

from tests.patience import PATIENCE_S
from tests.processes import ROOT, missing, node_modules

CLIENT = ROOT / "node" / "client"
PACKAGE = CLIENT / "js"
EXAMPLE = re.compile(r"<!-- (\w+\.\w+) -->\n```\w+\n(.*?)```", re.DOTALL)
MOVED = "an hour has passed"
"""What a program says of it."""


def examples_of(readme: Path) -> dict[str, str]:
    """By file name."""
    return dict(EXAMPLE.findall(readme.read_text(encoding="utf-8")))


@frozen
class Language:
    """ending: of its examples' files. command: what runs such a file, its clock movable."""

    name: str
    ending: str
    readme: Path
    command: Callable[[Path], list[str]]


def _python(file: Path) -> list[str]:
    return [sys.executable, "-m", "tests.client.moved_clock", str(file)]


def _node_js(file: Path) -> list[str]:
    """Where the example imports the package, it gets one that gives `connect` a clock to move."""
    node = shutil.which("node") or missing("Node is needed for the examples in JavaScript")
    package = file.parent / "node_modules" / "comanda-client"
    package.mkdir(parents=True, exist_ok=True)
    shim = (ROOT / "tests" / "client" / "javascript" / "moved_clock.mjs").read_text(encoding="utf-8")
    (package / "index.mjs").write_text(shim.replace("PACKAGE", str(PACKAGE)), encoding="utf-8")
    (package / "file.mjs").write_text(f"export * from '{PACKAGE}/stores/file.js';\n", encoding="utf-8")
    (package / "package.json").write_text(
        '{"exports": {".": "./index.mjs", "./file": "./file.mjs"}}', encoding="utf-8"
    )
    ws = file.parent / "node_modules" / "ws"
    if not ws.is_symlink():
        ws.symlink_to(node_modules() / "ws")
    return [node, str(file)]


PYTHON = Language("python", "py", CLIENT / "README.md", _python)
JAVASCRIPT = Language("javascript", "mjs", PACKAGE / "README.md", _node_js)


class Program:
    """One example as a process. said: the lines that it printed."""

    def __init__(self, process: trio.Process, nursery: trio.Nursery) -> None:
        self.said: list[str] = []
        self._process = process
        self._changed, self._over = trio.Event(), trio.Event()
        nursery.start_soon(self._read)

    @classmethod
    async def start(
        cls, nursery: trio.Nursery, folder: Path, language: Language, name: str, *arguments: str
    ) -> Program:
        """name: of the example, without its ending."""
        file = folder / f"{name}.{language.ending}"
        file.write_text(examples_of(language.readme)[file.name], encoding="utf-8")
        process = await trio.lowlevel.open_process(
            [*language.command(file), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
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

    async def hour(self) -> None:
        """An hour passes for it."""
        passed = self.said.count(MOVED)
        self._process.send_signal(signal.SIGUSR2)
        await self.until(lambda lines: lines.count(MOVED) > passed)

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
