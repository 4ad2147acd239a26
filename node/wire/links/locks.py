"""Locks between nodes: the documented lock messages, with the terminal they are for and how long they still run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from cattrs import Converter

from crdt.classes import frozen
from node.errors import InvalidMessage
from node.wire.codec import ID, LONGEST_ID, TERMINAL_ID
from node.wire.json_text import is_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TYPES = ("acquire_lock", "release_lock", "lock_acquired", "lock_failed", "lock_released", "locks")

LONGEST_LEASE_MS = 24 * 3_600_000
LONGEST_WAIT_MS = 60_000
"""How long a node may say that a request waits. Each node on the way takes something off, so it may be negative."""

MOST_MS = MOST_REQUEST = 2**53
MOST_TOKEN = 2**62


@frozen
class WireLease:
    """A lease as it travels: what is left of it in milliseconds, for clocks differ."""

    entity_type: str
    entity_id: str
    lock_id: str
    terminal_id: str
    authority: str
    epoch: int
    counter: int
    scope: str
    timeout_ms: int
    left_ms: int


@frozen
class WireRequest:
    """A terminal's `acquire_lock`, passed on. wait_ms: how long its node waits. offer: granted locally already."""

    request: int
    entity_type: str
    entity_id: str
    terminal_id: str
    timeout: int | None
    lock_id: str | None
    wait_ms: int
    offer: bool = False


_converter = Converter()


def _lease_fields(lease: WireLease) -> dict[str, object]:
    return {
        "lock_id": lease.lock_id,
        "entity_type": lease.entity_type,
        "entity_id": lease.entity_id,
        "terminal_id": lease.terminal_id,
        "token": {"authority": lease.authority, "epoch": lease.epoch, "counter": lease.counter},
        "scope": lease.scope,
        "timeout_ms": lease.timeout_ms,
        "left_ms": lease.left_ms,
    }


def request(asked: WireRequest) -> bytes:
    return orjson.dumps({"type": "acquire_lock", **_converter.unstructure(asked)})


def granted(lease: WireLease, request_id: int | None = None) -> bytes:
    """To the node that asked (with its request), and down the links to all others (without)."""
    return orjson.dumps({"type": "lock_acquired", **_lease_fields(lease), "request": request_id})


def failed(lease: WireLease, request_id: int) -> bytes:
    """The lock is somebody else's: this lease."""
    return orjson.dumps({"type": "lock_failed", **_lease_fields(lease), "request": request_id})


def release(lock_id: str, terminal_id: str) -> bytes:
    return orjson.dumps({"type": "release_lock", "lock_id": lock_id, "terminal_id": terminal_id})


def released(lease: WireLease) -> bytes:
    return orjson.dumps({"type": "lock_released", **_lease_fields(lease)})


def snapshot(leases: Iterable[WireLease]) -> bytes:
    """Down a link that came up: every running lease the sender knows."""
    return orjson.dumps({"type": "locks", "leases": [_lease_fields(lease) for lease in leases]})


def read_lease(message: Mapping[str, Any]) -> WireLease:
    """Raises InvalidMessage."""
    token = message.get("token")
    token = token if isinstance(token, dict) else {}
    match [message.get(n) for n in ("lock_id", "entity_type", "entity_id", "terminal_id", "scope")]:
        case [str(lock_id), str(entity_type), str(entity_id), str(terminal_id), str(scope)]:
            pass
        case _:
            raise InvalidMessage("expected a lease", "$")
    timeout_ms, left_ms = message.get("timeout_ms"), message.get("left_ms")
    if not is_count(timeout_ms, MOST_MS) or not is_count(left_ms, LONGEST_LEASE_MS):
        raise InvalidMessage("expected milliseconds", "$.left_ms")
    epoch, counter = token.get("epoch"), token.get("counter")
    if not is_count(epoch, MOST_TOKEN) or not is_count(counter, MOST_TOKEN):
        raise InvalidMessage("expected the numbers of a token", "$.token")
    authority = token.get("authority")
    if (
        not isinstance(authority, str)
        or len(authority) > LONGEST_ID
        or scope not in ("local", "store", "overlapping")
    ):
        raise InvalidMessage("expected an authority and a scope", "$.token")
    _check_ids(entity_type, entity_id, terminal_id, lock_id)
    timeout_ms = min(max(timeout_ms, 1), LONGEST_LEASE_MS)
    return WireLease(
        entity_type, entity_id, lock_id, terminal_id, authority, epoch, counter, scope, timeout_ms, left_ms
    )


def read_leases(message: Mapping[str, Any]) -> list[WireLease]:
    leases = message.get("leases")
    if not isinstance(leases, list) or not all(isinstance(lease, dict) for lease in leases):
        raise InvalidMessage("expected leases", "$.leases")
    return [read_lease(lease) for lease in leases]


def read_request(message: Mapping[str, Any]) -> WireRequest:
    match [message.get(n) for n in ("entity_type", "entity_id", "terminal_id")]:
        case [str(entity_type), str(entity_id), str(terminal_id)]:
            pass
        case _:
            raise InvalidMessage("expected a lock request", "$")
    number, wait_ms = message.get("request"), message.get("wait_ms")
    if not is_count(number, MOST_REQUEST) or not is_count(wait_ms, LONGEST_WAIT_MS, -LONGEST_WAIT_MS):
        raise InvalidMessage("expected the number of a request, and milliseconds", "$.request")
    timeout, lock_id = message.get("timeout"), message.get("lock_id")
    if timeout is not None and not is_count(timeout, MOST_MS, 1):
        raise InvalidMessage("expected milliseconds", "$.timeout")
    if lock_id is not None and not isinstance(lock_id, str):
        raise InvalidMessage("expected a lock id", "$.lock_id")
    _check_ids(entity_type, entity_id, terminal_id, lock_id)
    return WireRequest(
        number, entity_type, entity_id, terminal_id, timeout, lock_id, wait_ms, message.get("offer") is True
    )


def read_release(message: Mapping[str, Any]) -> tuple[str, str]:
    """(lock id, terminal id)."""
    match [message.get("lock_id"), message.get("terminal_id")]:
        case [str(lock_id), str(terminal_id)] if len(lock_id) <= LONGEST_ID and len(terminal_id) <= LONGEST_ID:
            return lock_id, terminal_id
    raise InvalidMessage("expected a lock and its terminal", "$.lock_id")


def _check_ids(entity_type: str, entity_id: str, terminal_id: str, lock_id: str | None) -> None:
    if not 1 <= len(entity_type) <= LONGEST_ID or ID.match(entity_id) is None:
        raise InvalidMessage("expected an entity", "$.entity_id")
    if TERMINAL_ID.match(terminal_id) is None or (lock_id is not None and ID.match(lock_id) is None):
        raise InvalidMessage("expected a terminal and a lock id", "$.terminal_id")
