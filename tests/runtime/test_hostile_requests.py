"""Every endpoint with every parameter that any endpoint has, and values that nobody should send.

An error of a request is its own: the node goes on saying that it is ready, and no disk is called failing.
By default a path meets each name with some of the values; COMANDA_HOSTILE=1600 sends everything.
"""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING

from node.runtime.api import conflicts, history, past, routes
from tests.harness import Client, World
from tests.runtime.api_rig import ADMIN, request, served

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

DOCUMENTED = "\n".join(str(module.__doc__) for module in (conflicts, history, past, routes))
LINES = re.findall(r"^(?:GET|POST) (/.*)$", DOCUMENTED, re.MULTILINE)
PATHS = sorted(
    {path for line in LINES for path in re.findall(r"(?:^|  )(/[\w/{}]*)", line.replace("[/{id}]", "/{id}"))}
)
NAMES = sorted(set(re.findall(r"[?&|\[](\w+)=", DOCUMENTED)))
FILLED = {"type": "orders", "id": "mesa-1", "field": "note", "conflict_id": "c-1"}

VALUES = (
    "",
    "0",
    "-1",
    "1e400",
    str(2**62),
    str(2**63),
    str(2**64),
    "9" * 400,
    "\u0663",
    "9999-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-01-15T10:00",
    "1969-12-31",
    "\x00",
    "a\ufffd" * 500,
    "%",
    "*",
    "orders' OR 1=1 --",
    "[]",
    "null",
)


EVERY = max(1, 1_600 // int(os.environ.get("COMANDA_HOSTILE", "100")))
"""Of so many names a value meets one at a path, and another one at the next."""


def requests() -> list[tuple[str, dict[str, list[str]]]]:
    """Each path with names and values; with the same value for all names; and with the value in the path."""
    found: list[tuple[str, dict[str, list[str]]]] = []
    for number, path in enumerate(PATHS):
        plain = re.sub(r"\{(\w+)\}", lambda word: FILLED[word[1]], path)
        for turn, value in enumerate(VALUES, number):
            found += [(plain, {name: [value]}) for name in NAMES[turn % EVERY :: EVERY]]
            found.append((plain, {name: [value, "1"] for name in NAMES}))
            for word in re.findall(r"\{(\w+)\}", path):
                one = path.replace("{" + word + "}", value)
                found.append((re.sub(r"\{(\w+)\}", lambda word: FILLED[word[1]], one), {}))
    return found


def test_the_walk_knows_the_endpoints() -> None:
    assert {"/api/v1/audit", "/api/v1/entities/{type}/{id}", "/readyz"} <= set(PATHS)
    assert {"since", "until", "limit", "after", "at", "seq", "state", "force"} <= set(NAMES)


async def test_no_request_changes_the_health_of_the_node(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    world = World(tmp_path / "node")
    world.directory.mkdir(exist_ok=True)
    ana = Client(world, "ana").connect()
    ana.do("orders", "mesa-1", "CREATE", {"note": "x"})
    ana.do("orders", "mesa-1", "UPDATE", {"note": "y"})
    world.close()
    async with served(world) as node:
        api = node.api
        ready = await api.answer(request("/readyz"), ADMIN)
        failed = []
        for path, query in requests():
            if path == "/api/v1/backup":
                continue  # it takes no parameter, and copies the database
            answer = await api.answer(request(path, query), ADMIN)
            if not isinstance(answer.body, bytes):
                async for _ in answer.body:
                    pass
            if answer.status >= 500:
                failed.append((path, query, answer.status, answer.body))
        assert not failed
        again = await api.answer(request("/readyz"), ADMIN)
        assert (again.status, again.body) == (ready.status, ready.body)
        assert ready.status == 200
        assert node.core.trouble is None
        assert node.disk.read_failures == 0
    assert not caplog.records
