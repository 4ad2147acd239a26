"""`comanda quarantine` and `comanda backup`: one line for what the node answers."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import orjson
from click.testing import CliRunner

from node.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Answers


def test_each_operation_in_quarantine_is_a_line(answers: Answers) -> None:
    row = {
        "id": 3,
        "state": "bad",
        "from": "caixa",
        "terminal_id": "till",
        "operation_id": "op-1",
        "entity_type": "orders",
    }
    rows = [{**row, "entity_id": "o-1", "reason": "clock"}, {**row, "entity_id": None, "reason": "size"}]
    answers.by_path["/api/v1/quarantine"] = [{"quarantine": rows}]
    result = CliRunner().invoke(main, ["quarantine", "list"])
    assert result.output == "3  bad  caixa  till/op-1  orders o-1  clock\n3  bad  caixa  till/op-1  orders  size\n"


def test_an_operation_in_quarantine_is_shown_as_json(answers: Answers) -> None:
    row = {"id": 3, "reason": "line\nend", "message": {"type": "data_sync"}}
    answers.by_path["/api/v1/quarantine"] = [{"quarantine": [row]}]
    result = CliRunner().invoke(main, ["quarantine", "show", "3"])
    assert orjson.loads(result.output) == row


def test_retry_tells_how_many_are_left(answers: Answers) -> None:
    answers.by_path["/api/v1/quarantine/retry"] = [{"retried": 2, "left": 1}]
    result = CliRunner().invoke(main, ["quarantine", "retry"])
    assert result.output == "2 tentadas / tried, 1 restam / left\n"
    assert answers.asked == [("POST", "/api/v1/quarantine/retry")]


def test_what_is_dropped_is_told(answers: Answers) -> None:
    answers.by_path["/api/v1/quarantine/drop"] = [{"dropped": 3, "left": 1}]
    assert CliRunner().invoke(main, ["quarantine", "drop", "3"]).output == "3 descartada / dropped, 1 restam / left\n"
    assert answers.asked == [("POST", "/api/v1/quarantine/drop?id=3")]


def test_whatever_is_in_quarantine_is_exported_line_by_line_for_its_owner_alone(
    answers: Answers, tmp_path: Path
) -> None:
    rows = [{"id": 1, "reason": "half \ud83d, \x1b[2J\u202e"}, {"id": 2, "reason": "two\nlines, açaí"}]
    answers.by_path["/api/v1/quarantine"] = [{"quarantine": rows}]
    file = tmp_path / "q.jsonl"
    result = CliRunner().invoke(main, ["quarantine", "export", str(file)])
    assert result.exit_code == 0, result.output
    assert list(map(json.loads, file.read_text(encoding="ascii").splitlines())) == rows
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    result = CliRunner().invoke(main, ["quarantine", "export", str(tmp_path / "away" / "q.jsonl")])
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1), result.output


def test_backup_prints_where_the_copy_is(answers: Answers) -> None:
    answers.by_path["/api/v1/backup"] = [{"backup": "backups/a.db"}]
    assert CliRunner().invoke(main, ["backup"]).output == "backups/a.db\n"
    assert answers.asked == [("POST", "/api/v1/backup")]
