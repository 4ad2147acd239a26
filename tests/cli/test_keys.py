"""`comanda keys`: fingerprints, and what somebody decides about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from node.cli import main

if TYPE_CHECKING:
    from tests.cli.conftest import Answers

REPORT = {
    "node_id": "hub",
    "keys": {"hub": [{"fingerprint": "aa-bb", "by": ""}], "n1": [{"fingerprint": "cc-dd", "by": "hub2"}]},
    "offered": {"n1": [{"fingerprint": "ee-ff", "reason": "n1 has another one"}]},
}


def test_keys_are_listed_with_who_told_them_and_what_waits(answers: Answers) -> None:
    answers.by_path["/api/v1/keys"] = [REPORT]
    lines = CliRunner().invoke(main, ["keys", "list"]).output.splitlines()
    assert lines == [
        "hub  aa-bb  este nó / this node",
        "n1  cc-dd  dito por / told by hub2",
        "n1  ee-ff  NÃO ACEITA / NOT TAKEN: n1 has another one",
    ]


def test_a_key_is_trusted_and_forgotten_by_its_fingerprint(answers: Answers) -> None:
    for what in ("trust", "forget"):
        answers.by_path[f"/api/v1/keys/{what}"] = [REPORT]
        assert CliRunner().invoke(main, ["keys", what, "n1", "ee-ff"]).output == "n1: 1 chave(s) / key(s)\n"
    assert answers.asked == [
        ("POST", "/api/v1/keys/trust?node=n1&fingerprint=ee-ff"),
        ("POST", "/api/v1/keys/forget?node=n1&fingerprint=ee-ff"),
    ]
