"""How a terminal speaks to each kind of server: documented messages, the Yjs protocol, a relay's whatever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import orjson

from bench.rig.client import BINARY, TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contest.workload import Change

NAME_BYTES = len("op-00000000")
ROOM = "loja"


class Dialect(Protocol):
    """One terminal's side. Messages are the payloads of frames."""

    opcode: int
    confirms: bool
    """Whether the server says that a change is stored."""
    state_only: bool
    """Whether a terminal that comes back gets what there is, and not each change."""
    closes: bool
    """Whether a terminal that goes closes its socket. pycrdt-websocket ends as a whole where a client does."""

    def path(self, terminal: int) -> str: ...

    def greeting(self) -> Sequence[bytes]:
        """What is sent first."""
        ...

    def encode(self, changes: Sequence[Change]) -> list[bytes]:
        """A message for each change, by the same terminal, in order."""
        ...

    def together(self, changes: Sequence[Change]) -> list[bytes]:
        """What a terminal that wrote all of them offline sends when it is back."""
        ...

    def confirmed(self, message: bytes) -> bytes | None:
        """The name of the change that this message says is stored."""
        ...

    def delivered(self, message: bytes) -> bytes | None:
        """The name of a change by another terminal that this message brings."""
        ...

    def answer(self, message: bytes) -> bytes | None:
        """What a terminal answers to a message."""
        ...


class Documented:
    """Comanda's documented messages. each: deliveries are confirmed one by one, as the document's client does."""

    opcode = TEXT
    confirms = True
    state_only = False
    closes = True

    def __init__(self, *, each: bool = False) -> None:
        self._each, self._terminal = each, 0

    def path(self, terminal: int) -> str:
        self._terminal = terminal
        return f"/ws/pos-{terminal}?type=pos"

    def greeting(self) -> Sequence[bytes]:
        return ()

    def encode(self, changes: Sequence[Change]) -> list[bytes]:
        return [
            orjson.dumps(
                {
                    "type": "data_sync",
                    "operation": {
                        "id": change.name,
                        "entity_type": change.entity_type,
                        "entity_id": change.entity_id,
                        "operation": "UPDATE",
                        "data": change.named(),
                        "timestamp": "2026-01-15T10:30:00.000Z",
                        "terminal_id": f"pos-{change.terminal}",
                        "user_id": "ana",
                        "requires_lock": False,
                        "priority": "high",
                    },
                }
            )
            for change in changes
        ]

    together = encode

    def confirmed(self, message: bytes) -> bytes | None:
        if message.startswith(b'{"type":"sync_error"'):
            raise RuntimeError(message.decode())
        return name_in(message) if message.startswith(b'{"type":"sync_confirmation"') else None

    def delivered(self, message: bytes) -> bytes | None:
        return name_in(message) if message.startswith(b'{"type":"data_sync"') else None

    def answer(self, message: bytes) -> bytes | None:
        if not self._each or not message.startswith(b'{"type":"data_sync"'):
            return None
        place = message.index(b'"id":"') + 6
        named = message[place : message.index(b'"', place)], self._terminal
        return b'{"type":"sync_confirmation","operation_id":"%b","terminal_id":"pos-%d"}' % named


class Relayed(Documented):
    """The same bytes through a relay, which says nothing itself."""

    confirms = False

    def confirmed(self, message: bytes) -> bytes | None:
        return None


class Yjs:
    """The Yjs protocol, on the natural shape: a map for each type, an entity one value of it.

    What the server sends is not applied: a load that merges would be measured itself.
    """

    opcode = BINARY
    confirms = False
    state_only = True
    closes = False
    head = b""
    """Before each message."""

    def __init__(self) -> None:
        self._document: Any = None

    def path(self, terminal: int) -> str:
        return f"/{ROOM}"

    def greeting(self) -> Sequence[bytes]:
        return [self.head + b"\0\0\1\0"]  # sync, step 1, the state vector of an empty document

    def encode(self, changes: Sequence[Change]) -> list[bytes]:
        from pycrdt import Doc, Map

        if self._document is None:
            self._document = Doc()
        document, updates = self._document, []
        maps = {change.entity_type: document.get(change.entity_type, type=Map) for change in changes}
        seen = document.observe(lambda event: updates.append(event.update))
        for change in changes:
            maps[change.entity_type][change.entity_id] = change.named()
        document.unobserve(seen)
        return [self._update(update) for update in updates]

    def together(self, changes: Sequence[Change]) -> list[bytes]:
        from pycrdt import Doc, Map

        document: Doc[Any] = Doc()
        for change in changes:
            document.get(change.entity_type, type=Map)[change.entity_id] = change.named()
        return [self._update(document.get_update())]

    def _update(self, update: bytes) -> bytes:
        from pycrdt import create_update_message

        return self.head + create_update_message(update)

    def confirmed(self, message: bytes) -> bytes | None:
        return None

    def delivered(self, message: bytes) -> bytes | None:
        return name_in(message) if message.startswith(self.head + b"\0") else None

    def answer(self, message: bytes) -> bytes | None:
        if message.startswith(self.head + b"\0\0"):  # the server's step 1
            return self.head + b"\0\1\2\0\0"  # step 2: nothing that it lacks
        return None


class Hocuspocus(Yjs):
    """The same, each message addressed to its document, after a token that nobody asks for."""

    head = bytes((len(ROOM),)) + ROOM.encode()

    def path(self, terminal: int) -> str:
        return "/"

    def greeting(self) -> Sequence[bytes]:
        return [self.head + b"\2\0\0", *super().greeting()]


def name_in(message: bytes) -> bytes | None:
    """The last change's name in a message."""
    place = message.rfind(b"op-")
    return message[place : place + NAME_BYTES] if place >= 0 else None


DIALECTS = {
    "documented": Documented,
    "documented, each confirmed": lambda: Documented(each=True),
    "relayed": Relayed,
    "yjs": Yjs,
    "hocuspocus": Hocuspocus,
}
