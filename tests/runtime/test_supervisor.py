"""What a node tells systemd: to a notify socket of the test's own."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.runtime.supervisor import ALIVE, FED_IN_A_PERIOD, READY, STOPPING, Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PERIOD_S = 30.0


@pytest.fixture(params=["file", "abstract", "odd name"])
def heard(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """systemd's end."""
    address = {
        "file": os.fsencode(tmp_path / "n"),
        "abstract": f"\0comanda-test-{os.getpid()}".encode(),
        "odd name": os.fsencode(tmp_path) + b"/\xff",
    }[request.param]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.setblocking(False)
        yield listening


def environment(heard: socket.socket, **more: str) -> dict[str, str]:
    name = heard.getsockname()
    said = os.fsdecode(b"@" + name[1:] if isinstance(name, bytes) else name)
    return {"NOTIFY_SOCKET": said, **more}


def waiting(heard: socket.socket) -> list[str]:
    """All that was said and not read yet."""
    said = []
    while True:
        try:
            said.append(heard.recv(1000).decode())
        except BlockingIOError:
            return said


def watched(heard: socket.socket) -> Supervisor:
    return Supervisor.of(environment(heard, WATCHDOG_USEC=str(int(PERIOD_S * 1e6)), WATCHDOG_PID="7"), 7)


def test_what_is_told_arrives(heard: socket.socket) -> None:
    supervisor = Supervisor.of(environment(heard), 7)
    supervisor.tell(READY)
    supervisor.tell(STOPPING)
    assert waiting(heard) == [READY, STOPPING]


async def test_the_watchdog_is_fed_often_enough(heard: socket.socket, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched(heard).feed)
        await trio.sleep(PERIOD_S * 2.01)
        nursery.cancel_scope.cancel()
    assert waiting(heard) == [ALIVE] * (2 * FED_IN_A_PERIOD + 1)
    assert FED_IN_A_PERIOD >= 2


async def test_a_loop_that_does_not_turn_does_not_feed(heard: socket.socket, mock_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched(heard).feed)
        await wait_all_tasks_blocked()
        assert waiting(heard) == [ALIVE]
        mock_clock.jump(PERIOD_S * 10)  # hours pass inside one turn
        assert waiting(heard) == []
        await wait_all_tasks_blocked()
        assert waiting(heard) == [ALIVE]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "1e6"},
        {"WATCHDOG_USEC": "²"},
        {"WATCHDOG_USEC": "9" * 5000},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "8"},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "seven"},
    ],
    ids=str,
)
async def test_without_a_watchdog_of_its_own_nothing_is_fed(heard: socket.socket, said: dict[str, str]) -> None:
    supervisor = Supervisor.of(environment(heard, **said), 7)
    await supervisor.feed()  # returns
    assert waiting(heard) == []
    supervisor.tell(READY)
    assert waiting(heard) == [READY]


def test_a_watchdog_that_names_no_process_is_for_this_one(heard: socket.socket) -> None:
    assert Supervisor.of(environment(heard, WATCHDOG_USEC="1500000"), 7).watchdog_s == 1.5


@pytest.mark.parametrize("said", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}], ids=str)
async def test_where_nobody_listens_nothing_is_said(said: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor.of({**said, "WATCHDOG_USEC": "1000"}, 7)
    supervisor.tell(READY)
    await supervisor.feed()
    assert caplog.messages == []


def test_a_socket_that_is_gone_or_full_costs_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Supervisor.of({"NOTIFY_SOCKET": str(tmp_path / "gone")}, 7)
    gone.tell(READY)
    long = Supervisor.of({"NOTIFY_SOCKET": "/" + "x" * 500}, 7)
    long.tell(READY)
    full = tmp_path / "full"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(full))
        supervisor = Supervisor.of({"NOTIFY_SOCKET": str(full)}, 7)
        while len(caplog.messages) < 3:
            supervisor.tell(ALIVE)
    assert [
        f"was not told {state}" in line for state, line in zip((READY, READY, ALIVE), caplog.messages, strict=True)
    ]
