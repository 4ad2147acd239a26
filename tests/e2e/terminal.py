"""A documented JSON terminal over a real socket: what it keeps, what it sends again, what it shows, what it was told.

It has the plain client's screen (node/screen.py), confirms each row, writes on while it is offline, and after a
reconnect sends again what nothing was heard of, applied once more.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import trio

from crdt.hlc import iso
from node.runtime.net.client import ConnectError, connect
from node.screen import Screen
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    import random

    from node.runtime.net.client import ClientConnection
    from tests.processes import NodeProcess

TYPES = ("orders", "products", "customers", "cashier_operations")
WRITES = {"pos": TYPES, "waiter": ("orders", "customers")}
ENTITIES = [f"e-{n}" for n in range(3)]
"""Shared entities of each type, so that everybody writes to the same ones."""

SELDOM = [f"s-{n}" for n in range(30)]
"""Entities that are written now and then, so that what was missed of one is not soon made up for."""

SURE_S = 0.2
"""How long before its end a lease is released for the terminal to insist that it still had it."""

REFUSALS = {4007, 4009, 4010}
"""What an operation or a resolution may be refused with here: deleted or unknown, locked, frozen or closed."""

LOCK_REFUSALS = {4008, 4009}
"""What a release may be refused with: given back or lost already, expired."""

CLOSINGS = {1000, 1001, 1006, 4004}
"""Ways a terminal's connection may end: it went, the node stops, the node was killed, it is still there."""


@dataclass
class Grant:
    """A lease a terminal was granted. asked, got, until: trio's time; until: as long as it surely had it."""

    terminal: str
    key: tuple[str, str]
    lock_id: str
    authority: tuple[str, int]
    counter: int
    scope: str
    node: str
    asked: float
    got: float
    until: float

    @property
    def cut_off(self) -> bool:
        """Whether a node that did not reach the authority prolonged a lease of it, under the token it knew."""
        return self.scope != "store" and self.node != self.authority[0]


