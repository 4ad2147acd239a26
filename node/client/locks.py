"""Locks as their holder knows them. Pure. Times are monotonic seconds.

asked --acquired--> held --it expires, or another breaks it--> lost
asked --failed--> refused        asked, held --release--> released
asked --release--> abandoned --acquired--> released: a release before the answer would be refused
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.client.values import Key, Lock, LockChange, Message, Waits

if TYPE_CHECKING:
    from node.client.ready import Ready


class Locks:
    """Those that one terminal asked for or holds."""

    def __init__(self, terminal_id: str, waits: Waits) -> None:
        self._terminal_id, self._waits = terminal_id, waits
        self._locks: dict[str, Lock] = {}

    # ------------------------------------------------------------------ the program

    def ask(self, lock_id: str, key: Key, timeout_s: float, breaks: str | None) -> Lock:
        """A lock, to be asked for by `send`."""
        message: Message = {
            "type": "acquire_lock",
            "entity_type": key[0],
            "entity_id": key[1],
            "terminal_id": self._terminal_id,
            "timeout": round(timeout_s * 1000),
            "lock_id": lock_id,
        }
        if breaks is not None:
            message["breaks"] = breaks
        lock = self._locks[lock_id] = Lock(lock_id, key, message)
        return lock

    def release(self, lock: Lock, connected: bool, ready: Ready) -> None:
        """Give a lock back. What cannot be said now is said by its end."""
        if self._locks.get(lock.id) is not lock:
            return
        if lock.state == "asked" and connected:
            lock.state = "abandoned"
            return
        if connected:
            self._give_back(lock.id, ready)
        self._end(lock, "released", ready)

    # ------------------------------------------------------------------ the connection

    def send(self, lock: Lock, now: float, ready: Ready) -> None:
        lock.asked_at = now if lock.asked_at is None else lock.asked_at
        lock.ask_again_at = now + self._waits.answer
        ready.send.append(lock.message)

    def opened(self, now: float, ready: Ready) -> None:
        for lock in list(self._locks.values()):
            if lock.state == "asked":
                lock.asked_at = None
                self.send(lock, now, ready)
            elif lock.state == "abandoned":
                self._end(lock, "released", ready)

    def due(self, now: float, ready: Ready) -> None:
        for lock in list(self._locks.values()):
            if lock.state == "held" and now >= lock.until:
                self._end(lock, "lost", ready, error="it expired")
            elif lock.state == "asked" and now >= lock.ask_again_at:
                self.send(lock, now, ready)

    def next_due(self) -> list[float]:
        """When `due` has something to do, lock by lock."""
        held = [lock.until for lock in self._locks.values() if lock.state == "held"]
        return held + [lock.ask_again_at for lock in self._locks.values() if lock.state == "asked"]

    # ------------------------------------------------------------------ what the node says

    def named(self, message: Message) -> Lock | None:
        """The lock of which a message names the id."""
        return self._locks.get(str(message.get("lock_id")))

    def acquired(self, message: Message, now: float, ready: Ready) -> None:
        lock = self.named(message)
        if lock is None:  # it was asked for twice, and the first answer was a refusal: nobody here holds it
            if message.get("lock_id"):
                self._give_back(message["lock_id"], ready)
            return
        if lock.asked_at is None:
            return
        if lock.state == "abandoned":
            self._give_back(lock.id, ready)
            self._end(lock, "released", ready)
            return
        # It runs from when the node granted it, which was after it was asked.
        lock.state, lock.until = "held", lock.asked_at + lock.message["timeout"] / 1000
        lock.scope, lock.token = message.get("scope"), message.get("token")
        ready.tell.append(LockChange(lock))

    def failed(self, message: Message, now: float, ready: Ready) -> None:
        lock = self.named(message)
        if lock is None:
            key = (message.get("entity_type"), message.get("entity_id"))
            lock = next((one for one in self._locks.values() if one.key == key and one.state == "asked"), None)
        if lock is None:
            return
        lock.locked_by, lock.locked_until = message.get("locked_by"), message.get("locked_until")
        self._end(lock, "lost" if lock.state == "held" else "refused", ready, error=message.get("reason"))

    def released(self, message: Message, now: float, ready: Ready) -> None:
        lock = self.named(message)
        if lock is not None:
            self._end(lock, "released", ready)

    def refused(self, lock: Lock, message: Message, now: float, ready: Ready, *, again: bool) -> None:
        """A sync_error about a lock. again: the node could not decide."""
        if again:
            lock.ask_again_at = now + self._waits.retry
        elif lock.state in ("asked", "abandoned"):
            self._end(lock, "refused", ready, error=message.get("error"), code=message.get("code"))
        else:  # a release that came too late
            self._end(lock, "released", ready)

    def _give_back(self, lock_id: str, ready: Ready) -> None:
        ready.send.append({"type": "release_lock", "lock_id": lock_id, "terminal_id": self._terminal_id})

    def _end(self, lock: Lock, state: str, ready: Ready, error: str | None = None, code: int | None = None) -> None:
        del self._locks[lock.id]
        lock.state, lock.error, lock.code = state, error, code
        ready.tell.append(LockChange(lock))
