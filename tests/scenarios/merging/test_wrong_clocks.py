"""Two write one field without knowing of each other, and the clock of one is wrong: the later write wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from crdt import hlc
from node.config.sections import Config
from node.core.log.messages import audit_entry
from node.core.terminal_clocks import SHOWN
from node.runtime.api.links import links_report
from node.runtime.api.metrics import exposition
from tests.harness import Client, World, settle_all

if TYPE_CHECKING:
    from pathlib import Path

MINUTE, DAY = 60_000, 86_400_000
WRONG = {
    "right": 0,
    "a second ahead": 1_000,
    "ten minutes behind": -10 * MINUTE,
    "ten minutes ahead": 10 * MINUTE,
    "a day ahead": DAY - 2 * MINUTE,
    "a day behind": -DAY,
    "never set": -50 * 365 * DAY,
}


class Store:
    """ana's clock is wrong, bia's is right. Neither confirms, so neither has seen what the other writes."""

    def __init__(self, world: World, ahead_ms: int) -> None:
        self.world, self.ahead_ms = world, ahead_ms
        self.ana = Client(world, "ana", confirms=False, pongs=False).connect()
        self.bia = Client(world, "bia", confirms=False, pongs=False).connect()
        self.pings(3)
        Client(world, "zoe").connect().do("orders", "m", "CREATE", {"note": "-"})
        self.settle()

    def settle(self) -> None:
        settle_all(self.world, [self.ana, self.bia])

    def pings(self, count: int) -> None:
        for _ in range(count):
            self.world.advance(30_000)
            for client, ahead_ms in ((self.ana, self.ahead_ms), (self.bia, 0)):
                client.send({"type": "ping", "timestamp": hlc.iso(self.world.wall_ms + ahead_ms)})

    def write(self, client: Client, note: str, *, queued: bool) -> dict[str, Any]:
        ahead_ms = self.ahead_ms if client is self.ana else 0
        operation = client.operation("orders", "m", "UPDATE", {"note": note}, version=2)
        operation["timestamp"] = hlc.iso(self.world.wall_ms + ahead_ms)
        if not queued:
            client.submit(operation)
            self.settle()
        return operation

    def collide(self, order: list[tuple[Client, str]], queued: set[str]) -> None:
        """They write half a minute apart; who is queued sends it ten minutes later, on a new connection."""
        waiting = []
        for client, note in order:
            if client.name in queued and client.session is not None:
                client.disconnect()
            waiting.append((client, self.write(client, note, queued=client.name in queued)))
            self.world.advance(30_000)
        self.world.advance(10 * MINUTE)
        for client, operation in waiting:
            if client.name in queued:
                client.connect()
                client.submit(operation)
        self.settle()


@pytest.mark.walk(3)
@pytest.mark.parametrize(
    "queued", [(), ("ana",), ("bia",), ("ana", "bia")], ids=lambda names: "+".join(names) or "live"
)
@pytest.mark.parametrize("last", ["ana", "bia"])
@pytest.mark.parametrize("ahead", WRONG.values(), ids=list(WRONG))
def test_the_later_of_two_writes_wins_whatever_the_clocks_show(
    world: World, ahead: int, last: str, queued: tuple[str, ...]
) -> None:
    store = Store(world, ahead)
    both = [(store.ana, "of ana"), (store.bia, "of bia")]
    store.collide(both if last == "bia" else both[::-1], set(queued))
    assert world.view("orders")["m"]["note"] == f"of {last}"


@pytest.mark.parametrize("ahead", WRONG.values(), ids=list(WRONG))
def test_a_confirmation_tells_the_clock_of_a_terminal_that_sends_nothing_else(world: World, ahead: int) -> None:
    sale = Client(world, "zoe").connect()
    ana = Client(world, "ana", confirms=False, pongs=False).connect()
    sale.do("products", "p", "CREATE", {"stock": 9})
    world.advance(200)
    confirm(ana, {"timestamp": hlc.iso(world.wall_ms + ahead)})
    assert world.core.replica.terminal_clocks.offset_ms("ana", world.now()) == (-ahead if abs(ahead) > 2_000 else 0)


def test_a_confirmation_of_what_an_earlier_connection_was_sent_tells_no_clock(world: World) -> None:
    sale = Client(world, "zoe").connect()
    ana = Client(world, "ana", confirms=False, pongs=False).connect()
    sale.do("products", "p", "CREATE", {"stock": 9})
    made = {"timestamp": hlc.iso(world.wall_ms)}
    ana.disconnect()
    world.advance(5 * MINUTE)
    ana.connect()
    world.settle()
    confirm(ana, made)
    assert world.core.replica.terminal_clocks.offset_ms("ana", world.now()) is None


@pytest.mark.parametrize("timestamp", ["soon", "9999-12-31T23:59:59.999-23:59", 7, {}, [], True, None])
def test_a_confirmation_counts_whatever_its_timestamp_is(world: World, timestamp: object) -> None:
    sale = Client(world, "zoe").connect()
    ana = Client(world, "ana", confirms=False, pongs=False).connect()
    sale.do("products", "p", "CREATE", {"stock": 9})
    confirm(ana, {"timestamp": timestamp})
    assert ana.session is not None
    assert ana.session.delivery.window.under_way == 0
    assert not ana.of("sync_error")


def confirm(client: Client, extra: dict[str, Any]) -> None:
    """Take what was sent, and confirm it."""
    client.world.settle()
    client.receive()
    for message in client.of("data_sync"):
        client.send({"type": "sync_confirmation", "operation_id": message["operation"]["id"], **extra})


def test_the_answer_says_how_an_operation_counts_and_the_audit_keeps_what_was_sent(world: World) -> None:
    store = Store(world, DAY - 2 * MINUTE)
    operation = store.write(store.ana, "x", queued=False)
    answer = store.ana.answer(operation["id"])
    assert answer["clock_skew_ms"] == DAY - 2 * MINUTE
    assert answer["counted_by"] == "measured"
    (entry,) = [e for e in audit(world) if e["operation_id"] == operation["id"]]
    assert entry["timestamp"] == operation["timestamp"]
    assert entry["effective_timestamp"] == hlc.iso(world.wall_ms)
    assert entry["changes"]["counted_by"] == "measured"


def audit(world: World) -> list[dict[str, Any]]:
    return [audit_entry(row) for row in world.reader.audit()]


@pytest.mark.parametrize(
    "timestamp", ["1969-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999-23:59"]
)
def test_a_time_that_cannot_be_costs_nothing_but_itself(world: World, timestamp: str) -> None:
    ana = Client(world, "ana").connect()
    answer = ana.do("orders", "m", "CREATE", {"n": 1}, timestamp=timestamp)
    assert answer["status"] == "applied"
    assert answer["clock_skew_ms"] == hlc.parse_iso(timestamp) // 1000 - world.wall_ms


def test_who_saw_the_other_value_does_not_lose_against_a_third_that_is_older(world: World) -> None:
    """ana's clock is behind and was never measured. She saw bia's, which is later than ciro's; so hers is too."""
    ana, bia, ciro = (Client(world, name).connect() for name in ("ana", "bia", "ciro"))
    ana.do("orders", "m", "CREATE", {"note": "-"}, timestamp=hlc.iso(world.wall_ms - 20 * MINUTE))
    settle_all(world, [ana, bia, ciro])
    ciro.confirms = ciro.pongs = False
    ciro.disconnect()
    late = ciro.operation("orders", "m", "UPDATE", {"note": "ciro"}, version=2)
    world.advance(5_000)
    bia.do("orders", "m", "UPDATE", {"note": "bia"})
    settle_all(world, [ana, bia])
    behind = hlc.iso(world.wall_ms - 10 * MINUTE)
    answer = ana.do("orders", "m", "UPDATE", {"note": "ana"}, timestamp=behind)
    assert answer.get("counted_by") == "seen"
    ciro.connect()
    ciro.submit(late)
    settle_all(world, [ana, bia, ciro])
    assert world.view("orders")["m"]["note"] == "ana"


