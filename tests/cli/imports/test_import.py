"""`comanda import` against a real node: what is planned, what comes of it, and that a second run changes nothing."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from node.cli import main
from node.cli.imports import options
from node.lists.planning import Entry
from node.runtime.publishing import sending
from node.runtime.publishing.place import of_data
from tests.patience import PATIENCE_S, connect, http_get
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from node.runtime.terminal import Terminal

ROWS = int(os.environ.get("COMANDA_ROWS", "120"))
"""Products of the large file; 5,000 are to be in within a minute."""

NAMES = ("Pão de queijo", "Água sem gás", "Suco de maçã", "Feijão tropeiro")
MAPS = ("--map", "Preço=price", "--map", "descricao=name", "--map", "Estoque=stock", "--map", "Obs=")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One for all: each test has products of its own."""
    running = NodeProcess(tmp_path_factory.mktemp("import") / "node").start()
    yield running
    running.end()


def run(node: NodeProcess, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["import", *arguments, "--data", str(node.data)], env={"COLUMNS": "200"})


def report(node: NodeProcess, *arguments: str, status: int = 0) -> dict[str, Any]:
    result = run(node, *arguments, "--json")
    assert result.exit_code == status, (result.output, result.exception)
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def shown(node: NodeProcess, prefix: str, entity_type: str = "products") -> dict[str, dict[str, Any]]:
    """The living entities whose ids begin so, without `version`."""
    answer = http_get(f"http://127.0.0.1:{node.port}/api/v1/entities/{entity_type}").json()
    entities = {entity["entity_id"]: entity["data"] for entity in answer["entities"]}
    return {
        entity_id: {name: value for name, value in data.items() if name != "version"}
        for entity_id, data in entities.items()
        if entity_id.startswith(prefix)
    }


def audit(node: NodeProcess, **filters: str) -> list[dict[str, Any]]:
    answer = http_get(f"http://127.0.0.1:{node.port}/api/v1/audit", params=filters).json()
    return answer["entries"]  # type: ignore[no-any-return]


def write(path: Path, *lines: str, encoding: str = "cp1252") -> str:
    path.write_text("".join(f"{line}\r\n" for line in lines), encoding=encoding, newline="")
    return str(path)


def products(path: Path, prefix: str, count: int, *, errors: bool = True) -> str:
    """A file as an old system exports it, with an error in four lines of each hundred."""
    draw = random.Random(1)
    lines = ["Código;Descrição;Preço;Estoque;Cadastro;Obs"]
    for number in range(count):
        price = f"R$ {draw.randint(100, 250_000) / 100:,.2f}".translate(str.maketrans(",.", ".,"))
        day, key = f"{draw.randint(1, 28):02}/{draw.randint(1, 12):02}/2024", f"{prefix}{number}"
        match number % 100 if errors else -1:
            case 17:
                price = "grátis"
            case 33:
                day = "31/02/2024"
            case 55:
                key = f"{prefix} {number}"
            case 77:
                key = f"{prefix}0"
        lines.append(f"{key};{draw.choice(NAMES)} {number};{price};{draw.randint(0, 50)};{day};")
    return write(path, *lines)


def test_a_list_is_in_with_its_errors_named_and_a_second_run_finds_nothing_to_do(
    node: NodeProcess, tmp_path: Path
) -> None:
    file = products(tmp_path / "produtos.csv", "big", ROWS)
    planned = report(node, file, "--key", "Código", *MAPS, "--dry-run", status=1)
    assert shown(node, "big") == {}
    said = {(r["line"], r["column"], r["value"]) for r in planned["refused"]}
    wrong = {17: ("Preço", "grátis"), 33: ("Cadastro", "31/02/2024"), 77: ("Código", "big0")}
    numbers = [number for number in range(ROWS) if number % 100 in (*wrong, 55)]
    assert said == {(n + 2, *wrong.get(n % 100, ("Código", f"big {n}"))) for n in numbers}
    assert planned["recognised"] == {
        "format": "CSV", "encoding": "cp1252", "delimiter": ";", "decimal": ",", "rows": ROWS
    }  # fmt: skip
    done = report(node, file, "--key", "Código", *MAPS, status=1)
    assert done["created"] == planned["created"]
    assert done["statuses"] == {"applied": ROWS - len(numbers)}
    entities = shown(node, "big")
    assert len(entities) == ROWS - len(numbers)
    assert {*entities["big0"]} == {"name", "price", "stock", "Cadastro"}
    assert isinstance(entities["big0"]["price"], float)
    again = report(node, file, "--key", "Código", *MAPS, status=1)
    assert (again["created"], again["changed"], again["unchanged"]) == ([], [], len(entities))
    assert (again["refused"], again["statuses"]) == (planned["refused"], {})
    assert shown(node, "big") == entities
    assert len(audit(node, entity_id="big0")) == 1


