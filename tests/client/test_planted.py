"""Clients that are wrong in one place, as a natural one is: random evenings catch each."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from node.client.core import Core
from node.client.screen import Screen
from node.client.values import Message, Operation, State
from tests.client.evening import evening

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from node.client.ready import Ready

numbers = count()
SEEDS = 40
"""Evenings in which a defect must show."""


def shown_at_the_confirmation(patch: pytest.MonkeyPatch) -> None:
    """An own write is applied (again) when it is confirmed."""
    settled = Screen.settled

    def wrong(self: Screen, operation: Operation) -> None:
        for key, kind, data in operation.writes:
            self.row({"entity_type": key[0], "entity_id": key[1], "operation": kind, "data": data})
        settled(self, operation)

    patch.setattr(Screen, "settled", wrong)


def refused_stays_on_the_screen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Screen, "undone", Screen.settled)


def rows_count_before_own_writes(patch: pytest.MonkeyPatch) -> None:
    """Own writes lie over whatever comes later, also once they are settled."""

    def wrong(self: Screen, operation: Message) -> tuple[str, ...]:
        found = row(self, operation)
        for key in [(operation["entity_type"], entity_id) for entity_id in found]:
            entity = self._at(key)
            entity.steps.sort(key=lambda step: step.own is not None)
            self._trim(key, entity)
        return found

    row = Screen.row
    patch.setattr(Screen, "row", wrong)


def not_sent_again(patch: pytest.MonkeyPatch) -> None:
    """Only what was never sent is sent."""
    send = Core._send

    def wrong(self: Core, operation: Operation, now: float, ready: Ready) -> None:
        if operation.state is not State.SENT:
            send(self, operation, now, ready)

    patch.setattr(Core, "_send", wrong)


def sent_again_backwards(patch: pytest.MonkeyPatch) -> None:
    opened = Core.opened

    def wrong(self: Core, now: float) -> Ready:
        ready = opened(self, now)
        ready.send.reverse()
        return ready

    patch.setattr(Core, "opened", wrong)


def never_everything(patch: pytest.MonkeyPatch) -> None:
    """A program that starts anew goes on from where the last one was."""
    patch.setattr(Core, "full", property(lambda self: False, lambda self, value: None), raising=False)


def forgotten_when_sent(patch: pytest.MonkeyPatch) -> None:
    """What was sent counts as done."""
    wrote = Core.wrote

    def wrong(self: Core, operation: Operation, now: float) -> Ready:
        ready = wrote(self, operation, now)
        if self.open:
            self._settle(operation, State.CONFIRMED, {}, ready)
        return ready

    patch.setattr(Core, "wrote", wrong)


DEFECTS: dict[Callable[[pytest.MonkeyPatch], None], int] = {
    shown_at_the_confirmation: 13,
    refused_stays_on_the_screen: 7,
    rows_count_before_own_writes: 13,
    not_sent_again: 0,
    sent_again_backwards: 0,
    never_everything: 10,
    forgotten_when_sent: 0,
}
"""By the evening that caught it once; where it does not any more, another one must."""


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_planted_defect_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: Callable[[pytest.MonkeyPatch], None]
) -> None:
    defect(monkeypatch)
    for seed in (DEFECTS[defect], *range(SEEDS)):
        folder = tmp_path / f"{next(numbers)}"
        try:
            evening(folder, seed)
        except AssertionError:
            return
    pytest.fail("no evening caught it")
