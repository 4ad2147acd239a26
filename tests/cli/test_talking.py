"""`comanda send`, `listen` and `conflicts` against a real node: what is printed, and the exit status."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from node.cli import exchange, main
from node.rights import MESSAGES
from tests.patience import PATIENCE_S, connect
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One for all: each test has entities of its own."""
    running = NodeProcess(tmp_path_factory.mktemp("talking") / "node").start()
    yield running
    running.end()


def run(node: NodeProcess, *words: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, [*words, "--data", str(node.data)], input=text, env={"COLUMNS": "200"})


def send(node: NodeProcess, message: dict[str, Any], *options: str, status: int = 0) -> dict[str, Any]:
    result = run(node, "send", json.dumps(message), *options)
    assert result.exit_code == status, (result.output, result.exception)
    return json.loads(result.output)  # type: ignore[no-any-return]


def write(kind: str, entity_type: str, entity_id: str, **data: Any) -> dict[str, Any]:
    operation = {"entity_type": entity_type, "entity_id": entity_id, "operation": kind, "data": data}
    return {"type": "data_sync", "operation": operation}


def collide(node: NodeProcess, entity_id: str) -> str:
    """Two telephones of one customer, neither seen by the other's author; the conflict's id."""
    send(node, write("CREATE", "customers", entity_id, phone="1"), "--terminal", f"a-{entity_id}")
    answer = send(node, write("UPDATE", "customers", entity_id, phone="2"), "--terminal", f"b-{entity_id}", status=3)
    assert answer["status"] == "conflict"
    found = [json.loads(line) for line in run(node, "conflicts", "list", "--json").output.splitlines()]
    (conflict,) = [conflict for conflict in found if conflict["entity_id"] == entity_id]
    return str(conflict["id"])


# ------------------------------------------------------------------ send


def test_every_message_of_a_terminal_has_its_answer() -> None:
    assert {*exchange.ANSWERS} == {*MESSAGES}


def test_the_answer_is_printed_and_gives_the_exit_status(node: NodeProcess) -> None:
    assert send(node, {"type": "ping"})["type"] == "pong"
    assert send(node, write("CREATE", "orders", "s-1", status="pending"))["status"] == "applied"
    lock = {"type": "acquire_lock", "entity_type": "orders", "entity_id": "s-1", "lock_id": "l-1"}
    assert send(node, lock)["type"] == "lock_acquired"
    other = ("--terminal", "other", "--terminal-type", "waiter")
    assert send(node, {**lock, "lock_id": "l-2"}, *other, status=1)["type"] == "lock_failed"
    refused = send(node, write("UPDATE", "orders", "s-1", status="served"), *other, status=1)
    assert (refused["code"], refused["locked_by"]) == (4009, "shell")
    assert send(node, {"type": "release_lock", "lock_id": "l-1"})["type"] == "lock_released"
    assert send(node, {"type": "unheard-of"}, status=1)["code"] == 4006
    assert run(node, "send", '{"type": "sync_confirmation", "operation_id": "x"}').output == ""


def test_a_message_may_come_from_standard_input_and_has_to_be_a_json_object(node: NodeProcess) -> None:
    result = run(node, "send", "-", text='{"type": "ping"}')
    assert (result.exit_code, json.loads(result.output)["type"]) == (0, "pong")
    for text in ("{", "[1]", ""):
        assert run(node, "send", text).exit_code == 2


def test_an_operation_keeps_the_id_and_the_time_that_it_was_given(node: NodeProcess) -> None:
    message = write("CREATE", "orders", "s-2", status="pending")
    message["operation"] |= {"id": "mine-1", "timestamp": "2026-01-15T19:30:00.000Z"}
    assert send(node, message)["operation_id"] == "mine-1"
    assert send(node, message)["status"] == "duplicate"


def test_nobody_there_and_a_terminal_that_is_turned_away_are_said_at_once(node: NodeProcess) -> None:
    result = run(node, "send", '{"type": "ping"}', "--terminal-type", "cash")
    assert result.exit_code == 1
    assert "4002" in result.output
    for command in (["send", "{}"], ["listen"], ["conflicts", "list"]):
        nobody = CliRunner().invoke(main, [*command, "--data", str(node.data / "none")])
        assert nobody.exit_code == 1, nobody.output


