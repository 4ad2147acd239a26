"""`comanda realm list`: every store of head office, whoever of its processes keeps it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from node.cli import main

if TYPE_CHECKING:
    from tests.cli.conftest import Answers

KEPT: dict[str, Any] = {"open": True, "wrong": None, "linked": ["hub"], "head": 7}
REPORT = {
    "node_id": "north",
    "realms": [{"realm": "loja-b", **KEPT, "owner": "north"}, {"realm": "loja-d", **KEPT, "owner": "south"}],
    "elsewhere": [{"realm": "loja-a", "owner": "south"}, {"realm": "loja-c", "owner": None}],
    "offices": ["south"],
}


def test_stores_that_only_other_processes_keep_stand_among_the_others(answers: Answers) -> None:
    answers.by_path["/api/v1/realms"] = [REPORT]
    assert CliRunner().invoke(main, ["realm", "list"]).output.splitlines() == [
        "loja-a  south  só em outro processo / only in another process",
        "loja-b  north  hub  7 linhas / rows",
        "loja-c  só em outro processo / only in another process",
        "loja-d  south  hub  7 linhas / rows",
    ]


def test_for_programs_each_row_has_what_every_row_has(answers: Answers) -> None:
    answers.by_path["/api/v1/realms"] = [REPORT]
    lines = CliRunner().invoke(main, ["realm", "list", "--json"]).output.splitlines()
    found = [json.loads(line) for line in lines]
    assert [(row["realm"], row["open"], row.get("elsewhere", False)) for row in found] == [
        ("loja-a", False, True),
        ("loja-b", True, False),
        ("loja-c", False, True),
        ("loja-d", True, False),
    ]
    assert all({"realm", "open", "wrong"} <= row.keys() for row in found)


def test_one_process_alone_says_nothing_of_others(answers: Answers) -> None:
    answers.by_path["/api/v1/realms"] = [{"node_id": "office", "realms": [{"realm": "loja-a", **KEPT}]}]
    assert CliRunner().invoke(main, ["realm", "list"]).output == "loja-a  hub  7 linhas / rows\n"
