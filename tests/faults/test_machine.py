"""The machine itself: its clock is set, its process stands still for a while."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import TYPE_CHECKING

from crdt.hlc import millis
from storage.sqlite.reader import Reader
from tests.faults.rig import applied, get, orders, said, trouble, until, verified

if TYPE_CHECKING:
    from tests.faults.conftest import Store

DAY_MS = 86_400_000
YEARS_MS = 1_500 * DAY_MS


def test_a_clock_that_jumps_ahead_and_back_while_running_and_over_a_restart(store: Store) -> None:
    offset = store.directory / "offset"
    offset.write_text("0")
    node = store.node(first=("tests.faults.shifted_clock:by", str(offset))).start()
    till = store.till("a", node)
    versions = []

    def jump(by_ms: int, words: str) -> None:
        noted = len(said(node))
        fresh = store.directory / "offset.new"
        fresh.write_text(str(by_ms))
        fresh.replace(offset)
        until(lambda: words in said(node)[noted:], words)
        versions.append(till.write("o")["version"])

    def restart(at_ms: int) -> None:
        assert node.stop() == 0
        offset.write_text(str(at_ms))
        node.start()
        versions.append(till.write("o")["version"])
        assert orders(node)["o"]["version"] == versions[-1]

    versions.append(till.write("o")["version"])
    jump(YEARS_MS, "jumped forward by 1,500 days")
    restart(0)
    until(lambda: "the clock is back from a jump" in said(node), "the clock being back")
    jump(-DAY_MS - 3_600_000, "jumped back by 25 hours")
    assert b"comanda_clock_jumps_total 1.0" in get(node, "/metrics").content
    assert "25 hours behind the latest operation" in said(node)
    assert trouble(node) is None
    restart(YEARS_MS)
    assert "1,500 days past the latest operation here" in said(node)
    assert node.stop() == 0
    assert versions == list(range(1, len(versions) + 1))
    with closing(Reader(node.data / "comanda.db")) as reader:
        days = [millis(row.accepted) // DAY_MS for row in reader.rows(None, 0, 2**60, 100) if row.kind == "operation"]
        stamps = [row.accepted for row in reader.rows(None, 0, 2**60, 100) if row.kind == "operation"]
    today = days[0]
    assert [day - today > 1_000 for day in days] == [False, True, False, False, True]
    right = [stamp for day, stamp in zip(days, stamps, strict=True) if day - today < 1_000]
    assert right == sorted(set(right)), "what was stamped while the clock was right or behind never goes back"
    assert set(applied(node.data)) == set(till.confirmed)
    verified(node.data)


def test_a_node_that_stands_still_is_missed_and_comes_back_as_the_one_it_was(store: Store) -> None:
    quick = "[links]\nsilence_s = 0.5\nping_s = 0.1\nfar_ping_s = 0.1\n"
    hub = store.node("hub", "--id", "central", config=quick).start()
    node = store.node("caixa", "--id", "caixa", "--upstream", hub.url, config=quick).start()
    above, till = store.till("hub-till", hub), store.till("a", node)
    till.writes(10)
    above.writes(10)
    until(lambda: orders(hub) == orders(node), "the same on both nodes")

    def linked() -> list[str]:
        return [link["state"] for link in get(hub, "/api/v1/links").json()["links"]]

    node.process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: linked() == [], "the link being missed")
        above.writes(10)
    finally:
        node.process.send_signal(signal.SIGCONT)
    till.writes(10)
    assert till.connections == 1, "its terminal did not notice"
    until(lambda: linked() == ["up"], "the link")
    until(lambda: orders(hub) == orders(node), "the same on both nodes")
    for each in (hub, node):
        report = get(each, "/api/v1/links").json()
        assert report["twins"] == []
        assert report["quarantine"] == {"bad": 0, "waiting": 0, "by_node": {}}
        assert trouble(each) is None
        said(each)
    confirmed = {**above.confirmed, **till.confirmed}
    for each in (hub, node):
        assert each.stop() == 0
        assert set(applied(each.data)) == set(confirmed)
        verified(each.data)