class Terminal:
    """keeps: remembers its screen over a reconnect, else it asks for everything again (`?sync=full`). confirms: says
    so for each row, else its library's pongs do. skew_ms: how far its clock is ahead.

    kept: (node, operation id) of writes that were refused, which the node says it keeps. wrong: what it was told and
    should not have been. journal: every message and event, as (time, direction, what).
    """

    def __init__(
        self,
        name: str,
        kind: str,
        home: NodeProcess,
        rng: random.Random,
        *,
        keeps: bool,
        confirms: bool,
        skew_ms: int,
    ) -> None:
        self.name, self.kind, self.home, self.skew_ms = name, kind, home, skew_ms
        self.keeps, self.confirms = keeps, confirms
        self.screen = Screen()
        self.unanswered: dict[str, dict[str, Any]] = {}
        self.deciding: dict[str, dict[str, Any]] = {}
        self.answered: dict[str, dict[str, Any]] = {}
        self.refused: set[str] = set()
        self.kept: set[tuple[str, str]] = set()
        self.confirmed: list[dict[str, Any]] = []
        self.conflicts: dict[str, dict[str, Any]] = {}
        self.grants: list[Grant] = []
        self.wrong: list[str] = []
        self.asleep = False
        self.journal: list[tuple[float, str, object]] = []
        self._connection: ClientConnection | None = None
        self._scope = trio.CancelScope()
        self._asked: dict[tuple[str, str], tuple[float, float]] = {}
        self._releasing: dict[str, Grant] = {}
        self._numbers = itertools.count()
        self._rng = rng

    # ------------------------------------------------------------------ coming and going

    @property
    def online(self) -> bool:
        return self._connection is not None

    async def come(self, nursery: trio.Nursery) -> None:
        """Connect, and send again what nothing was heard of. Stays offline where the node does not answer."""
        full = "" if self.keeps else "&sync=full"
        url = f"{self.home.url}/ws/{self.name}?type={self.kind}&user_id=u-{self.name}{full}"
        try:
            connection = await connect(url, connect_timeout=PATIENCE_S)
        except ConnectError:
            return
        at = self.home.data.name
        self._connection, self._scope, self.asleep = connection, trio.CancelScope(), False
        self._note("--", f"connected to {at}{full}")
        connection.on_text = lambda text: self._hear(connection, at, orjson.loads(text))
        if not self.keeps:
            self.screen.clear()
            for operation_id in self.refused:  # what became of it elsewhere meanwhile it will not be told
                self.answered.pop(operation_id, None)
        for operation in self.unanswered.values():
            self.screen.apply(operation)
            self._send({"type": "data_sync", "operation": operation})
        for resolution in self.deciding.values():
            self._send(resolution)
        nursery.start_soon(self._serve, connection, at, self._scope)

    async def _serve(self, connection: ClientConnection, node: str, scope: trio.CancelScope) -> None:
        with scope:
            code, reason = await connection.run()
            self._note("--", f"closed: {code} {reason}")
            if code not in CLOSINGS:
                self.wrong.append(f"{node} closed the connection: {code} {reason}")
        if self._connection is connection:
            self._gone()

    def go(self, *, abruptly: bool) -> None:
        """Close the connection, or lose it with all that is under way."""
        if self._connection is not None:
            self._note("--", "goes" if abruptly else "closes")
            if abruptly:
                self._scope.cancel()
            else:
                self._connection.close(1000, "")
            self._gone()

    def _gone(self) -> None:
        self._connection = None
        self._asked.clear()
        self._releasing.clear()

    def move(self, home: NodeProcess, *, again: int) -> None:
        """Go to another node, which shows it everything anew; it has forgotten that the last few were answered."""
        self.go(abruptly=True)
        for operation_id in list(self.answered)[-again:] if again else ():
            self.unanswered[operation_id] = self.answered.pop(operation_id)
        self.home, self.keeps = home, False

    def sleep(self) -> None:
        """Read nothing, answer nothing; it goes on writing."""
        if self._connection is not None:
            self._connection.pause_reading()
            self.asleep = True
            self._note("--", "sleeps")

    def wake(self) -> None:
        if self._connection is not None and self.asleep:
            self._connection.resume_reading()
            self._note("--", "wakes")
        self.asleep = False

    # ------------------------------------------------------------------ writing

    def write(self) -> dict[str, Any]:
        """Any documented operation on a shared entity, shown on the own screen at once, sent or kept for later."""
        rng = self._rng
        entity_type = rng.choice(WRITES[self.kind])
        entity_id = rng.choice(ENTITIES if rng.random() < 0.75 else SELDOM)
        kind = rng.choices(["CREATE", "UPDATE", "DELETE", "BULK_UPDATE"], [3, 8, 1, 1])[0]
        operation = {
            "id": f"{self.name}.{next(self._numbers)}",
            "entity_type": entity_type,
            "operation": kind,
            "timestamp": iso(time.time_ns() // 1_000_000 + self.skew_ms),
            "terminal_id": self.name,
        }
        if kind == "BULK_UPDATE":
            items = rng.sample([*ENTITIES, *SELDOM[:2]], rng.randrange(1, 4))
            operation["data"] = {"updates": [{"entity_id": i, "data": self._fields(entity_type, i)} for i in items]}
        else:
            data = {} if kind == "DELETE" else self._fields(entity_type, entity_id)
            operation.update(entity_id=entity_id, data=data)
        self.submit(operation)
        return operation

    def _fields(self, entity_type: str, entity_id: str) -> dict[str, Any]:
        rng = self._rng
        data: dict[str, Any] = {name: rng.randrange(4) for name in rng.sample("abc", rng.randrange(1, 3))}
        if rng.random() < 0.3:
            data["version"] = self.screen.get((entity_type, entity_id), {}).get("version", 0) + 1
        return data

    def submit(self, operation: dict[str, Any]) -> None:
        self.unanswered[operation["id"]] = operation
        self.screen.apply(operation)
        self._send({"type": "data_sync", "operation": operation})

    def repeat(self) -> str | None:
        """Send something once more that was answered long ago; what was refused is tried again."""
        if not self.answered or not self.online:
            return None
        operation = self._rng.choice(list(self.answered.values()))
        if operation["id"] in self.refused:
            self.submit(self.answered.pop(operation["id"]))
        else:
            self._send({"type": "data_sync", "operation": operation})
        return str(operation["id"])

    def decide(self) -> str | None:
        """Resolve one of the open conflicts it was told of."""
        open_ones = [c for c in self.conflicts if c not in self.deciding]
        if not open_ones:
            return None
        conflict_id = self._rng.choice(open_ones)
        side = self._rng.choice(["accept_local", "accept_remote", "merge"])
        message = {"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": side}
        if side == "merge":
            message["resolved_data"] = {"a": self._rng.randrange(4)}
        message["id"] = f"{self.name}.{next(self._numbers)}"
        self.deciding[conflict_id] = message
        self._send(message)
        return conflict_id

    # ------------------------------------------------------------------ locks

    def lock(self) -> tuple[str, str] | None:
        """Ask for a lock, or for more time on it."""
        key = (self._rng.choice(["orders", "cashier_operations"]), self._rng.choice(ENTITIES))
        if not self.online or key in self._asked or key[0] not in WRITES[self.kind]:
            return None
        timeout_ms, now = self._rng.choice([300, 1_500, 10_000]), trio.current_time()
        self._asked[key] = (now, now + timeout_ms / 1000)
        for grant in self.grants:
            if grant.key == key:
                grant.until = min(grant.until, now + timeout_ms / 1000)
        message: dict[str, Any] = {"type": "acquire_lock", "timeout": timeout_ms, "terminal_id": self.name}
        if self._rng.random() < 0.3:
            message["lock_id"] = f"{self.name}.lock-{next(self._numbers)}"
        self._send({**message, "entity_type": key[0], "entity_id": key[1]})
        return key

    def unlock(self) -> str | None:
        """Release the lock it got last, whether or not it still has it."""
        if not self.grants or not self.online or self.grants[-1].lock_id in self._releasing:
            return None
        last, now = self.grants[-1], trio.current_time()
        here = last.scope == "store" and last.node == self.home.data.name
        if here and last.key not in self._asked and now + SURE_S < last.until:
            self._releasing[last.lock_id] = last
        for grant in self.grants:
            if grant.key == last.key:
                grant.until = min(grant.until, now)
        if last.key in self._asked:  # should that be granted now, it is given back already
            self._asked[last.key] = (self._asked[last.key][0], now)
        self._send({"type": "release_lock", "lock_id": last.lock_id, "terminal_id": self.name})
        return last.lock_id

    def _granted(self, node: str, message: dict[str, Any]) -> None:
        key = (message["entity_type"], message["entity_id"])
        if key not in self._asked:
            return  # read from a connection that it had lost by then
        asked, until = self._asked.pop(key)
        token = message["token"]
        authority = (token["authority"], token["epoch"])
        place = (message["scope"], node)
        times = (asked, trio.current_time(), until)
        self.grants.append(Grant(self.name, key, message["lock_id"], authority, token["counter"], *place, *times))

    # ------------------------------------------------------------------ hearing

    def _send(self, message: dict[str, Any]) -> None:
        if self._connection is not None:
            self._note(">>", message)
            self._connection.send_text(orjson.dumps(message))

    def _note(self, direction: str, what: object) -> None:
        self.journal.append((trio.current_time(), direction, what))

    def _hear(self, connection: ClientConnection, node: str, message: dict[str, Any]) -> None:
        self._note("<<", message)
        match message["type"]:
            case "data_sync":
                operation = message["operation"]
                self._answer(operation["id"])
                self.refused.discard(operation["id"])
                self.screen.apply(operation)
                if self.confirms:
                    confirmation = {"type": "sync_confirmation", "operation_id": operation["id"]}
                    connection.send_text(orjson.dumps({**confirmation, "terminal_id": self.name}))
            case "sync_confirmation":
                self._answer(message["operation_id"])
                self.refused.discard(message["operation_id"])
                self._decided(message["operation_id"])
                self.confirmed.append(message)
            case "sync_error":
                self._error(node, message)
            case "sync_conflict":
                body = message["conflict"]
                if body["state"] == "open":
                    self.conflicts[body["id"]] = body
            case "conflict_resolution":
                self.conflicts.pop(message["conflict_id"], None)
            case "lock_acquired":
                self._granted(node, message)
            case "lock_failed":
                self._asked.pop((message["entity_type"], message["entity_id"]), None)
            case "lock_released":
                self._releasing.pop(message["lock_id"], None)
            case "connection_established" | "pong":
                pass
            case _:
                self.wrong.append(f"{node} said {message}")

    def _answer(self, operation_id: str) -> None:
        operation = self.unanswered.pop(operation_id, None)
        if operation is not None:
            self.answered[operation_id] = operation

    def _error(self, node: str, message: dict[str, Any]) -> None:
        operation_id, conflict_id = message.get("operation_id"), message.get("conflict_id")
        if operation_id is not None:
            self._answer(operation_id)
            self._decided(operation_id)
            self.refused.add(operation_id)
            if message.get("kept"):
                self.kept.add((node, operation_id))
            expected = message["code"] in REFUSALS
        elif conflict_id is not None:
            self.deciding.pop(conflict_id, None)
            self.conflicts.pop(conflict_id, None)
            expected = message["code"] in REFUSALS
        else:
            sure = self._releasing.pop(str(message.get("lock_id")), None)
            expected = message["code"] in LOCK_REFUSALS and sure is None
        if not expected:
            self.wrong.append(f"{node} said {message}")

    def _decided(self, operation_id: str) -> None:
        self.deciding = {c: m for c, m in self.deciding.items() if m["id"] != operation_id}

    def shown(self, entity_type: str) -> dict[str, dict[str, Any]]:
        """The screen, without versions."""
        return self.screen.shown(entity_type)
