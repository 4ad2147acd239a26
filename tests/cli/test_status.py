"""`comanda status`: the links of a node as a table that fits a screen."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from node.cli import main
from node.cli.screen import Screen
from node.cli.status import print_links

if TYPE_CHECKING:
    from tests.cli.conftest import Answers

UP = {
    "peer": "central",
    "role": "upstream",
    "state": "up",
    "lag": 0,
    "behind": 3,
    "confirmed": [7, 7, 7, 7],
    "received": [9, 8, 8, 8],
    "offset_ms": -12,
    "last_error": "1006 an earlier one",
}


def report(**more: Any) -> dict[str, Any]:
    quiet = {"links": [], "away": [], "first_sync": None, "twins": [], "quarantine": {"bad": 0, "waiting": 2}}
    return {
        "node_id": "n1",
        "head": 41,
        "authority": "central",
        "epoch": "0123456789abcdef",
        "engine": "y-py 0.6.2",
        **quiet,
        **more,
    }


def lines(**more: Any) -> list[str]:
    text = io.StringIO()
    print_links(report(**more), Screen(file=text, width=80))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_a_node_without_links_says_so() -> None:
    assert lines() == [
        "nó / node n1  linha / row 41  autoridade / authority central  época / epoch 01234567",
        "motor / engine y-py 0.6.2",
        "nenhuma ligação / no links",
        "quarentena / quarantine: 0 bad, 2 waiting",
    ]


def test_a_terminal_whose_clock_is_wrong_is_named() -> None:
    assert lines(clocks={"garcom-7": -86_280_000, "caixa-1": 600_000})[-2:] == [
        "relógio de / clock of garcom-7: 23 h 58 min adiantado / ahead",
        "relógio de / clock of caixa-1: 10 min atrasado / behind",
    ]


def test_what_is_too_large_to_be_sent_and_who_told_a_key_are_said() -> None:
    keys = {"n2": [{"fingerprint": "ab-cd", "by": "hub"}, {"fingerprint": "12-34", "by": ""}]}
    assert lines(keys=keys, too_large=[{"what": "orders mesa-1", "bytes": 70_000_000}])[-2:] == [
        "chave de / key of n2: ab-cd (dito por / told by hub), 12-34",
        "GRANDE DEMAIS PARA ENVIAR / TOO LARGE TO BE SENT: orders mesa-1, 70000000 bytes",
    ]


def test_what_the_other_node_cannot_apply_is_said_beside_a_lag_of_nothing() -> None:
    kept_out = {"count": 2, "why": "unknown entity type"}
    said = " ".join(lines(links=[{**UP, "kept_out": kept_out}]))
    assert "central: 2 operações daqui não entram lá" in said
    assert "applied there: unknown entity type" in said
    assert "não entram lá" not in " ".join(lines(links=[{**UP, "kept_out": None}]))


def test_a_link_is_one_row_of_eighty_columns() -> None:
    down = {"url": "ws://caixa:8001", "role": "peer", "state": "down", "last_error": "1006 gone"}
    shown = lines(links=[UP, down])[1:]
    assert all(len(line) <= 80 for line in shown)
    (up,) = [line.split() for line in shown if line.startswith("central")]
    assert up == ["central", "upstream", "up", "0", "3", "7", "9/8/8/8", "-12"]
    assert "1006 an earlier one" not in "\n".join(shown)
    assert "1006" in "\n".join(shown)


def test_a_first_synchronisation_under_way_and_a_twin_are_told() -> None:
    sync = {"phase": "states", "peer": "central", "entities": 3, "entities_total": 10}
    sync |= {"operations": 0, "operations_total": None}
    text = " ".join(lines(first_sync=sync, twins=["ws://n1:8001"]))
    assert "central: 3/10 entidades / entities, 0/ operações" in text
    assert "DOIS NÓS COM O MESMO NOME / TWO NODES WITH ONE ID: ws://n1:8001" in text
    assert "primeira" not in " ".join(lines(first_sync={**sync, "phase": "over"}))


def test_the_command_prints_what_the_node_reports(answers: Answers) -> None:
    answers.by_path["/api/v1/links"] = [report(links=[UP])]
    result = CliRunner().invoke(main, ["status", "--url", "http://n1:8001"])
    assert result.exit_code == 0
    assert "central" in result.output
    assert answers.asked == [("GET", "/api/v1/links")]


@pytest.mark.parametrize("command", [["status"], ["backup"], ["quarantine", "list"], ["quarantine", "retry"]])
def test_a_node_that_does_not_answer_is_an_error(answers: Answers, command: list[str]) -> None:
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, result.output) == (1, "Error: http://localhost:8001: 404 not found\n")


def test_what_a_link_says_and_what_was_refused_of_it_is_shown() -> None:
    link = {"peer": "n2", "role": "downstream", "state": "up", "speaks_for": ["n3"], "refused": 4, "paused": True}
    shown = " ".join(lines(links=[link], contradictions=["n2 holds [b]op-1 otherwise"]))
    for told in ("n2 fala por / speaks for: n3", "n2: 4 entidades", "passed its budget", "n2 holds [b]op-1"):
        assert told in shown