# ------------------------------------------------------------------ conflicts


def test_conflicts_are_listed_shown_and_decided(node: NodeProcess) -> None:
    conflict_id = collide(node, "ana")
    (line,) = [line for line in run(node, "conflicts", "list").output.splitlines() if "ana" in line]
    assert line.split()[:4] == [conflict_id, "customers", "ana", "phone"]
    shown = run(node, "conflicts", "show", conflict_id).output.splitlines()
    assert [line.split("  ")[-1] for line in shown[2:]] == ['{"phone":"1"}', '{"phone":"2"}']
    assert json.loads(run(node, "conflicts", "show", conflict_id, "--json").output)["state"] == "open"
    decided = run(node, "conflicts", "resolve", conflict_id, "--accept", "remote", "--reason", "Liguei", "--json")
    assert (decided.exit_code, json.loads(decided.output)["conflict_id"]) == (0, conflict_id)
    assert "ana" not in run(node, "conflicts", "list").output
    assert json.loads(run(node, "show", "customers", "ana", "--json").output)["data"]["phone"] == "2"
    assert "Liguei" in run(node, "conflicts", "show", conflict_id, "--json").output
    again = run(node, "conflicts", "resolve", conflict_id, "--accept", "local")
    assert again.exit_code == 1
    assert "4010" in again.output


def test_a_conflict_may_be_decided_for_another_value(node: NodeProcess) -> None:
    conflict_id = collide(node, "rui")
    result = run(node, "conflicts", "resolve", conflict_id, "--set", 'phone="3"')
    assert result.exit_code == 0, result.output
    assert json.loads(run(node, "show", "customers", "rui", "--json").output)["data"]["phone"] == "3"


@pytest.mark.parametrize("options", [(), ("--set", "phone"), ("--set", "phone=x"), ("--accept", "mine")])
def test_a_decision_that_says_nothing_is_a_wrong_option(node: NodeProcess, options: tuple[str, ...]) -> None:
    assert run(node, "conflicts", "resolve", "conflict-1", *options).exit_code == 2


def test_a_conflict_that_there_is_not_is_an_error(node: NodeProcess) -> None:
    assert run(node, "conflicts", "show", "conflict-none").exit_code == 1
    result = run(node, "conflicts", "resolve", "conflict-none", "--accept", "local")
    assert result.exit_code == 1
    assert "4007" in result.output


# ------------------------------------------------------------------ listen


def test_what_happens_is_printed_as_it_happens_and_what_there_is_only_when_asked(node: NodeProcess) -> None:
    send(node, write("CREATE", "orders", "there", status="pending"))
    options = ("--only", "data_sync", "--terminal", "kitchen", "--terminal-type", "kds", "--json")
    known = json.loads(run(node, "listen", *options, "--state", "--count", "1").output)
    assert known["operation"]["id"].startswith("state-")
    done = threading.Event()

    def keep_writing() -> None:
        with connect(f"{node.url}/ws/till?type=pos") as socket:
            number = 0
            while not done.is_set():
                number += 1
                message = write("UPDATE", "orders", "new", status=f"\x9b{number}")
                socket.send(json.dumps({**message, "operation": {**message["operation"], "id": f"t-{number}"}}))
                while json.loads(socket.recv(timeout=PATIENCE_S)).get("operation_id") != f"t-{number}":
                    pass

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        heard = run(node, "listen", *options, "--count", "2").output
        lines = run(node, "listen", *options[:-1], "--count", "2").output.splitlines()
    finally:
        done.set()
        writer.join()
    assert all(json.loads(line)["operation"]["entity_id"] == "new" for line in heard.splitlines())
    assert all("data_sync  UPDATE  orders  new  till" in line and line.isprintable() for line in lines)


def test_a_listener_that_is_turned_away_says_so(node: NodeProcess) -> None:
    result = run(node, "listen", "--terminal-type", "ear")
    assert result.exit_code == 1
    assert "4002" in result.output
