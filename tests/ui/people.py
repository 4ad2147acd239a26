"""Who else is in the store while a page is looked at: terminals that write by the documented messages."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.patience import PATIENCE_S, connect

if TYPE_CHECKING:
    from types import TracebackType

    from tests.processes import NodeProcess

NUMBERS = itertools.count(1)


def asked(node: NodeProcess, path: str, *, post: bool = False) -> Any:
    """What the node answers over HTTP."""
    asking = Request(node.url.replace("ws", "http", 1) + path, method="POST" if post else "GET")
    with urlopen(asking, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def shown(node: NodeProcess, entity_type: str, entity_id: str) -> dict[str, Any]:
    """The fields of an entity as the node shows them."""
    data: dict[str, Any] = asked(node, f"/api/v1/entities/{entity_type}/{entity_id}")["data"]
    return data


class Terminal:
    """A documented terminal with a person at it."""

    def __init__(
        self, node: NodeProcess, terminal_id: str, user: str = "", kind: str = "pos", token: str = ""
    ) -> None:
        self.terminal_id = terminal_id
        query = urlencode({"type": kind, "user_id": user} | ({"token": token} if token else {}))
        self._connection = connect(f"{node.url}/ws/{terminal_id}?{query}", max_size=None)

    def __enter__(self) -> Terminal:
        self._socket = self._connection.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, error, trace)

    def hear(self, kind: str, **fields: object) -> dict[str, Any]:
        """The next message of this type with these members. Rows that come meanwhile are confirmed."""
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(PATIENCE_S))
            if message["type"] == "data_sync":
                self.say("sync_confirmation", operation_id=message["operation"]["id"])
            if message["type"] == kind and all(message.get(name) == value for name, value in fields.items()):
                return message

    def say(self, kind: str, **fields: object) -> None:
        self._socket.send(json.dumps({"type": kind, **fields}))

    def write(
        self, entity_type: str, entity_id: str, data: dict[str, Any] | None, operation: str = "UPDATE", **more: object
    ) -> dict[str, Any]:
        """Its confirmation, or its sync_error."""
        name = f"{self.terminal_id}.{next(NUMBERS)}"
        said = {"id": name, "entity_type": entity_type, "entity_id": entity_id, "operation": operation}
        self.say("data_sync", operation={**said, **({} if data is None else {"data": data}), **more})
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(PATIENCE_S))
            if message["type"] == "data_sync":
                self.say("sync_confirmation", operation_id=message["operation"]["id"])
            if message.get("operation_id") == name:
                return message

    def resolve(self, conflict_id: str, resolution: str, **more: object) -> dict[str, Any]:
        self.say("conflict_resolution", conflict_id=conflict_id, resolution=resolution, **more)
        return self.hear("sync_confirmation", conflict_id=conflict_id)


def conflict(
    node: NodeProcess,
    entity_type: str,
    entity_id: str,
    *,
    before: dict[str, Any],
    first: dict[str, Any],
    second: dict[str, Any],
) -> None:
    """Ana at caixa-1 and Rogério at caixa-2 both change what both had seen, without seeing each other."""
    with Terminal(node, "caixa-1", "Ana") as ana, Terminal(node, "caixa-2", "Rogério") as rogerio:
        assert ana.write(entity_type, entity_id, before, "CREATE")["status"] == "applied"
        assert ana.write(entity_type, entity_id, first, version=2)["status"] == "applied"
        assert rogerio.write(entity_type, entity_id, second, version=2)["status"] == "conflict"
