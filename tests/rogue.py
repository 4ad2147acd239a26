"""A linked node that may say anything: it has a node's token, speaks the handshake, and follows no rule after it.

It is one end of a link into a `World`. What it says of an entity is built on that world's document of it, under a
writer of its own, so that only what is said can be wrong.
"""

from __future__ import annotations

import itertools
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import orjson

from crdt import hlc
from crdt.document import Document
from crdt.engine import DEFAULT
from crdt.records import NewField, name_of
from node.core.links.link import Link
from node.core.log.rows import update_entry
from node.core.ports import NO_KEY
from node.wire.links.handshake import Hello, Identification, challenged
from storage.proofs import leaf_of, prove
from storage.records import LogRow, link_key
from tests.mesh import End

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal

    from crdt.records import FieldRecord
    from node.core.ports import Signatures
    from tests.harness import World

NOTHING = (-1, -1, -1, -1)
WRITER = 666_666


class Rogue:
    """role: what it is to the world it is linked to. key: its own, if it has one. head: of its log, as it says."""

    def __init__(
        self, world: World, name: str = "rogue", role: str = "downstream", key: Signatures = NO_KEY, head: int = 0
    ) -> None:
        self.world, self.name, self.role, self.key, self.head = world, name, role, key, head
        self.numbers = itertools.count(1)
        self.documents: dict[tuple[str, str], Document] = {}

    def connect(self, **wrong: Any) -> Rogue:
        """Dial, and claim to hold nothing of the world's log. wrong: what it claims otherwise."""
        self.open()
        self.claim(**wrong)
        self.world.settle()
        return self

    def open(self) -> None:
        """Dial, and say nothing."""
        world = self.world
        hello = Hello(self.name, f"{self.name}-epoch", self.head, world.wall_ms, "", None)
        self.end = End(world.node_id, self.name)
        self.link = Link(
            host=world.core.links, role=self.role, connection=self.end, session_id="session", hello=hello
        )
        self.link.open()

    @property
    def closed(self) -> bool:
        return self.end.closed is not None

    # ------------------------------------------------------------------ saying

    def say(self, *messages: Mapping[str, Any]) -> None:
        """One frame."""
        self.link.receive(orjson.dumps(messages).decode())
        if self.closed:
            self.link.host.unlink(self.link)

    def claim(self, **wrong: Any) -> None:
        """What it holds of the world's log."""
        holds = {"epoch": None, "positions": NOTHING, "mark": 0, "hash": "", "empty": False, "after": {}}
        signature = self.key.sign(challenged(self.name, self.world.node_id, "session", self.world.config.node.realm))
        identification = Identification(self.key.public, signature).fields()
        self.say({"type": "sync_confirmation", "seq": 0, **holds, **identification, **wrong})

    def document(self, key: tuple[str, str]) -> Document:
        """The world's document of an entity, under the rogue's writer."""
        if key not in self.documents:
            theirs = self.world.core.replica.residents.entity(key).document
            snapshot = theirs.encode() if theirs.headers else None
            self.documents[key] = Document.load(snapshot, writer=WRITER, engine=DEFAULT)
        return self.documents[key]

    def operation(
        self,
        key: tuple[str, str],
        data: Mapping[str, Any],
        writes: Iterable[tuple[tuple[str, ...], object]] = (),
        *,
        kind: str = "UPDATE",
        terminal: str = "rogue-till",
        removes: Iterable[FieldRecord] | None = None,
        counts: Mapping[str, Decimal] | None = None,
        n: int = 1,
        record: Mapping[str, Any] | None = None,
        raw: Mapping[str, Any] | None = None,
        link: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A `data_sync` that says `data` and does something.

        writes: (path, value) of the records that its update adds. removes: those that it removes; by default all of
        the registers that it writes. record: what is otherwise in its records. raw, link: in the message.
        """
        document, writes = self.document(key), list(writes)
        now = hlc.pack(self.world.wall_ms)
        operation_id = str((raw or {}).get("id", f"{terminal}.{next(self.numbers)}"))
        told = {"stamp": now, "terminal": terminal, "operation": operation_id, "version": document.version + n}
        told |= {"accepted": now, "rank": now, **(record or {})}
        doomed = [r for path, _ in writes for r in document.siblings(path)] if removes is None else list(removes)
        fields = [NewField(path, value, **told) for path, value in writes]  # type: ignore[arg-type]
        edit = document.edit(supersede=doomed, fields=fields, n=n, counts=counts or {})
        updates = [update_entry(key, edit, counts or {})]
        return {
            "type": "data_sync",
            "operation": {
                "id": operation_id,
                "entity_type": key[0],
                "entity_id": key[1],
                "operation": kind,
                "data": data,
                "timestamp": hlc.iso(self.world.wall_ms),
                "terminal_id": terminal,
                **(raw or {}),
            },
            "link": {
                "updates": updates,
                "key": link_key(name_of(terminal, operation_id), updates),
                "hlc": [told["stamp"], told["accepted"]],
                "origin": self.name,
                "terminal_id": terminal,
                "user_id": None,
                "lock_status": "unlocked",
                **(link or {}),
            },
        }

    def state(self, key: tuple[str, str], **named: Any) -> dict[str, Any]:
        """A whole entity, as the rogue has it."""
        operation = {"id": "state", "entity_type": key[0], "entity_id": key[1], "operation": "CREATE", "data": {}}
        snapshot = b64encode(self.document(key).encode()).decode()
        return {"type": "data_sync", "operation": {**operation, **named}, "link": {"state": snapshot}}

    # ------------------------------------------------------------------ hearing

    def heard(self) -> list[dict[str, Any]]:
        """Every message that came since the last call."""
        messages: list[dict[str, Any]] = []
        while self.end.frames:
            frame = self.end.frames.popleft()
            self.end.outbox_bytes -= len(frame)
            loaded = orjson.loads(frame)
            messages += loaded if isinstance(loaded, list) else [loaded]
        return messages


def sign_together(messages: Sequence[dict[str, Any]], key: Signatures) -> None:
    """Give the operations of one commit the proofs that somebody with this key would make."""
    rows = [_row(message["operation"], message["link"]) for message in messages]
    proofs, _ = prove(list(map(leaf_of, rows)), key.sign)
    for message, proof in zip(messages, proofs, strict=True):
        message["link"]["proof"] = b64encode(proof).decode()


def _row(operation: dict[str, Any], link: dict[str, Any]) -> LogRow:
    stamp, accepted = link["hlc"]
    row = LogRow(0, "operation", 0, "", None, "", link["terminal_id"], link["user_id"])
    row.operation, row.updates, row.stamp, row.accepted = (
        orjson.dumps(operation),
        orjson.dumps(link["updates"]),
        stamp,
        accepted,
    )
    row.origin, row.lock_status, row.link_key = link["origin"], link["lock_status"], link["key"]
    return row
