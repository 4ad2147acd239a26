"""`comanda archive`: which of its options go together, and what a running node is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from node.cli import main

if TYPE_CHECKING:
    from tests.cli.conftest import Answers


@pytest.mark.parametrize(
    "arguments",
    [
        ["--until", "yesterday", "--url", "http://n"],
        ["--until", "7", "file"],
        ["--until", "7", "--url", "http://n", "file"],
        ["--until", "7", "--url", "http://n", "--data", "d"],
    ],
)
def test_what_does_not_go_together_is_refused(answers: Answers, arguments: list[str]) -> None:
    assert CliRunner().invoke(main, ["archive", *arguments]).exit_code == 2
    assert answers.asked == []


def test_a_running_node_says_where_the_file_is_and_who_holds_up_the_rest(answers: Answers) -> None:
    held_by = {"node": "caixa", "confirmed": 5}
    answers.by_path["/api/v1/archive"] = [{"archived": 5, "file": "archives/a", "held_by": held_by}]
    result = CliRunner().invoke(main, ["archive", "--until", "7", "--url", "http://n"])
    assert result.stdout == "5 linhas / rows: archives/a\n"
    assert result.stderr == "caixa confirmou até / has confirmed up to 5; o resto fica / the rest stays (--force)\n"
    assert answers.asked == [("POST", "/api/v1/archive?until=7")]
    answers.by_path["/api/v1/archive"] = [{"archived": 0, "file": None, "held_by": None}]
    forced = CliRunner().invoke(main, ["archive", "--until", "7", "--url", "http://n", "--force"])
    assert forced.output == "nada a arquivar / nothing to archive\n"
    assert answers.asked[-1] == ("POST", "/api/v1/archive?until=7&force=1")
