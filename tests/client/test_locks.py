"""Locks as their holder knows them, whatever answers cross on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.client.core import Core

if TYPE_CHECKING:
    from node.client.values import Message

KEY = ("orders", "mesa-1")
REFUSED: Message = {
    "type": "lock_failed",
    "lock_id": "l",
    "reason": "Already locked by caixa-2",
    "locked_by": "caixa-2",
}
GRANTED: Message = {"type": "lock_acquired", "lock_id": "l", "scope": "node", "token": 7}


@pytest.mark.parametrize(
    "answers", [(REFUSED, GRANTED), (GRANTED, GRANTED)], ids=["refused, granted", "granted twice"]
)
def test_what_is_granted_to_nobody_is_given_back(answers: tuple[Message, Message]) -> None:
    """A slow node is asked again. Who was told of the first answer does not wait for the second."""
    core = Core("t-1", "pos")
    core.opened(0.0)
    lock, asked = core.lock("l", KEY, 30.0, None, 0.0)
    first, second = answers
    again = core.due(core.waits.answer, "2026-01-15T19:30:00.000Z")
    assert asked.send == [message for message in again.send if message["type"] == "acquire_lock"]
    core.received(first, 20.0)
    if lock.state == "held":
        core.release(lock)
    said = core.received(second, 21.0).send
    assert said == [{"type": "release_lock", "lock_id": "l", "terminal_id": "t-1"}]