def test_a_corrected_list_changes_what_it_corrects_in_one_act(node: NodeProcess, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "id;name;price", "c1;Pão;4,50", "c2;Água;3,00", "c3;Café;5,00")
    report(node, file, "--user", "ana")
    write(tmp_path / "a.csv", "id;name;price", "c1;Pão;4,80", "c2;Água;3", "c3;Café;5,50")
    done = report(node, file)
    assert [(e["line"], e["entity_id"], e["before"], e["after"]) for e in done["changed"]] == [
        (2, "c1", {"price": 4.5}, {"price": 4.8}),
        (4, "c3", {"price": 5}, {"price": 5.5}),
    ]
    assert done["statuses"] == {"applied": 2}  # nothing collided: it had read what it changed
    entries = [e for e in audit(node, terminal_id="import") if e["operation"] == "BULK_UPDATE"]
    assert [{*e["changes"]["after"]} for e in entries] == [{"c1", "c3"}]
    assert {e["user_id"] for e in audit(node, entity_id="c2")} == {"ana"}


def test_prices_that_go_there_and_back_are_written_each_time(node: NodeProcess, tmp_path: Path) -> None:
    for price in ("4", "5", "4", "5"):
        report(node, write(tmp_path / "a.csv", "id;price", f"back;{price},00"))
        assert shown(node, "back") == {"back": {"price": int(price)}}


def test_a_customer_whose_telephone_is_changed_makes_no_conflict(node: NodeProcess, tmp_path: Path) -> None:
    for phone in ("11 5550-0001", "11 5550-0002"):
        file = write(tmp_path / "a.csv", "id;phone", f"ana;{phone}")
        assert report(node, file, "--type", "customers")["statuses"] == {"applied": 1}
    assert shown(node, "ana", "customers") == {"ana": {"phone": "11 5550-0002"}}


def test_stock_that_was_sold_since_is_not_put_back(node: NodeProcess, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "id;Estoque", "s1;10", "s2;20")
    mapping = ("--map", "Estoque=stock")
    report(node, file, *mapping)
    sold = {"id": "sale-1", "entity_type": "products", "entity_id": "s1", "operation": "UPDATE"}
    speak(node, {"type": "data_sync", "operation": {**sold, "data": {"stock": {"$inc": -3}}}})
    again = report(node, file, *mapping)
    assert (again["changed"], again["unchanged"], again["counters_left"]) == ([], 2, 1)
    assert shown(node, "s1") == {"s1": {"stock": 7}}
    counted = report(node, file, *mapping, "--counts")
    assert [entry["entity_id"] for entry in counted["changed"]] == ["s1"]
    assert shown(node, "s1") == {"s1": {"stock": 10}}


def speak(node: NodeProcess, message: dict[str, Any]) -> dict[str, Any]:
    """What the node answers to one message of a till that has read everything."""
    message["operation"] |= {"imports": "x", "read_upto": 2**62}
    with connect(f"{node.url}/ws/till?type=pos") as socket:
        socket.send(json.dumps(message))
        while True:
            answer: dict[str, Any] = json.loads(socket.recv(timeout=PATIENCE_S))
            if answer["type"] in ("sync_confirmation", "sync_error"):
                return answer


def test_what_was_deleted_here_stays_deleted_unless_it_is_wanted_back(node: NodeProcess, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "id;name", "d1;Pão")
    report(node, file)
    deletion = {"id": "gone-1", "entity_type": "products", "entity_id": "d1", "operation": "DELETE", "data": {}}
    speak(node, {"type": "data_sync", "operation": deletion})
    (refusal,) = report(node, file, status=1)["refused"]
    assert (refusal["line"], refusal["column"]) == (2, "id")
    assert shown(node, "d1") == {}
    assert report(node, file, "--revive")["statuses"] == {"applied": 1}
    assert shown(node, "d1") == {"d1": {"name": "Pão"}}


