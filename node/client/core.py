"""What a client decides, without a socket, a file, a clock or dice of its own. Pure.

The shell tells what happened: `wrote`, `opened`, `received`, `ended`, `due`. Each answers with a `Ready`: what to do,
in which order. Times are monotonic seconds.

    (away) --dialling--> connecting --opened--> open --greeted--> connected --ended--> (away)
    (away) --ended with 4001, 4002 or 4003--> stays away until `resume`

Operations go out in the order in which they were made, each with its first id for ever, and are sent again until they
are answered: all of them as soon as a connection opens, before a row is confirmed.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING

from node.client.locks import Locks
from node.client.reading import well_formed
from node.client.ready import Ready
from node.client.screen import DOCUMENTED_COUNTERS, Screen
from node.client.values import (
    STAYS_AWAY,
    Conflict,
    Contact,
    Heard,
    Key,
    Lock,
    Message,
    Operation,
    Progress,
    Row,
    State,
    Waits,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

REMEMBERED = 1_000
"""Operations of which the outcome is remembered, and rows of one connection of which it is known that they came."""

STATES = {"conflict": State.CONFLICT}
"""The state that the `status` of a confirmation leads to, where that is not CONFIRMED."""

TOO_FAST = 4005
"""The code of what may be sent once more without a `retry` beside it."""


class Core:
    """One terminal. queue: its unanswered operations, in the order in which they were made."""

    def __init__(
        self,
        terminal_id: str,
        user_id: str | None,
        *,
        waits: Waits = Waits(),  # noqa: B008  (frozen)
        counters: Mapping[str, Collection[str]] = DOCUMENTED_COUNTERS,
        unanswered: Iterable[Operation] = (),
    ) -> None:
        self.terminal_id, self.user_id, self.waits = terminal_id, user_id, waits
        self.screen = Screen(counters)
        self.queue: OrderedDict[str, Operation] = OrderedDict()
        self.recent: OrderedDict[str, Operation] = OrderedDict()
        """The operations that were settled last, by id."""
        self.conflicts: dict[str, Message] = {}
        """Open conflicts, by id."""
        self._locks = Locks(terminal_id, waits)
        self.open = self.up = False
        """Whether there is a connection; whether the node has greeted."""
        self.full = True
        """Whether everything is asked for at the next connection, as nothing is kept."""
        self.stays_away = False
        self._recovered: object = None
        self._greeted_once = False
        self._tries = 0
        self._heard = self._pinged = 0.0
        self._retry_at: float | None = None
        """When what the node could not take is sent again."""
        self._patience = waits.answer
        for operation in unanswered:
            self.queue[operation.id] = operation
            self.screen.wrote(operation)

    # ------------------------------------------------------------------ writing

    def operation(
        self,
        operation_id: str,
        at: str,
        kind: str,
        entity_type: str,
        entity_id: str | None,
        data: Message,
        label: str | None = None,
        **more: object,
    ) -> Operation:
        """A new operation, to be kept and then given to `wrote`. at: when the person acted, ISO 8601."""
        body: Message = {"id": operation_id, "entity_type": entity_type, "operation": kind, "data": data}
        if entity_id is not None:
            body["entity_id"] = entity_id
        body |= {"timestamp": at, "terminal_id": self.terminal_id}
        if self.user_id is not None:
            body["user_id"] = self.user_id
        return Operation(operation_id, {"type": "data_sync", "operation": {**body, **more}}, label)

    def resolution(
        self, operation_id: str, conflict_id: str, resolution: str, data: Message | None, label: str | None = None
    ) -> Operation:
        """A person's decision, to be kept and then given to `wrote`."""
        message: Message = {"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": resolution}
        if data is not None:
            message["resolved_data"] = data
        message |= {"terminal_id": self.terminal_id, "id": operation_id}
        return Operation(operation_id, message, label)

    def wrote(self, operation: Operation, now: float) -> Ready:
        """An operation was made, or is tried again after a refusal, and is in the queue on disk."""
        ready = Ready()
        operation.code = operation.error = operation.answer = None
        operation.kept = False
        self.recent.pop(operation.id, None)
        self.queue[operation.id] = operation
        self.screen.wrote(operation)
        self._into(operation, State.SAVED, ready)
        if self.open:
            self._send(operation, now, ready)
        return ready

    def _send(self, operation: Operation, now: float, ready: Ready) -> None:
        ready.send.append(operation.message)
        operation.sent_at = now
        self._into(operation, State.SENT, ready)

    def _again_at(self) -> float:
        """When all that is unanswered is sent once more."""
        oldest = next(iter(self.queue.values()), None)
        answer_due = inf if oldest is None else oldest.sent_at + self._patience
        return answer_due if self._retry_at is None else min(answer_due, self._retry_at)

    def _into(self, operation: Operation, state: State, ready: Ready) -> None:
        if operation.state is not state or state is State.SAVED:
            operation.state = state
            ready.tell.append(Progress(operation, state))

    # ------------------------------------------------------------------ locks

    def lock(self, lock_id: str, key: Key, timeout_s: float, breaks: str | None, now: float) -> tuple[Lock, Ready]:
        """Ask for a lock: now, or as soon as there is a connection."""
        ready = Ready()
        lock = self._locks.ask(lock_id, key, timeout_s, breaks)
        if self.open:
            self._locks.send(lock, now, ready)
        return lock, ready

    def release(self, lock: Lock) -> Ready:
        """Give a lock back. What cannot be said now is said by its end."""
        ready = Ready()
        self._locks.release(lock, self.open, ready)
        return ready

    # ------------------------------------------------------------------ the connection

    def opened(self, now: float) -> Ready:
        """A WebSocket is open; nothing was read from it."""
        ready = Ready()
        self.open, self._heard, self._pinged = True, now, now
        self._retry_at, self._patience = None, self.waits.answer
        for operation in self.queue.values():
            self._send(operation, now, ready)
        self._locks.opened(now, ready)
        return ready

    def ended(self, code: int | None, reason: str, draw: float) -> tuple[float | None, Ready]:
        """The connection is over, or none came about (code: None). draw: 0 to 1, by chance.

        Answers with the seconds to wait before the next try; None: not by itself.
        """
        ready, was_up = Ready(), self.up
        self.open = self.up = False
        self.stays_away = code in STAYS_AWAY
        if was_up or self.stays_away or code is not None:
            ready.tell.append(Contact(False, code, reason or STAYS_AWAY.get(code or 0, ""), self.stays_away))
        if self.stays_away:
            return None, ready
        ceiling = min(self.waits.first_delay * 2.0 ** min(self._tries, 30), self.waits.longest_delay)
        self._tries += 1
        return draw * ceiling, ready

    def resume(self) -> None:
        """Somebody mended what kept this terminal away."""
        self.stays_away, self._tries = False, 0

    def heard(self, now: float) -> None:
        """Any byte came."""
        self._heard = now

    def due(self, now: float, at: str) -> Ready:
        """Time passed. at: the wall clock, for the ping."""
        ready = Ready()
        if not self.open:
            return ready
        if now >= self._heard + self.waits.silence:
            ready.hang_up = f"nothing was heard for {now - self._heard:.0f} s"
            return ready
        if now >= self._pinged + self.waits.ping:
            self._pinged = now
            ready.send.append({"type": "ping", "timestamp": at})
        if now >= self._again_at():
            self._retry_at = None
            self._patience *= 2
            for operation in self.queue.values():
                self._send(operation, now, ready)
        self._locks.due(now, ready)
        return ready

    def next_due(self) -> float | None:
        """When `due` has something to do."""
        if not self.open:
            return None
        silence, ping = self._heard + self.waits.silence, self._pinged + self.waits.ping
        return min(silence, ping, self._again_at(), *self._locks.next_due())

    # ------------------------------------------------------------------ what the node says

    def received(self, message: Message, now: float) -> Ready:
        """One message. What this client does not know or cannot make out changes nothing; the program hears it."""
        ready = Ready()
        if not self.open:
            return ready
        if not well_formed(message) or self._is_anothers(message):
            return Ready(tell=[Heard(message)])
        handle: dict[str, Callable[[Message, float, Ready], None]] = {
            "connection_established": self._greeting,
            "data_sync": self._row,
            "sync_confirmation": self._confirmation,
            "sync_error": self._error,
            "sync_conflict": self._conflict,
            "conflict_resolution": self._conflict_closed,
            "lock_acquired": self._locks.acquired,
            "lock_failed": self._locks.failed,
            "lock_released": self._locks.released,
            "pong": _nothing,
        }
        handle.get(str(message.get("type")), _told)(message, now, ready)
        return ready

    def _is_anothers(self, message: Message) -> bool:
        """Whether it answers another terminal, whose operations may have the same ids."""
        answers = message.get("type") in ("sync_confirmation", "sync_error")
        return answers and message.get("terminal_id") not in (None, self.terminal_id)

    def _greeting(self, message: Message, now: float, ready: Ready) -> None:
        recovered = message.get("recovered")
        if self._greeted_once and not self.full and recovered != self._recovered:
            # The node's database is an older one: what is shown here it may never have held.
            self.full = True
            self._recovered = recovered
            self.screen.begin_anew(self.queue.values())
            self.conflicts.clear()
            self.open = False
            ready.hang_up = "the node began anew: everything is asked for"
            return
        self.up, self._greeted_once, self._tries, self._recovered = True, True, 0, recovered
        self.full = message.get("sync") == "full"
        ready.tell.append(Contact(True, server_time=message.get("server_time")))

    def _row(self, message: Message, now: float, ready: Ready) -> None:
        operation = message["operation"]
        entity_ids = self.screen.row(operation)
        if operation.get("terminal_id") == self.terminal_id and (own := self.queue.get(operation["id"])) is not None:
            self._settle(own, State.CONFIRMED, message, ready)
        ready.tell.append(Row(operation["entity_type"], entity_ids, operation))
        ready.confirm = operation["id"]

    def taken(self, operation_id: str, at: str) -> Message:
        """The confirmation of a row that the program took."""
        return {
            "type": "sync_confirmation",
            "operation_id": operation_id,
            "terminal_id": self.terminal_id,
            "timestamp": at,
        }

    def _confirmation(self, message: Message, now: float, ready: Ready) -> None:
        operation = self.queue.get(str(message.get("operation_id")))
        state = STATES.get(str(message.get("status")), State.CONFIRMED)
        if operation is None:  # its row came first
            known = self.recent.get(str(message.get("operation_id")))
            if known is not None and state is State.CONFLICT:
                self._into(known, state, ready)
            return
        if message.get("status") == "duplicate" and isinstance(message.get("shown"), dict):
            # The row that this was once answered with may never have come: what it led to is told here instead.
            self._settle(operation, State.CONFIRMED, message, ready)
            for key in {key for key, _, _ in operation.writes}:
                if key[1] in message["shown"]:
                    self.screen.replaced(key, message["shown"][key[1]])
            return
        self._settle(operation, state, message, ready)

    def _settle(self, operation: Operation, state: State, message: Message, ready: Ready) -> None:
        del self.queue[operation.id]
        self.recent[operation.id] = operation
        if len(self.recent) > REMEMBERED:
            self.recent.popitem(last=False)
        operation.answer = message
        if state is State.REFUSED:
            self.screen.undone(operation)
        else:
            self.screen.settled(operation)
        self._patience = self.waits.answer
        ready.settled.append(operation)
        self._into(operation, state, ready)

    def _error(self, message: Message, now: float, ready: Ready) -> None:
        operation = self.queue.get(str(message.get("operation_id")))
        lock = self._locks.named(message)
        again = bool(message.get("retry")) or message.get("code") == TOO_FAST
        if operation is not None:
            if again:
                self._retry_at = now + self.waits.retry
                return
            operation.code, operation.error = message.get("code"), message.get("error")
            operation.kept = bool(message.get("kept"))
            self._settle(operation, State.REFUSED, message, ready)
        elif lock is not None and message.get("operation_id") is None:
            self._locks.refused(lock, message, now, ready, again=again)
        else:
            ready.tell.append(Heard(message))

    # ------------------------------------------------------------------ conflicts

    def _conflict(self, message: Message, now: float, ready: Ready) -> None:
        conflict = message["conflict"]
        if conflict.get("state", "open") == "open":
            self.conflicts[conflict["id"]] = conflict
            for candidate in conflict.get("candidates", ()):
                own = self.recent.get(str(candidate.get("operation_id")))
                if own is not None and candidate.get("terminal_id") == self.terminal_id:
                    self._into(own, State.CONFLICT, ready)
        ready.tell.append(Conflict(conflict))

    def _conflict_closed(self, message: Message, now: float, ready: Ready) -> None:
        known = self.conflicts.pop(message["conflict_id"], None)
        ready.tell.append(Conflict({**(known or {"id": message["conflict_id"]}), "resolution": message}, closed=True))


def _nothing(message: Message, now: float, ready: Ready) -> None:
    return None


def _told(message: Message, now: float, ready: Ready) -> None:
    ready.tell.append(Heard(message))
