"""Writes down a run of the harness or of a mesh, a line for each message that leaves and for each commit, in order.

    ana -> n1      data_sync ana.op-1: UPDATE customers/c-1 {"phone":"2"}
    n1 commits     row 2: operation ana.op-1, applied, version 2
    n1 -> ana      sync_confirmation ana.op-1: applied, version 2

Left out is what goes on by the clock or is the same in every walk: pings, lists of terminals, comparisons by digest,
times, and what of a commit only helps a restart. A link's message stands where it is sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from attrs import define, field

from storage.sqlite.database import StorageError
from tests.harness import Client, Connection, World
from tests.mesh import End

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from node.wire.frames import Batch, Outgoing
    from storage.records import Commit

WHO = 20
"""Width of the first column."""

LONG_ID = re.compile(r"\b(conflict|resolution)-([0-9a-f]{6})[0-9a-f]+")

SILENT = {"ping", "pong", "terminal_status_update", "digest", "digest_buckets", "contents", "contents_compared"}
UNTOLD = {"type", "timestamp", "server_time", "session_id", "terminal_id", "entity_type", "entity_id", "wait_ms"}
"""Fields that are times, or stand elsewhere on the line."""


@define
class Recorder:
    """What was heard since the first `tell`."""

    lines: list[str] = field(factory=list)
    open: bool = False

    def tell(self, what: str) -> None:
        """A sentence between the lines: what happens outside the nodes."""
        self.open = True
        self.lines += ["", f"-- {what}"]

    def write(self, who: str, what: str) -> None:
        if self.open:
            self.lines.append(LONG_ID.sub(r"\1-\2", f"{who:<{WHO}} {what}"))

    def say(self, who: str, to: str, payload: bytes | str, *, link: bool = False) -> None:
        """A frame leaves: one message, or a list of them."""
        loaded = orjson.loads(payload)
        for message in loaded if isinstance(loaded, list) else [loaded]:
            if message["type"] not in SILENT:
                self.write(f"{who} -> {to}", link_message(message) if link else terminal_message(message))

    def text(self, title: str) -> str:
        return "\n".join([f"# {title}", *self.lines]) + "\n"


def watched(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A recorder of everything that clients, nodes and links send and commit from now on."""
    walk = Recorder()
    send, to_terminal, to_node, write = Client.send, Connection.send, End.send, World.write

    def client_sends(client: Client, message: dict[str, Any]) -> None:
        walk.say(client.name, client.world.node_id, orjson.dumps(message))
        send(client, message)

    def node_sends(connection: Connection, what: Outgoing | Batch) -> None:
        known = len(connection.frames)
        to_terminal(connection, what)
        for frame in list(connection.frames)[known:]:
            assert isinstance(frame, bytes)
            walk.say(connection.client.world.node_id, connection.client.name, frame)

    def link_sends(end: End, what: Outgoing | Batch) -> None:
        known = len(end.frames)
        to_node(end, what)
        for frame in list(end.frames)[known:]:
            walk.say(end.name, end.other, frame, link=True)

    def commits(world: World, commit: Commit) -> None:
        try:
            write(world, commit)
        except StorageError as error:
            walk.write(f"{world.node_id} fails", f"to commit {len(commit.rows)} row(s): {error}")
            raise
        for number, line in enumerate(dict.fromkeys(committed(commit))):
            walk.write(f"{world.node_id} {'and' if number else 'commits'}", line)

    monkeypatch.setattr(Client, "send", client_sends)
    monkeypatch.setattr(Connection, "send", node_sends)
    monkeypatch.setattr(End, "send", link_sends)
    monkeypatch.setattr(World, "write", commits)
    return walk


# ------------------------------------------------------------------ one line each


def compact(value: object) -> str:
    return orjson.dumps(value).decode()


def subject_text(message: dict[str, Any]) -> str:
    return f"{message['entity_type']}/{message.get('entity_id')}"


def operation_text(operation: dict[str, Any]) -> str:
    return f"{operation['id']}: {operation['operation']} {subject_text(operation)} {compact(operation['data'])}"


def fields_text(message: dict[str, Any]) -> str:
    """`type subject name=value ...`; a string without quotes, unless it has spaces."""
    words = [message["type"], *([subject_text(message)] if "entity_type" in message else [])]
    for name, value in message.items():
        if name not in UNTOLD:
            words.append(f"{name}={value if isinstance(value, str) and ' ' not in value else compact(value)}")
    return " ".join(words)


def conflict_text(conflict: dict[str, Any]) -> str:
    sides = [f"{side['operation_id']} {compact(side['data'])}" for side in conflict["candidates"]]
    return f"{conflict['id']} {subject_text(conflict)} {conflict['state']}: {' against '.join(sides)}"


def terminal_message(message: dict[str, Any]) -> str:
    kind = message["type"]
    if kind == "data_sync":
        return f"{kind} {operation_text(message['operation'])}"
    if kind == "sync_confirmation":
        answer = f": {message['status']}, version {message['version']}" if "status" in message else ""
        return f"{kind} {message['operation_id']}{answer}"
    if kind == "sync_conflict":
        return f"{kind} {conflict_text(message['conflict'])}"
    return fields_text(message)


def link_message(message: dict[str, Any]) -> str:
    kind = message["type"]
    if kind == "data_sync":
        return f"{kind} {operation_text(message['operation'])}, accepted by {message['link']['origin']}"
    if kind == "log_position":
        return f"{kind}: sent up to row {min(message['positions'])}"
    if kind == "sync_confirmation":
        return f"{kind}: holds up to row {min(message['positions'])}"
    if kind == "connection_established":
        holds = message["node"]["holds"]
        return f"{kind}: head {message['node']['head']}, holds up to row {min(holds['positions'])}"
    return fields_text(message)


def committed(commit: Commit) -> Iterator[str]:
    """What of a commit others may learn."""
    for row in commit.rows:
        words = [f"row {row.seq}: {row.kind} {row.operation_id}"]
        words += [row.status] if row.status != row.kind else []
        words += [f"version {row.version}"] if row.version else []
        words += [f"for {', '.join(row.targets)}"] if row.targets else []
        yield ", ".join(words)
    for conflict in commit.conflicts:
        yield f"conflict {conflict.conflict_id} {conflict.state}: {', '.join(conflict.operations)}"
    for lock in commit.locks:
        state = "released" if lock.released else f"for {lock.timeout_ms} ms"
        yield f"{lock.lock_id} of {lock.terminal_id} on {lock.entity_type}/{lock.entity_id} {state}"
    for cursor in commit.cursors:
        yield f"{cursor.terminal_id} has rows up to {min(cursor.positions)}"
    for peer in commit.peers[-1:]:
        yield f"holds {peer.node_id}'s log up to row {min(peer.positions)}"


def compare(walk: Recorder, file: Path, title: str, *, rewrite: bool) -> None:
    """Raises AssertionError where the run is not what the file says. rewrite: it becomes what the file says."""
    text = walk.text(title)
    if rewrite:
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{file.name}: COMANDA_WRITE_WALKS=1 writes it again"
