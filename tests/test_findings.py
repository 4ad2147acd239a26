"""What is found in the facts of a node, over values."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest

from node.findings import (
    CERTIFICATE_DAYS,
    DAY_MS,
    ERROR,
    LATE_DAYS,
    RECENT_MS,
    SLOW_MS,
    TEXTS,
    TOLD,
    WAL_BYTES,
    WARNING,
    Finding,
    diagnose,
)

NOW_MS = 1_800_000_000_000
DISK = {"total_bytes": 90, "low_bytes": 20, "last_bytes": 10}
LEVELS = {code: text[0] for code, text in TEXTS.items() if code != "told"}


def link(state: str, **more: Any) -> dict[str, Any]:
    return {"peer": "hub", "url": "wss://hub:8001", "state": state, "lag": 0, "oldest_ms": None, **more}


def linked(*links: dict[str, Any], away: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    return {"links": {"node_id": "till", "links": list(links), "away": list(away), **more}}


def holds(since_days: float, until_days: float) -> dict[str, Any]:
    since_ms, until_ms = (int(NOW_MS + days * DAY_MS) for days in (since_days, until_days))
    said = {"not_before": "a", "not_after": "b", "not_before_ms": since_ms, "not_after_ms": until_ms}
    return {"certificates": {"tls/certificate.pem": said}}


def refused(age_ms: int) -> dict[str, Any]:
    return {
        "refused": {"pos-1": {"why": "no token", "address": "a", "at": "b", "at_ms": NOW_MS - age_ms, "count": 3}}
    }


def keeps(days: int, oldest_days: int, **more: Any) -> dict[str, Any]:
    return {"retention": {"keep_days": days, "oldest_ms": NOW_MS - oldest_days * DAY_MS, **more}}


def found(facts: dict[str, Any]) -> list[Finding]:
    return diagnose({"at_ms": NOW_MS, **facts})


WELL: list[dict[str, Any]] = [
    {},
    linked(link("up")),
    linked(link("up", lag=5, oldest_ms=NOW_MS - SLOW_MS)),
    holds(-1, CERTIFICATE_DAYS + 1),
    refused(RECENT_MS + 1),
    {"backup": {"wrong": {}, "every_ms": DAY_MS, "last_ms": NOW_MS - 2 * DAY_MS}},
    {"backup": {"wrong": {}, "every_ms": 0.0, "last_ms": 1}},
    {"backup": {"wrong": {}, "every_ms": DAY_MS, "last_ms": None}},
    keeps(30, 30 + LATE_DAYS),
    keeps(0, 5_000, wrong="x"),
    {"retention": {"keep_days": 30, "oldest_ms": None}},
    {"disk": {**DISK, "free_bytes": 20}, "wal_bytes": WAL_BYTES, "clock": {"ahead_ms": 9, "max_skew_ms": 9}},
    {"disk": {}},
    linked(link("up", version="0.2.0", offset_ms=-9), version="0.2.0"),
    {**linked(link("up", offset_ms=60_000)), "clock": {"max_skew_ms": 60_000}},
    {
        "running": True,
        "unwritable": [],
        "absent": [],
        "certificates": {},
        "database": None,
        "port": None,
        "trouble": None,
        "refused": {},
        "exposed": [],
    },
    linked(quarantine={"bad": 0, "waiting": 3}, conflicts_open=0, clocks={}, **{name: [] for name, *_ in TOLD}),
]

ILL: list[tuple[str, dict[str, Any]]] = [
    ("not_running", {"running": False}),
    ("no_database", {"database": "gone"}),
    ("port_taken", {"port": "localhost:8001: in use"}),
    ("configuration", {"configuration": "[node] prt"}),
    ("not_storing", {"trouble": "disk full"}),
    ("link_down", linked(link("down"))),
    ("link_down", linked(link("handshake"))),
    ("link_refused", linked(link("paused", last_error="4003 wrong token"))),
    ("node_away", linked(away=(link("away", last_seen="2026"),))),
    ("behind", linked(link("up", lag=5, oldest_ms=NOW_MS - SLOW_MS - 1))),
    ("quarantine", linked(quarantine={"bad": 2})),
    ("kept_out", linked(link("up", kept_out={"count": 2, "why": "unknown entity type"}))),
    ("conflicts", linked(conflicts_open=2)),
    ("token_refused", refused(RECENT_MS)),
    ("clock", {"clock": {"ahead_ms": 10, "max_skew_ms": 9}}),
    ("terminal_clock", linked(clocks={"pos-1": -90_000})),
    ("certificate", holds(-1, CERTIFICATE_DAYS - 1)),
    ("certificate_over", holds(-2, -1)),
    ("certificate_over", holds(1, 100)),
    ("certificate_unreadable", {"certificates": {"ca.pem": {"why": "no PEM"}}}),
    ("disk_low", {"disk": {**DISK, "free_bytes": 19}}),
    ("disk_full", {"disk": {**DISK, "free_bytes": 9}}),
    ("wal", {"wal_bytes": WAL_BYTES + 1}),
    ("backup_failed", {"backup": {"wrong": {"/mnt/usb": "gone"}}}),
    ("backup_old", {"backup": {"wrong": {}, "every_ms": DAY_MS, "last_ms": NOW_MS - 2 * DAY_MS - 1}}),
    ("archive_failed", keeps(30, 5_000, wrong="disk full")),
    ("archive_held", keeps(30, 5_000, held_by={"node": "till", "confirmed": 7})),
    ("archive_late", keeps(30, 30 + LATE_DAYS + 1)),
    ("exposed", {"exposed": ["comanda.db"]}),
    ("unwritable", {"unwritable": ["comanda.db"]}),
    ("absent", {"absent": ["10.0.0.5"]}),
    ("version", linked(link("up", version="0.1.0"), version="0.2.0")),
    ("version", linked(link("up", version=""), version="0.2.0")),
    ("node_clock", {**linked(link("up", offset_ms=-61_000)), "clock": {"max_skew_ms": 60_000}}),
]


@pytest.mark.parametrize("facts", WELL)
def test_nothing_is_found_where_all_is_well(facts: dict[str, Any]) -> None:
    assert found(facts) == []


@pytest.mark.parametrize(("code", "facts"), ILL)
def test_each_trouble_is_one_finding_with_its_remedy_in_both_languages(code: str, facts: dict[str, Any]) -> None:
    (one,) = found(facts)
    assert (one.code, one.level) == (code, LEVELS[code])
    assert all((one.pt, one.en, one.remedy_pt, one.remedy_en))


def test_every_code_has_a_case_here() -> None:
    assert {code for code, _ in ILL} == set(LEVELS)
    assert set(LEVELS.values()) == {ERROR, WARNING}


def test_texts_are_formats_and_say_one_and_many_and_not_both_at_once() -> None:
    for text in (text for _, *texts in TEXTS.values() for text in texts):
        names = [name for _, name, _, _ in string.Formatter().parse(text)]
        assert all(name is None or name.isidentifier() for name in names), text
        assert not re.search(r"\w\(\w+\)", text), text


def test_one_is_said_otherwise_than_many() -> None:
    told = [found(linked(conflicts_open=count))[0] for count in (1, 2)]
    assert [one.en for one in told] == ["1 conflict waits for a decision", "2 conflicts wait for a decision"]
    assert [one.pt for one in told] == ["1 conflito espera uma decisão", "2 conflitos esperam uma decisão"]


@pytest.mark.parametrize("name", [name for name, *_ in TOLD])
def test_what_the_report_on_links_tells_is_a_finding_each(name: str) -> None:
    for told in (["x", "y"], {"x": ["a"], "y": ["b"]}, [{"what": "x", "bytes": 1}, {"what": "y", "bytes": 2}]):
        assert [one.code for one in found(linked(**{name: told}))] == [name, name]


def test_a_link_that_is_down_says_since_when_what_waits_how_old_it_is_and_why() -> None:
    down = link("down", since="2026-11-29T14:00", lag=3, oldest_ms=NOW_MS - 120_000, last_error="refused {x}")
    (one,) = found(linked(down))
    assert one.about == "hub wss://hub:8001"
    assert one.en == "no link (2026-11-29T14:00); 3 rows wait (2 min): refused {x}"


def test_errors_come_before_warnings() -> None:
    facts = {**linked(conflicts_open=1), "running": False, "exposed": ["x"]}
    assert [one.level for one in found(facts)] == [ERROR, ERROR, WARNING]
