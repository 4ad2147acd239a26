"""The Python client as a subject of the suite: a JSON command a line in, an event a line out."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AsyncExitStack
from typing import Any

import trio

from node.client import Contact, Event, Operation, Progress, Terminal, Waits, connect


def waits() -> Waits:
    """COMANDA_CLIENT_TIMING, in milliseconds: ping, deadline, backoff, backoffMax."""
    timing = {name: ms / 1000 for name, ms in json.loads(os.environ.get("COMANDA_CLIENT_TIMING", "{}")).items()}
    if not timing:
        return Waits()
    return Waits(
        ping=timing["ping"],
        silence=timing["ping"] + timing["deadline"],
        answer=timing["deadline"],
        retry=timing["backoff"],
        first_delay=timing["backoff"],
        longest_delay=timing["backoffMax"],
    )


def tell(event: str, **what: object) -> None:
    print(json.dumps({"event": event, **what}, ensure_ascii=False), flush=True)


def told(event: Event) -> None:
    match event:
        case Progress(operation, state):
            tell("state", key=operation.label, state=state.value, code=operation.code)
        case Contact():
            tell("contact", up=event.up)


class Driver:
    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._stack = AsyncExitStack()
        self._terminal: Terminal | None = None

    @property
    def terminal(self) -> Terminal:
        assert self._terminal is not None, "nothing is open"
        return self._terminal

    async def open(self, command: dict[str, Any]) -> None:
        self._stack = AsyncExitStack()
        self._terminal = await self._stack.enter_async_context(
            connect(
                command["url"],
                command["terminal_id"],
                command["type"],
                token=command.get("token"),
                store=command.get("store"),
                waits=waits(),
            )
        )
        following = trio.CancelScope()
        self._stack.callback(following.cancel)

        events = aiter(self.terminal)

        async def run() -> None:
            with following:
                async for event in events:
                    told(event)

        self._nursery.start_soon(run)

    async def do(self, command: dict[str, Any]) -> None:
        match command["do"]:
            case "open":
                await self.open(command)
            case "write":
                names = [command[name] for name in ("operation", "entity_type", "entity_id", "data")]
                await self.terminal.write(*names, label=command["key"])
            case "shown":
                entity_type = command["entity_type"]
                tell("shown", entity_type=entity_type, entities=self.terminal.entities(entity_type))
            case "pending":
                tell("pending", keys=[keyed(operation) for operation in self.terminal.unanswered])
            case "close":
                await self._stack.aclose()
                tell("closed")
            case unknown:
                raise ValueError(f"unknown command {unknown}")


def keyed(operation: Operation) -> str | None:
    return operation.label


async def main() -> None:
    async with trio.open_nursery() as nursery:
        driver = Driver(nursery)
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            try:
                await driver.do(json.loads(line))
            except Exception as error:
                tell("error", text=f"{type(error).__name__}: {error}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
