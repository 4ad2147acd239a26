"""`comanda explain`: an answer of the node in words, and which message brings a value back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from node.cli import main
from node.cli.explain import print_explanation
from node.cli.explain_restore import find_write, restore_message

if TYPE_CHECKING:
    from tests.cli.conftest import Answers


def write(operation_id: str, state: str, value: object, **more: Any) -> dict[str, Any]:
    who = {"terminal_id": "pos-1", "user_id": "ana", "origin": "n1", "accepted_at": "10:00", "timestamp": "09:59"}
    return {
        "operation_id": operation_id,
        "state": state,
        "value": value,
        "path": ["status"],
        "data": {"status": value},
        "superseded_by": [],
        **who,
        **more,
    }


def explained(**more: Any) -> dict[str, Any]:
    return {
        "entity_type": "orders",
        "entity_id": "o-1",
        "field": "status",
        "value": "paid",
        "version": 4,
        "seq": 7,
        "deleted": False,
        "rule": {"strategy": "last_write_wins", "why": ["latest"], "pt": "a última", "en": "the latest"},
        "conflicts": [],
        "candidates": [write("op-2", "shown", "paid")],
        "superseded": [write("op-1", "superseded", "ready")],
        "superseded_total": 1,
        "archived": None,
        "refused": [write("op-3", "refused", "lost")],
        **more,
    }


def lines(answer: dict[str, Any]) -> list[str]:
    text = io.StringIO()
    print_explanation(answer, Console(file=text, highlight=False, soft_wrap=True))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_every_value_is_told_with_its_state() -> None:
    shown = lines(explained())
    assert shown[:3] == ["orders o-1  status", 'valor / value      "paid"', "versão / version   4"]
    marks = [line for line in shown if line[:1] in "●○·×+" and line]
    assert marks == [
        '● "paid"   aparece / shown',
        '· "ready"   substituído / superseded',
        '× "lost"   recusado e guardado / refused and kept',
    ]


def test_what_is_left_out_is_told() -> None:
    text = "\n".join(lines(explained(superseded_total=9, archived=30, deleted=True)))
    assert "e mais 8 / and 8 more (--limit)" in text
    assert "até a linha 30 está arquivado" in text
    assert "EXCLUÍDA / DELETED" in text


def test_the_command_prints_the_answer_as_json_or_in_words(answers: Answers) -> None:
    answers.by_path["/api/v1/explain/orders"] = [explained()]
    words = CliRunner().invoke(main, ["explain", "orders", "o-1", "status"])
    assert words.output.startswith("orders o-1  status\n")
    assert CliRunner().invoke(main, ["explain", "orders", "o-1", "status", "--json"]).output.startswith("{\n")
    assert answers.asked[0] == ("GET", "/api/v1/explain/orders?entity_id=o-1&field=status&limit=20")


def test_restore_needs_a_terminal() -> None:
    assert CliRunner().invoke(main, ["explain", "orders", "o-1", "status", "--restore", "op-1"]).exit_code == 2


def test_a_superseded_value_comes_back_as_an_update() -> None:
    message = restore_message(explained(), find_write(explained(), "op-1"), "t", "ana")
    operation = message["operation"]
    assert (message["type"], operation["operation"], operation["data"]) == (
        "data_sync",
        "UPDATE",
        {"status": "ready"},
    )
    assert operation["read_upto"] == 7
    assert (operation["restores"], operation["terminal_id"], operation["user_id"]) == ("pos-1/op-1", "t", "ana")


def test_a_deletion_comes_back_as_a_delete() -> None:
    answer = explained(field="deleted_at")
    assert restore_message(answer, find_write(answer, "op-1"), "t", "")["operation"]["operation"] == "DELETE"


@pytest.mark.parametrize(
    ("operation_id", "resolution"), [("op-2", "accept_local"), ("op-4", "accept_remote"), ("op-5", "merge")]
)
def test_a_candidate_of_an_open_conflict_comes_back_as_its_resolution(operation_id: str, resolution: str) -> None:
    conflict = {"id": "c", "type": "field_conflict", "state": "open", "freezes": False, "path": ["status"]}
    candidates = [write("op-2", "shown", "a"), write("op-4", "candidate", "b"), write("op-5", "candidate", "c")]
    sides = {"local": candidates[0], "remote": candidates[1]}
    answer = explained(conflicts=[{**conflict, **sides}], candidates=candidates)
    message = restore_message(answer, find_write(answer, operation_id), "t", "")
    assert (message["type"], message["conflict_id"], message["resolution"]) == (
        "conflict_resolution",
        "c",
        resolution,
    )


def test_an_id_that_two_terminals_gave_needs_its_terminal() -> None:
    tills = [write("op-1", "superseded", terminal_id, terminal_id=terminal_id) for terminal_id in ("pos-1", "pos-2")]
    answer = explained(superseded=tills)
    with pytest.raises(click.ClickException, match="say which: pos-1/op-1, pos-2/op-1"):
        find_write(answer, "op-1")
    assert find_write(answer, "pos-2/op-1")["value"] == "pos-2"


@pytest.mark.parametrize(
    ("operation_id", "message"),
    [("op-2", "já aparece / is shown already"), ("op-9", "did not write that field"), ("op-6", "does not hold")],
)
def test_what_cannot_come_back_is_named(operation_id: str, message: str) -> None:
    answer = explained(superseded=[write("op-6", "superseded", None, absent=True)])
    with pytest.raises(click.ClickException, match=message):
        find_write(answer, operation_id)
