"""`comanda show`: one entity, a table of all, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from node.cli import main

if TYPE_CHECKING:
    from tests.cli.conftest import Answers


def entity(entity_id: str, **more: Any) -> dict[str, Any]:
    data = {"status": "paid", "version": 2}
    return {"entity_id": entity_id, "version": 2, "data": data, "deleted": False, "conflicts": [], **more}


def show(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["show", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_one_entity_is_shown_field_by_field(answers: Answers) -> None:
    answers.by_path["/api/v1/entities/orders"] = [entity("mesa/1", conflicts=["c"])]
    assert show("orders", "mesa/1", "--seq", "7").splitlines() == [
        "orders mesa/1  EM CONFLITO / IN CONFLICT",
        '  status  "paid"',
        "  version  2",
    ]
    assert answers.asked == [("GET", "/api/v1/entities/orders?entity_id=mesa%2F1&seq=7")]


def test_all_pages_of_a_type_are_one_table(answers: Answers) -> None:
    first = {"entities": [entity("a")], "next": "a"}
    last = {"entities": [entity("b", deleted=True)], "next": None, "unknown": ["c"]}
    answers.by_path["/api/v1/entities/orders"] = [first, last]
    text = show("orders", "--deleted", "--at", "2026-01-01")
    assert '{"status":"paid"}' in text
    assert "EXCLUÍDA / DELETED" in text
    assert text.splitlines()[-1].endswith("the log does not tell: c")
    assert [path.partition("after=")[2] for _, path in answers.asked] == ["", "a"]


def test_a_type_without_entities_says_so(answers: Answers) -> None:
    answers.by_path["/api/v1/entities/orders"] = [{"entities": [], "next": None}]
    assert show("orders") == "nada / nothing\n"


def test_json_is_one_entity_a_line(answers: Answers) -> None:
    answers.by_path["/api/v1/entities/orders"] = [{"entities": [entity("a"), entity("b")], "next": None}]
    assert [line[:18] for line in show("orders", "--json").splitlines()] == [
        '{"entity_id":"a","',
        '{"entity_id":"b","',
    ]


@pytest.mark.usefixtures("answers")
def test_a_time_and_a_row_together_are_refused() -> None:
    result = CliRunner().invoke(main, ["show", "orders", "--at", "2026-01-01", "--seq", "1"])
    assert result.exit_code == 2
