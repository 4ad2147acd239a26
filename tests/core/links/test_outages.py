"""What is said of links that go down and come back, over values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.core.links.outages import MOST, SAID_AFTER_MS, Outages, Seen
from node.core.ports import Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB = "wss://hub:8001"
UP, REFUSED = Seen(True), Seen(False, "connection refused")


def at(ms: int) -> Instant:
    return Instant(1_700_000_000_000 + ms, ms)


def said(outages: Outages, *looks: Mapping[str, Seen]) -> list[str]:
    """What a look each second says."""
    return [str(event) for second, seen in enumerate(looks) for event in outages.look(at(second * 1000), seen)]


def test_an_outage_is_said_once_with_its_reason_and_once_when_it_is_over() -> None:
    lines = said(Outages(), {HUB: UP}, *[{HUB: REFUSED}] * 60, {HUB: UP}, {HUB: UP})
    assert lines == [
        f"the link to {HUB} is down: connection refused; what is written here waits",
        f"the link to {HUB} is back after 60 s",
    ]


def test_a_link_that_was_never_up_is_said_too() -> None:
    assert len(said(Outages(), *[{HUB: REFUSED}] * 10)) == 1


def test_a_node_that_only_starts_again_is_not_worth_a_line() -> None:
    short = [{HUB: REFUSED}] * (SAID_AFTER_MS // 1000)
    assert said(Outages(), {HUB: UP}, *short, {HUB: UP}, *short, {HUB: UP}) == []


def test_a_node_that_dialled_and_is_gone_is_down_with_what_ended_its_connection() -> None:
    outages = Outages()
    outages.note_end("till-3", "1006 nothing heard")
    assert said(outages, {"till-3": UP}, {}, {}, {}) == [
        "the link to till-3 is down: 1006 nothing heard; what is written here waits"
    ]
    assert outages.down()["till-3"].since == at(1000)


def test_a_node_that_has_the_name_of_its_address_is_not_down_under_its_id() -> None:
    outages = Outages()
    outages.look(at(0), {"hub": UP})
    assert outages.look(at(5000), {HUB: UP}, ["hub"]) == []
    assert outages.down() == {}


def test_the_reason_is_the_latest_and_since_when_stays() -> None:
    outages = Outages()
    said(outages, {HUB: UP}, {HUB: REFUSED}, {HUB: Seen(False, "4003 its token")}, {HUB: Seen(False)})
    assert (outages.down()[HUB].why, outages.down()[HUB].since) == ("4003 its token", at(1000))


def test_what_is_remembered_is_bounded() -> None:
    outages = Outages()
    for number in range(MOST + 10):
        outages.note_end(f"n{number}", "gone")
        outages.look(at(0), {f"n{number}": UP})
    assert len(outages.links) == len(outages.ended) == MOST
