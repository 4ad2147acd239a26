"""A terminal that confirms each row, by whatever way the node reads it."""

from __future__ import annotations

import pytest

from node.core.sessions import session
from node.wire.codec import decode
from tests.harness import Client, World, settle_all


@pytest.mark.parametrize("windows", [1, 3])
def test_a_terminal_that_confirms_goes_on_through_a_backlog_without_any_pong(world: World, windows: int) -> None:
    ana = Client(world, "ana").connect()
    kds = Client(world, "kds", "kds", pongs=False).connect()
    settle_all(world, [ana, kds])
    kds.disconnect()
    count = windows * world.config.limits.window_rows + 7
    for number in range(count):
        ana.write(("orders", "products", "customers")[number % 3], f"e-{number % 9}", "UPDATE", {"n": number})
        if number % 50 == 0:
            settle_all(world, [ana])
    settle_all(world, [ana])
    kds.connect()
    settle_all(world, [ana, kds])
    assert len({m["operation"]["id"] for m in kds.of("data_sync")}) == count
    assert kds.session is not None
    assert kds.session.delivery.window.under_way == 0
    assert kds.session.delivery.window.positions == world.core.log.level


def test_a_confirmation_of_another_terminal_is_refused_also_after_many_of_ones_own(world: World) -> None:
    ana = Client(world, "ana").connect()
    bia = Client(world, "bia").connect()
    for number in range(3):
        ana.do("orders", "o-1", "UPDATE", {"n": number})
        settle_all(world, [ana, bia])
    bia.confirms = False
    for claims in ("caio", "bia"):
        operation_id = ana.write("orders", "o-1", "UPDATE", {"by": claims})
        settle_all(world, [ana, bia])
        bia.send({"type": "sync_confirmation", "operation_id": operation_id, "terminal_id": claims})
    settle_all(world, [bia])
    assert [m["code"] for m in bia.of("sync_error")] == [4008]


def test_a_confirmation_that_comes_behind_a_waiting_message_waits_too(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "o-1", "UPDATE", {"n": 1})
    settle_all(world, [ana, bia])
    assert bia.session is not None
    bia.session._inbox.waiting = True
    ana.do("orders", "o-1", "UPDATE", {"n": 2})
    bia.receive()
    assert bia.session.delivery.window.under_way == 1
    bia.session._inbox.waiting = False
    bia.session._inbox.drain()
    assert bia.session.delivery.window.under_way == 0


def test_only_the_first_confirmation_of_a_client_is_read_as_json(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    monkeypatch.setattr(session, "decode", lambda text, limits: (read.append(text), decode(text, limits))[1])
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    for number in range(5):
        ana.write("orders", f"o-{number}", "CREATE", {"n": number})
        ana.write("products", f"p-{number}", "CREATE", {"n": number})
        settle_all(world, [ana, bia])
    assert sum("sync_confirmation" in str(text) for text in read) == 1
    assert bia.session is not None
    assert bia.session.activity.messages == 10
    assert bia.session.delivery.window.positions == world.core.log.level
