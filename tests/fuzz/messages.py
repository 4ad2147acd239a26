"""Targets: the messages of terminals, and those of linked nodes, as far as they are only read."""

from __future__ import annotations

from typing import Any

import orjson
from attrs import evolve

from node.errors import InvalidMessage
from node.wire.codec import LONGEST_ID, decode
from node.wire.links import handshake, locks, operations, positions, states
from node.wire.messages import DataSync
from tests.fuzz.samples import link_frames, terminal_messages
from tests.limits import LIMITS


class Messages:
    """`decode` answers with a message or an InvalidMessage, the same for text and bytes; an operation goes round."""

    def __call__(self, data: bytes) -> None:
        found = answered(data)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            assert found is None
            return
        assert answered(text) == found
        if isinstance(found, DataSync):
            again = orjson.dumps({"type": "data_sync", "operation": found.operation.raw})
            assert answered(again) == found

    def close(self) -> None:
        return None

    @staticmethod
    def seeds() -> list[bytes]:
        return [orjson.dumps(message) for message in terminal_messages()]


def answered(text: str | bytes) -> Any:
    try:
        return decode(text, LIMITS)
    except InvalidMessage as error:
        check_refusal(error)
        return None


def check_refusal(error: InvalidMessage) -> None:
    assert error.code == 4006
    assert error.where is not None
    assert error.where.startswith("$")
    for named in (error.operation_id, error.entity_type, error.entity_id):
        assert named is None or len(named) <= LONGEST_ID
    assert len(orjson.dumps([error.reason, error.where, error.operation_id])) < 10_000


class LinkMessages:
    """The readers of a linked node's messages raise nothing but InvalidMessage, and what is passed on goes round."""

    def __call__(self, data: bytes) -> None:
        try:
            loaded = orjson.loads(data)
        except ValueError:
            return
        for message in loaded if isinstance(loaded, list) else [loaded]:
            if isinstance(message, dict):
                self._read(message)

    def _read(self, message: dict[str, Any]) -> None:
        for read, written in READERS:
            try:
                found = read(message)
            except InvalidMessage as error:
                orjson.dumps(str(error))
                continue
            if written is not None:
                assert read(orjson.loads(written(found))) == found
        if states.is_state(message):
            try:
                whole = states.Parts().take(message) if states.is_part(message) else message
                state = states.remote_state(whole) if whole is not None else None
            except InvalidMessage:
                return
            if state is not None:
                operation = states.state_operation("state-1", state.key, state.archived)
                parts, again = states.Parts(), None
                for text in states.state_messages(operation, state.snapshot):
                    part = orjson.loads(text)
                    again = parts.take(part) if states.is_part(part) else part
                assert again is not None
                assert states.remote_state(again) == evolve(state, closed=())

    def close(self) -> None:
        return None

    @staticmethod
    def seeds() -> list[bytes]:
        return link_frames()


def _rewritten(remote: operations.RemoteOperation) -> bytes:
    """As `operation_message` writes the row that it becomes."""
    link = {
        "updates": orjson.Fragment(remote.entries),
        "hlc": [remote.stamp, remote.accepted],
        "origin": remote.origin,
        "terminal_id": remote.terminal_id,
        "user_id": remote.user_id,
        "lock_status": remote.lock_status,
        "key": remote.link_key,
    }
    return b'{"operation":' + remote.authored + b',"link":' + orjson.dumps(link) + b"}"


NOBODY = handshake.Identification(b"", b"")

READERS: tuple[tuple[Any, Any], ...] = (
    (operations.remote_operation, _rewritten),
    (handshake.read_clock, lambda clock: orjson.dumps({"clock": clock})),
    (positions.read_positions, None),
    (positions.read_claim, positions.position_confirmation),
    (handshake.read_established, lambda hello: handshake.established(hello, "t", "now", "session", NOBODY)),
    (states.read_progress, None),
    (locks.read_lease, locks.granted),
    (locks.read_leases, locks.snapshot),
    (locks.read_request, locks.request),
    (locks.read_release, lambda found: locks.release(*found)),
)