def test_metrics_and_status_name_the_worst_of_them(world: World) -> None:
    Store(world, 10 * MINUTE)
    clocks = world.core.replica.terminal_clocks
    for number in range(2 * SHOWN):
        clocks.heard(f"t-{number:03d}", (world.wall_ms - 3_000 - number) * 1000, world.now(), live=True)
    text = exposition(world.core).decode()
    assert 'comanda_terminal_clock_seconds{terminal="ana"} -600.0' in text
    assert text.count("comanda_terminal_clock_seconds{") == SHOWN
    assert f"comanda_terminal_clocks_wrong {2.0 * SHOWN + 1}" in text
    assert len(links_report(world.core, ())["clocks"]) == SHOWN


def test_what_was_measured_survives_the_node_s_crash(world: World) -> None:
    store = Store(world, -10 * MINUTE)
    store.world.advance(2_000)
    world.settle()
    world.crash()
    queue = store.write(Client(world, "ana"), "x", queued=True)
    queue["timestamp"] = hlc.iso(world.wall_ms - 10 * MINUTE)
    world.advance(MINUTE)
    ana = Client(world, "ana").connect()
    ana.submit(queue)
    settle_all(world, [ana])
    assert ana.answer(queue["id"])["clock_skew_ms"] == -10 * MINUTE


def test_a_time_without_an_offset_is_of_the_store_s_zone_and_that_is_said(tmp_path: Path) -> None:
    config = Config()
    config = evolve(config, time=evolve(config.time, zone="America/Sao_Paulo"))
    world = World(tmp_path / "node", config=config)
    ana = Client(world, "ana").connect()
    there = hlc.iso(world.wall_ms - 3 * 60 * MINUTE)[:-1]
    answer = ana.do("orders", "m", "CREATE", {"n": 1}, timestamp=there)
    assert answer["assumed_zone"] == "America/Sao_Paulo"
    assert "clock_skew_ms" not in answer
    assert "assumed_zone" not in ana.do("orders", "m", "UPDATE", {"n": 2})
    world.close()
