"""Who is connected, and what the terminal did."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field

from crdt.classes import define, frozen


@frozen
class Identity:
    """Who is connected, as the connection's URL says (node/wire/protocol.md, "Connecting")."""

    terminal_id: str
    terminal_type: str
    user_id: str | None
    session_id: str


@define(eq=False)
class Activity:
    """What this terminal did, for status and metrics."""

    connected_ms: int
    last_ping_ms: int
    last_sync_ms: int | None = None
    messages: int = 0
    operations: int = 0
    errors: int = 0
    latency_ms: float | None = None
    performance: Mapping[str, object] = field(factory=dict)
