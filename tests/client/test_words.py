"""The clients stand alone and cannot import the protocol's words: theirs are held to the node's, their one source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from node.client import reading, values
from node.client.core import TOO_FAST, Core
from node.errors import AlreadyConnected, InvalidMessage, RateLimited
from node.wire.close_codes import FOR_GOOD
from node.wire.description.schemas import FROM_NODE, schemas
from tests.client.door import wrong
from tests.client.examples import PACKAGE

if TYPE_CHECKING:
    from node.client.values import Message

SCHEMAS = schemas()
AT = "2026-01-15T19:30:00.000Z"


def source(file: str) -> str:
    return (PACKAGE / file).read_text(encoding="utf-8")


def numbers(pattern: str, text: str) -> set[int]:
    found = re.search(pattern, text)
    assert found is not None, pattern
    return {int(number) for number in re.findall(r"\d{4}", found[1])}


def test_the_codes_at_which_clients_stay_away_and_send_again_are_those_of_the_table() -> None:
    assert values.STAYS_AWAY.keys() == FOR_GOOD
    assert numbers(r"const STOP = new Set\((.*)\)", source("connection.js")) == FOR_GOOD
    assert RateLimited.code == TOO_FAST
    assert numbers(r"const RATE = (\d+)", source("terminal.js")) == {RateLimited.code}
    slowly = numbers(r"const SLOWLY = new Set\((.*)\)", source("connection.js"))
    assert slowly >= {AlreadyConnected.code, RateLimited.code, InvalidMessage.code}
    assert not slowly & FOR_GOOD


def javascript_shapes() -> dict[str, set[str]]:
    """What reading.js looks at, by type of message."""
    (table,) = re.findall(
        r"const SHAPES = new Map\(Object.entries\(\{\n(.*?)\n\}\)\)", source("reading.js"), re.DOTALL
    )
    found: dict[str, set[str]] = {}
    for kind, members in re.findall(r"^  (\w+): (.*?),?$(?=\n  \w|\Z)", table, re.DOTALL | re.MULTILINE):
        found[kind] = (
            {"lock_id"} if members == "lock" else set(re.findall(r"(?:\{ |, |^ +)(\w+): ", members, re.MULTILINE))
        )
    return found


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_what_clients_read_of_a_message_is_a_member_of_it(language: str) -> None:
    shapes = javascript_shapes() if language == "javascript" else {k: {*m} for k, m in reading.SHAPES.items()}
    assert {*shapes} >= {"data_sync", "sync_confirmation", "sync_error", "sync_conflict", "lock_failed"}
    for kind, members in shapes.items():
        assert members, kind
        assert members <= SCHEMAS[f"{FROM_NODE}.{kind}"]["properties"].keys(), kind


def messages() -> list[Message]:
    """Everything that the Python client says."""
    core = Core("t-1", "lia")
    ready = [core.opened(0.0)]
    for number, kind in enumerate(("CREATE", "UPDATE", "DELETE")):
        made = core.operation(f"x-{number}", AT, kind, "orders", "o", {"a": 1}, priority="high")
        ready.append(core.wrote(made, 0.0))
    updates = {"updates": [{"entity_id": "p", "data": {"a": 1}}]}
    ready.append(core.wrote(core.operation("x-3", AT, "BULK_UPDATE", "products", None, updates), 0.0))
    ready.append(core.wrote(core.resolution("x-4", "c", "merge", {"a": 1}), 0.0))
    lock, asked = core.lock("l", ("orders", "o"), 30.0, "other", 0.0)
    ready += [asked, core.received({"type": "lock_acquired", "lock_id": "l"}, 0.0), core.release(lock)]
    ready.append(core.due(core.waits.ping, AT))
    return [*(message for each in ready for message in each.send), core.taken("x", AT)]


def test_all_that_the_python_client_says_is_as_the_node_describes_it() -> None:
    said = messages()
    assert {message["type"] for message in said} == {
        name.partition(".")[2] for name in SCHEMAS if name.startswith("from_terminal.")
    }
    for message in said:
        assert wrong(message) == [], message
