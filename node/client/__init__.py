"""A terminal's side of the protocol, for programs: an offline queue, the live set of entities, locks, conflicts.

    async with connect("ws://localhost:8001", "waiter-1", "waiter", store="waiter-1.db") as terminal:
        await terminal.create("orders", "mesa-7", {"status": "pending"})

`node.client.sync` is the same for programs without trio. Nothing here loads the node.
"""

from node.client.screen import DOCUMENTED_COUNTERS
from node.client.store import StoreError
from node.client.terminal import LockRefused, Terminal, connect
from node.client.values import (
    Conflict,
    Contact,
    Event,
    Heard,
    Lock,
    LockChange,
    Operation,
    Progress,
    Row,
    State,
    Waits,
)

__all__ = [
    "DOCUMENTED_COUNTERS",
    "Conflict",
    "Contact",
    "Event",
    "Heard",
    "Lock",
    "LockChange",
    "LockRefused",
    "Operation",
    "Progress",
    "Row",
    "State",
    "StoreError",
    "Terminal",
    "Waits",
    "connect",
]
