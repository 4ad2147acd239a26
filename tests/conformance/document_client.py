"""The protocol document's own JavaScript client, read from the document at run time and run under Node."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.patience import PATIENCE_S
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

BESIDE = ROOT.parent / "shared" / "protocol" / "websocket-api.md"
Event = dict[str, Any]


def document_text() -> str:
    """The protocol document; skips where it is not there."""
    path = Path(os.environ.get("COMANDA_PROTOCOL") or BESIDE)
    if not path.is_file():
        pytest.skip("the protocol document is not beside this checkout; COMANDA_PROTOCOL may name it")
    return path.read_text(encoding="utf-8")


def source(document: str) -> tuple[str, str]:
    """The client's class, and the lines that show how it is used."""
    for block in re.findall(r"```javascript\n(.*?)```", document, re.DOTALL):
        if "class RealtimeWebSocketClient" in block:
            code, mark, usage = block.partition("// Uso")
            return code, mark + usage
    raise LookupError("the document holds no class RealtimeWebSocketClient")


class DocumentClients:
    """Instances of that class in one Node process. events: what they did and heard, in order."""

    def __init__(self, process: trio.Process) -> None:
        self.events: list[Event] = []
        self._process = process
        self._changed, self._read_all = trio.Event(), trio.Event()

    @classmethod
    async def start(
        cls, nursery: trio.Nursery, document: str, port: int, modules: Path, folder: Path
    ) -> DocumentClients:
        """port: of the node to dial. modules: where npm's `ws` is. folder: for the class and its usage."""
        code, usage = source(document)
        (folder / "class.js").write_text(code)
        (folder / "usage.js").write_text(usage)
        runner = ROOT / "tests" / "conformance" / "document_client.mjs"
        command = ["node", str(runner), str(folder / "class.js"), str(folder / "usage.js"), str(port)]
        process = await trio.lowlevel.open_process(
            [*command, str(modules / "ws")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        clients = cls(process)
        nursery.start_soon(clients._read)
        return clients

    async def _read(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        async for received in self._process.stdout:
            *lines, rest = (rest + received).split(b"\n")
            self.events += [json.loads(line) for line in lines]
            self._changed.set()
            self._changed = trio.Event()
        await self._process.stdout.aclose()
        self._read_all.set()

    async def do(self, command: str, **words: object) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all((json.dumps({"do": command, **words}) + "\n").encode())

    async def heard(self, event: str, since: int = 0, **fields: object) -> Event:
        """The first event of this name with these fields, from number `since` on. Raises trio.TooSlowError."""
        return await self.first(lambda found: found["event"] == event and fields.items() <= found.items(), since)

    async def first(self, wanted: Callable[[Event], bool], since: int = 0) -> Event:
        """Raises trio.TooSlowError."""
        with trio.fail_after(PATIENCE_S):
            while True:
                for event in self.events[since:]:
                    if wanted(event):
                        return event
                since = len(self.events)
                await self._changed.wait()

    async def state(self, client: str) -> Event:
        """open: whether it is connected. queue: how many messages wait."""
        since = len(self.events)
        await self.do("state", id=client)
        return await self.heard("state", since, id=client)

    async def passes(
        self, author: str, reader: str, kind: str, entity: tuple[str, str], data: dict[str, Any], **options: object
    ) -> dict[str, Any]:
        """author makes an operation; what reader applies. Raises trio.TooSlowError."""
        since = len(self.events)
        await self.do("sync", id=author, args=[*entity, kind, data, options])

        def applied(event: Event) -> bool:
            operation = event.get("operation", {})
            mine = (operation.get("entity_type"), operation.get("entity_id")) == entity
            return event["event"] == "apply" and event["id"] == reader and mine and operation["operation"] == kind

        found: dict[str, Any] = (await self.first(applied, since))["operation"]
        return found

    async def end(self) -> None:
        """Close its input, on which it ends."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        await self._process.wait()
        await self._read_all.wait()
