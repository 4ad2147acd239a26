"""Good messages, of terminals and of linked nodes, that mutations begin with."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson

from crdt.document import Document
from crdt.records import name_of
from storage.packed import ArchivedOperation, pack_operations
from storage.records import link_key
from tests.fuzz.engines import new

STAMP = 115_898_528_628_867_072
AT = "2026-01-15T10:00:00.000Z"


def terminal_messages() -> list[dict[str, Any]]:
    operation = {
        "id": "op-1",
        "entity_type": "orders",
        "entity_id": "o-1",
        "operation": "UPDATE",
        "data": {"id": "o-1", "status": "x", "items": [{"id": 1, "price": 0.1}], "version": 2},
        "version": 2,
        "timestamp": AT,
        "user_id": "u",
        "requires_lock": True,
        "priority": "high",
        "lock_id": "l-1",
    }
    stock = {"id": "op-2", "entity_type": "products", "entity_id": "p-1", "operation": "CREATE", "data": {"stock": 5}}
    moved = {**stock, "id": "op-3", "operation": "UPDATE", "data": {"stock": {"$inc": -1.5}}}
    bulk = {"updates": [{"entity_id": "p-1", "data": {"stock": 3}}, {"entity_id": "p-2", "data": {"name": "a"}}]}
    cashier = {**stock, "id": "op-5", "entity_type": "cashier_operations", "data": {"total": 12345678.125}}
    customer = {**stock, "id": "op-6", "entity_type": "customers", "data": {"phone": "1"}}
    operations = [
        operation,
        stock,
        moved,
        {**stock, "id": "op-4", "operation": "BULK_UPDATE", "data": bulk},
        cashier,
        customer,
        {**operation, "id": "op-7", "operation": "DELETE", "data": {}},
    ]
    return [
        *({"type": "data_sync", "operation": each} for each in operations),
        {"type": "ping", "timestamp": AT, "performance": {"memory_mb": 1.5}},
        {"type": "sync_confirmation", "operation_id": "op-1", "terminal_id": "t", "timestamp": AT},
        {"type": "sync_confirmation", "seq": 3},
        {"type": "conflict_resolution", "conflict_id": "c-1", "resolution": "merge", "resolved_data": {"a": 1}},
        {"type": "acquire_lock", "entity_type": "orders", "entity_id": "o-1", "timeout": 1000, "lock_id": "l-1"},
        {"type": "release_lock", "lock_id": "l-1"},
    ]


def data_sync(entity: tuple[str, str], writer: int, operation_id: str, field: str, value: object) -> dict[str, Any]:
    """An operation as a linked node sends it."""
    fields = [new((field,), value, operation_id)]
    edit = Document.load(None, writer=writer, engine="pycrdt").edit(supersede=[], fields=fields)
    entry = [*entity, b64encode(edit.update).decode(), {str(writer): 0}, [writer, *edit.span]]
    operation = {
        "id": operation_id,
        "entity_type": entity[0],
        "entity_id": entity[1],
        "operation": "CREATE",
        "data": {field: value},
        "timestamp": AT,
    }
    link = {
        "updates": [entry],
        "hlc": [STAMP, STAMP],
        "origin": "n1",
        "terminal_id": "bia",
        "user_id": "user-1",
        "lock_status": "none",
        "key": link_key(name_of("bia", operation_id), [entry]),
    }
    return {"type": "data_sync", "operation": operation, "link": link}


def link_messages() -> list[dict[str, Any]]:
    claim = {"epoch": "e-1", "positions": [1, 1, 1, -1], "mark": 1, "hash": "ab" * 32, "empty": False}
    claim["after"] = {"0": ["orders", "o-1"]}
    node = {"id": "n1", "epoch": "e-1", "head": 3, "clock": 1_768_471_200_000, "authority": "n1", "holds": claim}
    lease = {
        "lock_id": "lock-1",
        "entity_type": "orders",
        "entity_id": "o-1",
        "terminal_id": "bia",
        "token": {"authority": "n0", "epoch": 1, "counter": 1},
        "scope": "store",
        "timeout_ms": 1000,
        "left_ms": 900,
    }
    whole = Document.load(None, writer=8, engine="pycrdt")
    whole.edit(supersede=[], fields=[new(("name",), "x", "op-8")])
    archived = b64encode(pack_operations([ArchivedOperation(1, 2, STAMP, 3, 1, 1)])).decode()
    state = {"id": "state-1", "entity_type": "products", "entity_id": "p-8", "operation": "CREATE", "data": {}}
    keys = b64encode(b"\x01" + bytes(7)).decode()
    first, second = (
        data_sync(("orders", "o-1"), 5, "op-1", "status", "x"),
        data_sync(("products", "p-1"), 6, "op-2", "stock", 5),
    )
    waits = data_sync(("orders", "o-2"), 5, "op-3", "status", "y")
    waits["link"]["updates"][0][3] = {"5": 9}
    bulk = data_sync(("customers", "c-1"), 7, "op-4", "phone", "1")
    bulk["operation"] |= {"operation": "BULK_UPDATE", "entity_id": None}
    bulk["operation"]["data"] = {"updates": [{"entity_id": "c-1", "data": {"phone": "1"}}]}
    link_state = {"state": b64encode(whole.encode()).decode()}
    return [
        {"type": "connection_established", "terminal_id": "n0", "server_time": AT, "session_id": "s", "node": node},
        {"type": "sync_confirmation", "seq": 1, **claim},
        {"type": "sync_confirmation", "seq": 0, **claim, "epoch": None, "positions": [-1] * 4, "mark": 0, "hash": ""},
        {"type": "log_position", "positions": [1, 1, 1, 1], "mark": 1, "hash": "ab" * 32, "head": 3},
        {
            "type": "log_position",
            "positions": [1, 1, 1, -1],
            "mark": 0,
            "hash": "",
            "head": 3,
            "state": {"after": {"1": ["orders", "o-1"]}, "sent": 1, "total": 2},
        },
        first,
        second,
        waits,
        bulk,
        {"type": "data_sync", "operation": {**state, "archived": archived}, "link": link_state},
        {"type": "ping"},
        {"type": "pong", "server_time": AT, "clock": 1_768_471_200_500},
        {"type": "locks", "leases": [lease]},
        {"type": "lock_acquired", **lease, "request": 1},
        {"type": "lock_failed", **lease, "request": 1},
        {"type": "lock_released", **lease},
        {**lease, "type": "acquire_lock", "request": 1, "timeout": 1000, "wait_ms": 400, "offer": False},
        {"type": "release_lock", "lock_id": "lock-1", "terminal_id": "bia"},
        {"type": "digest", "types": {"orders": "1:00000000000000ab"}},
        {"type": "digest_buckets", "buckets": {"orders": ["0"] * 255 + ["ab"]}, "count": 3},
        {"type": "digest_buckets", "buckets": {}, "count": 3, "parts": {"orders": {"3": ["0"] * 256}}},
        {"type": "digest_keys", "entity_type": "orders", "buckets": {"0": keys, "255": ""}},
        {"type": "digest_want", "keys": keys},
        {"type": "contents", "entity_type": "orders", "root": "", "after": "", "last": True, "hashes": {"o": ""}},
        {"type": "contents_compared", "differing": ["o"]},
        {"type": "terminal_status_update", "nodes": {"n2": [5, {"bia": {"type": "pos", "status": "online"}}]}},
        {"type": "sync_error", "code": 4004, "error": "another node"},
    ]


def link_frames() -> list[bytes]:
    """Each message alone; `LinkMessages` reads arrays of them too."""
    return [*(orjson.dumps(message) for message in link_messages()), orjson.dumps(link_messages()[:6])]


def keyed(line: bytes) -> bytes:
    """A frame of mutated messages under the keys that they have now, so that they get past the check of them."""
    try:
        loaded = orjson.loads(line)
        for message in loaded if isinstance(loaded, list) else [loaded]:
            link, operation = message["link"], message["operation"]
            link["key"] = link_key(name_of(link["terminal_id"], operation["id"]), link["updates"])
        return orjson.dumps(loaded)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return line