def test_what_only_the_node_can_refuse_is_named_by_line_and_column_and_stops_nobody(
    node: NodeProcess, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.csv", "id;name;stock", "r1;a;1", "r2;b;1,0000000001", "r3;c;2")
    done = report(node, file, status=1)
    assert [(r["line"], r["column"]) for r in done["refused"]] == [(3, "stock")]
    assert {*shown(node, "r")} == {"r1", "r3"}
    write(tmp_path / "a.csv", "id;name;stock", "r1;x;1", "r2;b;1", "r3;z;2,0000000001")
    done = report(node, file, "--counts", status=1)
    assert [(r["line"], r["column"]) for r in done["refused"]] == [(4, "stock")]
    assert [shown(node, "r")[key]["name"] for key in ("r1", "r2", "r3")] == ["x", "b", "c"]


def test_a_number_that_does_not_survive_the_protocol_is_refused_with_its_row(
    node: NodeProcess, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(f'[{{"id": "n1", "price": {2**70}}}, {{"id": "n2", "price": 2}}]')
    for _ in range(2):
        (refusal,) = report(node, str(tmp_path / "a.json"), status=1)["refused"]
        assert refusal["line"] == 1
    assert {*shown(node, "n")} == {"n2"}


def test_an_import_that_was_killed_is_finished_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = NodeProcess(tmp_path / "node").start()
    file = products(tmp_path / "produtos.csv", "k", 60, errors=False)
    monkeypatch.setattr(sending, "UNDER_WAY", 8)
    heard = sending.Sender._heard
    answered = []

    def kill_after_some(sender: Any, terminal: Terminal, message: dict[str, Any]) -> None:
        heard(sender, terminal, message)
        answered.append(message["type"])
        if answered.count("sync_confirmation") == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(sending.Sender, "_heard", kill_after_some)
    result = run(node, file, "--key", "Código", *MAPS)
    assert result.exit_code == 1
    assert "20 confirmadas" in result.output
    assert "criadas / created 20 " in result.output
    node.kill()
    node.start()
    monkeypatch.setattr(sending.Sender, "_heard", heard)
    done = report(node, file, "--key", "Código", *MAPS)
    assert 32 <= len(done["created"]) <= 40
    assert len(shown(node, "k")) == 60
    assert {len(audit(node, entity_id=f"k{number}")) for number in range(60)} == {1}
    node.end()


def test_what_comes_back_with_another_log_is_sent_nothing_that_was_read_in_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a store goes to another of head office's processes: a row's number means another row there."""
    node = NodeProcess(tmp_path / "node").start()
    monkeypatch.setattr(sending, "UNDER_WAY", 4)
    entries = [Entry(number, f"w{number}", {"name": "x"}, None) for number in range(12)]
    asked: list[bool] = []

    def another() -> bool:
        asked.append(not asked)
        return asked[-1]

    answered: list[int] = []

    def told(count: int) -> None:
        answered.append(count)
        if len(answered) == 3:
            node.kill()
            node.start()

    who = sending.Who("head-office", "pos", "", "a.csv")
    sender = sending.Sender(of_data(node.data).reach, None, who, told, another)
    with pytest.raises(sending.Interrupted, match="another owner"):
        sender.send("products", entries, [], 0)
    assert (asked, len(shown(node, "w")) < 12) == ([True, False], True)
    node.end()


@pytest.mark.parametrize("turn", range(4))
def test_who_is_told_to_stop_between_any_two_steps_stops_with_all_that_was_sent_answered(
    node: NodeProcess, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """Stop is said by another thread: whichever look finds it first, nobody waits for what was never sent."""
    monkeypatch.setattr(sending, "UNDER_WAY", 1)
    entries = [Entry(number, f"halt{turn}-{number}", {"name": "x"}, None) for number in range(9)]
    looks = iter([False] * turn)
    who = sending.Who(f"halt-{turn}", "pos", "", "a.csv")
    reach = of_data(node.data).reach
    sender = sending.Sender(reach, None, who, lambda count: None, halted=lambda: next(looks, True))
    with pytest.raises(sending.Interrupted, match="stopped"):
        sender.send("products", entries, [], 0)
    assert sender.outcome.done == set(shown(node, f"halt{turn}-"))
    assert len(sender.outcome.done) <= turn


def test_a_node_that_goes_away_and_comes_back_gets_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = NodeProcess(tmp_path / "node").start()
    file = products(tmp_path / "produtos.csv", "k", 60, errors=False)
    monkeypatch.setattr(sending, "UNDER_WAY", 8)
    heard, answered = sending.Sender._heard, []

    def restart_once(sender: Any, terminal: Terminal, message: dict[str, Any]) -> None:
        heard(sender, terminal, message)
        answered.append(message["type"])
        if answered.count("sync_confirmation") == 20:
            node.kill()
            node.start()

    monkeypatch.setattr(sending.Sender, "_heard", restart_once)
    report(node, file, "--key", "Código", *MAPS)
    assert len(shown(node, "k")) == 60
    assert {len(audit(node, entity_id=f"k{number}")) for number in range(60)} == {1}
    node.end()


# ------------------------------------------------------------------ the command line


def test_a_dry_run_prints_what_would_be_created_changed_and_refused(node: NodeProcess, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "id;name;price", "p1;Pão;4,50", "p2;Água;3,00")
    report(node, file)
    write(tmp_path / "a.csv", "id;name;price", "p1;Pão;4,80", "p2;Água;3,00", "p3;\x1b[2J;5,00", "p4;Café;dez")
    result = run(node, file, "--dry-run")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0].startswith("format CSV, encoding cp1252, delimiter ;")
    assert any(line.split() == ["2", "p1", "price", "4.5", "4.8"] for line in lines)
    assert any(line.split()[:3] == ["5", "price", "dez"] for line in lines)
    assert lines[-1].split("  ") == [
        "criaria / would create 1",
        "mudaria / would change 1",
        "iguais / unchanged 1",
        "recusadas / refused 1",
    ]
    assert all(line.isprintable() for line in lines)
    assert {*shown(node, "p")} == {"p1", "p2"}


def test_a_decimal_separator_that_nothing_tells_is_said_to_be_a_guess(node: NodeProcess, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "id;name;price", "d1;Pão;4.500")
    assert "--decimal" in run(node, file, "--dry-run").output
    assert "--decimal" not in run(node, file, "--dry-run", "--decimal", "point").output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--map", "Custo=cost"), "Custo"),
        (("--map", "preço"), "--map"),
        (("--map", "Preço=name"), "name"),
        (("--key", "Referência"), "Referência"),
        (("--zone", "America/Atlantida"), "America/Atlantida"),
        (("--delimiter", ";;"), "--delimiter"),
        ((), "--key"),
    ],
)
def test_what_does_not_fit_the_file_is_a_wrong_option(
    node: NodeProcess, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    file = write(tmp_path / "a.csv", "código;name;Preço", "1;Pão;4,50")
    result = run(node, file, *options)
    assert result.exit_code == 2, result.output
    assert said in result.output


def test_an_unknown_entity_type_names_those_there_are(node: NodeProcess, tmp_path: Path) -> None:
    result = run(node, write(tmp_path / "a.csv", "id", "1"), "--type", "produtos")
    assert result.exit_code == 1
    assert "products" in result.output


def test_a_terminal_that_is_turned_away_says_so(node: NodeProcess, tmp_path: Path) -> None:
    result = run(node, write(tmp_path / "a.csv", "id", "t1"), "--terminal-type", "cash")
    assert result.exit_code == 1
    assert "4002" in result.output


def test_columns_are_asked_for_on_a_terminal(
    node: NodeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.csv", "Código;Descrição;Preço de venda;Obs", "q1;Pão;4,50;x")
    monkeypatch.setattr(options, "on_a_terminal", lambda: True)
    answers = "\n\nvalue\n-\n"
    arguments = ["import", file, "--data", str(node.data)]
    result = CliRunner().invoke(main, arguments, input=answers, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert shown(node, "q") == {"q1": {"name": "Pão", "value": 4.5}}
