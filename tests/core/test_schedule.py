"""What is done when, by a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field

from node.core.faults import Faults
from node.core.ports import Health, Instant
from node.core.schedule import CHECKPOINT_MS, STATUS_BYTES_A_SECOND, Schedule, schedule
from node.core.statistics import Statistics


@define(eq=False)
class Node:
    """A core and its shell: both write down what was asked of them."""

    said: list[str] = field(factory=list)
    health: Health = field(factory=Health)
    came: bool = False
    now_ms: int = 0
    status: bytes = b"status"
    statistics: Statistics = field(factory=lambda: Statistics(started_ms=0))
    faults: Faults = field(factory=Faults)

    # ------------------------------------------------------------------ the core

    @property
    def replica(self) -> Node:
        return self

    def probe_owed(self) -> None:
        self.said.append("probe")

    def tick(self) -> None:
        self.said.append("tick")

    def clock(self) -> Instant:
        return Instant(0, self.now_ms)

    def monitors(self) -> list[str]:
        return ["monitor-1"]

    def changed(self) -> bool:
        came, self.came = self.came, False
        return came

    @property
    def links(self) -> Node:
        return self

    @property
    def neighbours(self) -> Node:
        return self

    @property
    def sessions(self) -> Node:
        return self

    def say(self, *, force: bool) -> None:
        self.said.append("tell nodes")

    def note_figures(self, database_bytes: int, memory_bytes: int) -> None:
        assert (database_bytes, memory_bytes) == (10_000, 50 << 20)
        self.said.append("figures")

    # ------------------------------------------------------------------ the shell

    def read_again(self) -> None:
        self.said.append("read again")

    def heartbeat(self) -> None:
        self.said.append("heartbeat")

    def memory_mb(self) -> float:
        return 50.0

    def database_bytes(self) -> int:
        return 10_000

    def checkpoint(self) -> None:
        self.said.append("checkpoint")


class Monitors:
    """What monitors are told, in one word a message."""

    @staticmethod
    def terminal_status(node: Node) -> bytes:
        return node.status

    @staticmethod
    def performance(_: Node, memory_mb: float) -> list[bytes]:
        return [b"metrics %d" % memory_mb]

    @staticmethod
    def tell(node: Node, messages: list[bytes]) -> None:
        node.said += [message.decode() for message in messages]


@pytest.fixture(autouse=True)
def _monitors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.core.schedule.monitors", Monitors)


def table(node: Any, *, status_ms: float | None = 5_000, metrics_ms: float | None = 10_000) -> Schedule:
    return schedule(node, node, now_ms=0, status_ms=status_ms, metrics_ms=metrics_ms)


def test_nothing_is_due_at_the_start_and_everything_in_its_time() -> None:
    found = table(Node())
    first: dict[str, float] = {}
    for now_ms in range(0, CHECKPOINT_MS + 1, int(found.turn_ms)):
        for name in found.step(now_ms):
            first.setdefault(name, now_ms)
    assert first == {
        "probe": 50,
        "change": 100,
        "second": 1_000,
        "status": 5_000,
        "metrics": 10_000,
        "figures": 15_000,
        "checkpoint": 30_000,
    }


def test_each_job_runs_as_often_as_its_period_says() -> None:
    found, ran = table(Node()), []
    for now_ms in range(0, 10_001, 50):
        ran += found.step(now_ms)
    assert {name: ran.count(name) for name in set(ran)} == {
        "probe": 200,
        "change": 100,
        "second": 10,
        "status": 2,
        "metrics": 1,
    }


def test_after_a_long_silence_every_job_that_is_due_runs_once_in_the_order_of_the_table() -> None:
    found = table(Node())
    assert found.step(10**9) == ["probe", "second", "change", "status", "metrics", "figures", "checkpoint"]
    assert found.step(10**9) == []


def test_a_terminal_that_comes_or_goes_is_told_within_a_tenth_of_a_second() -> None:
    node = Node()
    found = table(node, status_ms=None, metrics_ms=None)
    found.step(100)
    assert "status" not in node.said
    node.came = True
    found.step(200)
    assert node.said[-2:] == ["tell nodes", "status"]


def test_status_and_metrics_are_sent_by_the_clock_with_the_round_trips_measured_before() -> None:
    node = Node()
    found = table(node)
    found.step(5_000)
    assert node.said[-3:] == ["heartbeat", "tell nodes", "status"]
    found.step(10_000)
    assert node.said[-1] == "metrics 50"


def test_a_state_of_many_terminals_is_told_less_often_and_never_forgotten() -> None:
    node = Node(status=b"s" * 3 * STATUS_BYTES_A_SECOND)
    found = table(node)
    sent = []
    for now_ms in range(100, 60_001, 100):
        node.now_ms, node.came, before = now_ms, now_ms <= 30_000, len(node.said)
        found.step(now_ms)
        sent += [now_ms for said in node.said[before:] if said == node.status.decode()]
    assert sent == [*range(100, 30_000, 3_000), 30_100, 35_000, 40_000, 45_000, 50_000, 55_000, 60_000]


def test_what_is_left_out_never_runs() -> None:
    node = Node()
    ran = table(node, status_ms=None, metrics_ms=None).step(10**9)
    assert ran == ["probe", "second", "change", "checkpoint"]
    assert "heartbeat" not in node.said


def test_the_wal_is_moved_only_where_something_was_committed_since() -> None:
    node = Node()
    found = table(node)
    found.step(CHECKPOINT_MS)
    assert "checkpoint" not in node.said
    node.statistics.commits = 1
    found.step(2 * CHECKPOINT_MS)
    found.step(3 * CHECKPOINT_MS)
    assert node.said.count("checkpoint") == 1


def test_a_node_whose_disk_fails_moves_its_wal_as_soon_as_it_can_write_again() -> None:
    node = Node(health=Health(ok=False))
    node.statistics.commits = 1
    found = table(node)
    assert "checkpoint" not in found.step(CHECKPOINT_MS)
    node.health.ok = True
    assert "checkpoint" in found.step(CHECKPOINT_MS + 1_000)
    assert node.said.count("checkpoint") == 1
