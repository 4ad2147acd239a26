"""A client under test as a process: JSON lines in and out, as README.md says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

from tests.conformance.document_client import document_text, source
from tests.processes import ROOT, missing, node_modules

Event = dict[str, Any]

TIMING = {"ping": 250, "deadline": 1_500, "backoff": 20, "backoffMax": 200}
"""Milliseconds: between two pings; for an answer, before it counts as missing; the first and the longest delay before
dialling again."""

DRIVERS = ROOT / "tests" / "client" / "drivers"
FINAL = ("confirmed", "conflict", "refused")


@frozen
class Client:
    """A kind of client. command: how its driver is started, in a folder of its own."""

    name: str
    command: Callable[[Path], list[str]]


def _python(folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.client.drivers.python"]


def _node_js() -> str:
    return shutil.which("node") or missing("Node is needed for the clients in JavaScript")


def _javascript(folder: Path) -> list[str]:
    return [_node_js(), str(DRIVERS / "javascript.mjs"), str(node_modules() / "ws")]


def _documented(folder: Path) -> list[str]:
    code, _ = source(document_text())
    (folder / "class.js").write_text(code)
    return [_node_js(), str(DRIVERS / "documented.mjs"), str(node_modules() / "ws"), str(folder / "class.js")]


PYTHON, JAVASCRIPT = Client("python", _python), Client("javascript", _javascript)
DOCUMENTED = Client("documented", _documented)
OURS = (PYTHON, JAVASCRIPT)


class Driver:
    """One process. states: key -> every state that it told, in order."""

    def __init__(self, process: trio.Process, nursery: trio.Nursery, patience: float) -> None:
        self.patience = patience
        self.states: dict[str, list[str]] = {}
        self.events: list[Event] = []
        self._process = process
        self._changed, self._over = trio.Event(), trio.Event()
        nursery.start_soon(self._read)

    @classmethod
    async def start(cls, client: Client, nursery: trio.Nursery, folder: Path, patience: float) -> Driver:
        environment = {**os.environ, "COMANDA_CLIENT_TIMING": json.dumps(TIMING)}
        process = await trio.lowlevel.open_process(
            client.command(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment
        )
        return cls(process, nursery, patience)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        async for received in self._process.stdout:
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                event = json.loads(line)
                self.events.append(event)
                if event["event"] == "state":
                    self.states.setdefault(event["key"], []).append(event["state"])
            self._changed.set()
            self._changed = trio.Event()
        await self._process.stdout.aclose()
        self._over.set()

    async def do(self, what: str, **words: object) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all((json.dumps({"do": what, **words}) + "\n").encode())

    async def until(self, condition: Callable[[], object]) -> None:
        """Looked at whenever it tells something. Raises trio.TooSlowError, with the last of what it told."""
        try:
            with trio.fail_after(self.patience):
                while not condition():
                    await self._changed.wait()
        except trio.TooSlowError:
            raise trio.TooSlowError(f"the last it told: {self.events[-5:]}") from None

    async def asked(self, what: str, **words: object) -> Event:
        """What it answers to a question that is named as its answer."""
        since = len(self.events)
        await self.do(what, **words)
        found: list[Event] = []

        def answered() -> bool:
            found[:] = [event for event in self.events[since:] if event["event"] == what]
            return bool(found)

        await self.until(answered)
        return found[0]

    async def shown(self, entity_type: str) -> dict[str, dict[str, Any]]:
        entities: dict[str, dict[str, Any]] = (await self.asked("shown", entity_type=entity_type))["entities"]
        return entities

    def settled(self, keys: list[str]) -> bool:
        return all(self.states.get(key, [""])[-1] in FINAL for key in keys)

    async def close(self) -> None:
        """As a program that ends well."""
        since = len(self.events)
        await self.do("close")
        await self.until(lambda: any(event["event"] == "closed" for event in self.events[since:]))

    async def kill(self) -> None:
        """As by a power cut."""
        self._process.kill()
        await self._process.wait()
        await self._over.wait()
