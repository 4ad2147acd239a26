"""The Autobahn|Testsuite's cases for RFC 6455 and RFC 7692, against both ends of the node's WebSocket.

By default the quick ones; all of them, compression (12.*, 13.*) and big messages (9.*) included, with
COMANDA_AUTOBAHN=all. `pytest -s` prints the counts of each group.
"""

from __future__ import annotations

import fnmatch
import os
from importlib.util import find_spec

import pytest
import trio

from node.runtime.net import websocket
from tests.autobahn.echo import echo_clients, echo_server
from tests.autobahn.suite import Cases, Verdict, summary
from tests.processes import missing
from tests.slices import part

ALL = os.environ.get("COMANDA_AUTOBAHN") == "all"
MIB = 1_048_576

RULES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
# Up to the node's limit of 1 MiB; and one of each kind of compression.
SIZES = ("9.1.1", "9.1.3", "9.2.1", "9.2.3", "9.5.6", "9.6.6", "9.7.1")
COMPRESSION = ("12.2.1", "12.3.11", "13.1.1", "13.3.4", "13.5.4", "13.7.4")
BIG = ("9.1.6", "9.2.6", "9.3.4", "9.4.1")
"""Messages of 4 and 16 MiB, whole and in fragments of 64 bytes and more."""
BEYOND_THE_LIMIT = ("9.1.4", "9.1.5", "9.1.6", "9.2.4", "9.2.5", "9.2.6", "9.3.*", "9.4.*")


def within_the_limit(end: str) -> tuple[str, ...]:
    """Every rule; of sizes and kinds of compression some, at the other end and the next day others."""
    return (*RULES, "12.*", "13.*") if ALL else (*RULES, *part(SIZES + COMPRESSION, 2, end))


def big(test: str, every: tuple[str, ...] = ("9.*",)) -> tuple[str, ...]:
    return every if ALL else (*part(BIG, 2, test),)


@pytest.fixture(autouse=True)
def _kosoku() -> None:
    if find_spec("kosoku") is None:
        missing("kosoku, which brings Autobahn's cases, is not installed")


async def _verdicts(cases: Cases, patterns: tuple[str, ...]) -> list[Verdict]:
    found = await trio.to_thread.run_sync(cases.verdicts)
    assert [pattern for pattern in patterns if not fnmatch.filter([verdict.case for verdict in found], pattern)] == []
    return found


async def against_server(patterns: tuple[str, ...], message_bytes: int | None = None) -> list[Verdict]:
    async with echo_server(message_bytes) as url:
        return await _verdicts(Cases("client", url, *patterns), patterns)


async def against_client(patterns: tuple[str, ...]) -> list[Verdict]:
    cases = await trio.to_thread.run_sync(Cases, "server", *patterns)
    try:
        await echo_clients(cases.port)
        return await _verdicts(cases, patterns)
    finally:
        cases.end()


def all_good(found: list[Verdict]) -> bool:
    print(f"\n{summary(found)}")
    return all(verdict.good for verdict in found)


async def test_the_nodes_server_passes_every_case_with_its_own_limits() -> None:
    found = await against_server(within_the_limit("server"))
    assert all_good(found), summary(found)


async def test_the_nodes_server_passes_the_cases_of_big_messages_where_its_limit_is_set_higher() -> None:
    found = await against_server(big("server"), 32 * MIB)
    assert all_good(found), summary(found)


async def test_big_messages_are_closed_with_1009_at_the_nodes_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_GRACE_S", 60.0)  # however long the rest of the message takes to come
    found = await against_server(big("beyond", BEYOND_THE_LIMIT))
    assert {verdict.code for verdict in found} == {1009}, summary(found)


async def test_the_dialling_side_of_a_link_passes_every_case_too() -> None:
    found = await against_client((*within_the_limit("client"), *big("client")))
    assert all_good(found), summary(found)
