"""Ids that a path or a command line may take for something else: every reader means exactly that entity."""

from __future__ import annotations

import itertools
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from click.testing import CliRunner

from node.cli import main
from tests.patience import PATIENCE_S, connect
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

IDS = (
    *(
        "lead",
        "/lead",
        "lead/",
        "//lead",
        "lead//",
        "le/ad",
        "le//ad",
        "/",
        "//",
        ".",
        "..",
        "...",
        "../lead",
        "./lead",
    ),
    *("lead/..", "lead/.", "a/../lead", "#lead", "lead#", "+lead", "le+ad", "-lead", "--lead", "~", "=lead", "a=b|c"),
    *(
        "@lead",
        ":lead",
        "lead:",
        "LEAD",
        "2Flead",
        "orders/lead",
        "lead/status",
        "status",
        "at",
        "x" * 128,
        "/" * 128,
    ),
)
"""All of the alphabet of ids, one entity each."""

FIELDS = ("status", "a/b", "/", "..", ".", "%2F", "?x=1&y", "#", " ", "ação", "-f", "\u202egnp", "\x1b[31m", "a\nb")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """Each entity's note is its id; each field of the entity `fields` holds its own name."""
    running = NodeProcess(tmp_path_factory.mktemp("ids") / "node").start()
    numbers = itertools.count()
    with connect(f"{running.url}/ws/writer?type=pos", compression=None) as terminal:
        entities = [(entity_id, {"note": entity_id}) for entity_id in IDS]
        for entity_id, data in [*entities, ("fields", {name: name for name in FIELDS})]:
            operation = {
                "id": f"w-{next(numbers)}",
                "entity_type": "customers",
                "entity_id": entity_id,
                "operation": "CREATE",
                "data": data,
            }
            terminal.send(json.dumps({"type": "data_sync", "operation": operation}))
            while (answer := orjson.loads(terminal.recv(timeout=PATIENCE_S))).get("operation_id") != operation["id"]:
                pass
            assert answer["type"] == "sync_confirmation", answer
    yield running
    running.end()


@pytest.fixture(scope="module")
def web(node: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{node.port}", trust_env=False, timeout=PATIENCE_S) as client:
        yield client


def raw(node: NodeProcess, target: str) -> dict[str, Any]:
    """The answer to a request line as it is: a client's library might rewrite the path."""
    with socket.create_connection(("127.0.0.1", node.port), PATIENCE_S) as line:
        line.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65_536), b""))
    found: dict[str, Any] = orjson.loads(answer.partition(b"\r\n\r\n")[2])
    return found


@pytest.mark.walk(2)
@pytest.mark.parametrize("entity_id", IDS)
def test_every_way_to_read_an_entity_means_this_one(node: NodeProcess, web: httpx.Client, entity_id: str) -> None:
    encoded = quote(entity_id, safe="")
    place, explain = "/api/v1/entities/customers", "/api/v1/explain/customers"
    unencoded = entity_id.replace("#", "%23").replace("+", "%2B")
    for target in (encoded, unencoded):
        assert raw(node, f"{place}/{target}")["data"]["note"] == entity_id
        assert raw(node, f"{place}/{target}?seq=500000")["error"].startswith("seq")
        assert raw(node, f"{place}/{target}?at=2100-01-01")["data"]["note"] == entity_id
        assert raw(node, f"{explain}/{target}/note")["value"] == entity_id
    asked = {"entity_id": entity_id}
    assert web.get(place, params=asked).json()["data"]["note"] == entity_id
    assert web.get(place, params={**asked, "at": "2100-01-01"}).json()["data"]["note"] == entity_id
    assert web.get(explain, params={**asked, "field": "note"}).json()["value"] == entity_id
    entries = web.get("/api/v1/audit", params=asked).json()["entries"]
    created = [entry for entry in entries if entry["operation"] == "CREATE"]  # another test may have changed it
    assert [entry["changes"]["after"]["note"] for entry in created] == [entity_id]
    assert {entry["entity_id"] for entry in entries} == {entity_id}


