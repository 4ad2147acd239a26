"""A plan becomes operations of a terminal, a few hundred of them under way at once.

What is created is one operation each, so that each has its own line in the audit. What changes goes as BULK_UPDATE: a
new price list is one act. Where the node refuses one entity of it, its entities are sent one by one, to name which.

An operation's id is made of what it writes and of the version that it was made for. So one that was stored before an
interruption, and is sent again, is a duplicate.
"""

from __future__ import annotations

import hashlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import field

from crdt.classes import define, frozen
from crdt.json_values import canonical
from node.clock import timestamp
from node.lists.planning import Entry
from node.runtime.terminal import Terminal, converse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

UNDER_WAY = 256
"""Operations without an answer at one time."""

TOGETHER = 200
"""Entities of a BULK_UPDATE: all or none of them are written, and whoever shows them is sent one message."""

RETRY_S = 1.0
"""After which an operation is sent again that the node could not store."""


HALTED = "parado / stopped"

MOVED = "a loja mudou de dono: publique de novo / the store has another owner now: send it again"


class Interrupted(Exception):
    """The node went away, or turned the terminal away. What was confirmed is stored."""


@frozen
class Who:
    """As whom it is written: a terminal of its own. file: the name of the list."""

    terminal: str
    kind: str
    user: str
    file: str


@frozen
class Batch:
    """What one operation writes."""

    operation: dict[str, Any]
    entries: tuple[Entry, ...]


@define
class Outcome:
    """What the node made of it.

    statuses: how many entities, by `status` of the confirmation. done: ids of those. refused: the answers whole.
    """

    statuses: dict[str, int] = field(factory=dict)
    done: set[str] = field(factory=set)
    refused: list[tuple[Entry, dict[str, Any]]] = field(factory=list)


class Sender:
    """Sends plans as one terminal, and the operations carry the file's name.

    reach: brings its terminal online. realm: as `Terminal` takes it. told: called after each answer, with how many
    entities it was about. still: asked on a thread before it connects, whether the log is there that the plan was
    made on. halted: whether somebody wants it to end; what is under way is answered first.
    """

    def __init__(
        self,
        reach: Callable[[Terminal, trio.Nursery], Awaitable[None]],
        realm: str | None,
        who: Who,
        told: Callable[[int], None],
        still: Callable[[], bool] = lambda: True,
        halted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.outcome = Outcome()
        self._reach, self._file, self._told, self._still, self._halted = reach, who.file, told, still, halted
        self._terminal = Terminal(who.terminal, who.kind, who.user, self._heard, reads=False, realm=realm)
        self._waiting: deque[Batch] = deque()
        self._sent: dict[str, Batch] = {}
        self._again: list[Batch] = []

    def send(self, entity_type: str, created: Sequence[Entry], changed: Sequence[Entry], seq: int) -> None:
        """Until all is answered. seq: the row up to which the plan was made. Raises Interrupted."""
        self._waiting = deque(self._batches(entity_type, created, changed, seq))
        failure = converse(self._run)
        if failure is not None:
            raise Interrupted(failure)

    def _batches(
        self, entity_type: str, created: Sequence[Entry], changed: Sequence[Entry], seq: int
    ) -> Iterator[Batch]:
        for entry in created:
            yield self._single(entity_type, entry, seq)
        for at in range(0, len(changed), TOGETHER):
            together = tuple(changed[at : at + TOGETHER])
            if len(together) == 1:
                yield self._single(entity_type, together[0], seq)
                continue
            updates = [{"entity_id": entry.entity_id, "data": entry.data} for entry in together]
            yield self._batch(entity_type, None, "BULK_UPDATE", {"updates": updates}, seq, together)

    def _single(self, entity_type: str, entry: Entry, seq: int) -> Batch:
        kind = "CREATE" if entry.before is None else "UPDATE"
        return self._batch(entity_type, entry.entity_id, kind, entry.data, seq, (entry,))

    def _batch(
        self,
        entity_type: str,
        entity_id: str | None,
        kind: str,
        data: dict[str, Any],
        seq: int,
        of: tuple[Entry, ...],
    ) -> Batch:
        written = canonical([entity_type, entity_id, kind, data, [entry.version for entry in of]])
        operation = {
            "id": f"import-{hashlib.sha256(written).hexdigest()[:32]}",
            "entity_type": entity_type,
            **({} if entity_id is None else {"entity_id": entity_id}),
            "operation": kind,
            "data": data,
            "terminal_id": self._terminal.name,
            "user_id": self._terminal.user or None,
            "imports": self._file,
            "read_upto": seq,
        }
        return Batch(operation, of)

    # ------------------------------------------------------------------ the connection

    async def _run(self, nursery: trio.Nursery) -> str | None:
        """None once all is answered, else why not."""
        terminal = self._terminal
        while self._waiting or self._sent or self._again:
            halted = self._halted()  # once a turn: what is said meanwhile counts in the next one
            if halted and not self._sent:
                return HALTED
            if not terminal.online:
                if terminal.turned_away is not None:
                    return terminal.turned_away
                if not await trio.to_thread.run_sync(self._still):
                    return MOVED
                await self._reach(terminal, nursery)
            if self._again:
                await trio.sleep(RETRY_S)
                self._waiting.extendleft(self._again)
                self._again.clear()
            if not halted:
                self._fill()
            await terminal.until(partial(self._moved, len(self._sent)))
        if terminal.online:
            await terminal.go_offline()
        return None

    def _moved(self, unanswered: int) -> bool:
        return len(self._sent) < unanswered or not self._terminal.online

    def _fill(self) -> None:
        while self._waiting and len(self._sent) < UNDER_WAY:
            batch = self._waiting.popleft()
            batch.operation["timestamp"] = timestamp()
            self._sent[batch.operation["id"]] = batch
            self._terminal.submit(batch.operation)

    def _heard(self, _: Terminal, message: dict[str, Any]) -> None:
        if message["type"] not in ("sync_confirmation", "sync_error"):
            return
        batch = self._sent.pop(message.get("operation_id") or "", None)
        if batch is None:
            return
        if message["type"] == "sync_confirmation":
            statuses, status = self.outcome.statuses, message["status"]
            statuses[status] = statuses.get(status, 0) + len(batch.entries)
            self.outcome.done.update(entry.entity_id for entry in batch.entries)
        elif message.get("retry"):
            self._again.append(batch)
            return
        elif len(batch.entries) > 1:
            operation = batch.operation
            singles = [self._single(operation["entity_type"], e, operation["read_upto"]) for e in batch.entries]
            self._waiting.extendleft(reversed(singles))
            return
        else:
            self.outcome.refused.append((batch.entries[0], message))
        self._told(len(batch.entries))