@pytest.mark.walk(3)
@pytest.mark.parametrize("entity_id", IDS)
def test_a_terminals_lock_and_conflict_list_mean_this_one(
    node: NodeProcess, web: httpx.Client, entity_id: str
) -> None:
    pages = web.get("/api/v1/entities/customers", params={"after": entity_id, "limit": 1}).json()["entities"]
    later = sorted(other for other in (*IDS, "fields") if other > entity_id)
    assert [page["entity_id"] for page in pages] == later[:1]


def run(node: NodeProcess, *arguments: str) -> str:
    result = CliRunner().invoke(main, [arguments[0], "--url", f"http://127.0.0.1:{node.port}", "--", *arguments[1:]])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.walk(4)
@pytest.mark.parametrize("entity_id", IDS)
def test_the_commands_mean_this_one(node: NodeProcess, entity_id: str) -> None:
    assert f'note  "{entity_id}"' in run(node, "show", "customers", entity_id)
    assert f'valor / value      "{entity_id}"' in run(node, "explain", "customers", entity_id, "note")


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_any_name_is_explained(node: NodeProcess, web: httpx.Client, name: str) -> None:
    assert raw(node, f"/api/v1/explain/customers/fields/{quote(name, safe='')}")["value"] == name
    asked = {"entity_id": "fields", "field": name}
    assert web.get("/api/v1/explain/customers", params=asked).json()["value"] == name


@pytest.mark.parametrize("entity_id", ["/lead", "lead/", "..", "le//ad"])
def test_a_value_is_restored_in_the_entity_that_is_named_and_in_no_other(
    node: NodeProcess, web: httpx.Client, entity_id: str
) -> None:
    def all_notes() -> dict[str, object]:
        found = web.get("/api/v1/entities/customers").json()["entities"]
        return {entity["entity_id"]: entity["data"].get("note") for entity in found}

    before = all_notes()
    asked = {"entity_id": entity_id, "field": "note"}
    first = web.get("/api/v1/explain/customers", params=asked).json()["candidates"][0]["operation_id"]
    with connect(f"{node.url}/ws/other?type=pos&sync=full", compression=None) as terminal:
        data = {"note": "new", "version": 2}
        operation = {"id": f"o-{entity_id}", "entity_type": "customers", "entity_id": entity_id}
        while True:
            row = orjson.loads(terminal.recv(timeout=PATIENCE_S))
            if row.get("operation", {}).get("entity_id") == entity_id:
                break
        terminal.send(json.dumps({"type": "sync_confirmation", "operation_id": row["operation"]["id"]}))
        message = {"type": "data_sync", "operation": {**operation, "operation": "UPDATE", "data": data}}
        terminal.send(json.dumps(message))
        while orjson.loads(terminal.recv(timeout=PATIENCE_S)).get("operation_id") != operation["id"]:
            pass
    arguments = ["explain", "--url", f"http://127.0.0.1:{node.port}", "--restore", first, "--terminal", "desk"]
    result = CliRunner().invoke(main, [*arguments, "--", "customers", entity_id, "note"])
    assert result.exit_code == 0, result.output
    assert all_notes() == before


@pytest.mark.parametrize("name", [".", "..", "%2e", "%2E%2e", ".%2e"])
def test_a_terminal_id_that_no_path_keeps_is_refused(node: NodeProcess, name: str) -> None:
    with socket.create_connection(("127.0.0.1", node.port), PATIENCE_S) as line:
        head = ("Host: localhost", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        line.sendall("\r\n".join([f"GET /ws/{name}?type=pos HTTP/1.1", *head, key, "", ""]).encode())
        answer = b""
        while b"Invalid" not in answer and b"terminal id" not in answer and (more := line.recv(4_096)):
            answer += more
    assert (4001).to_bytes(2, "big") in answer
