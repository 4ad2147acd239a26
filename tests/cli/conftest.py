"""Commands that ask a running node are answered here, by path."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click
import pytest
from attrs import define, field

from node.cli import asking

ASKING = (
    "archive",
    "backup",
    "audit",
    "conflicts",
    "doctor",
    "explain",
    "keys",
    "quarantine",
    "realm",
    "show",
    "status",
    "top",
)


@define
class Answers:
    """What the node answers, by path without its query. asked: (method, path) of each request so far."""

    by_path: dict[str, list[dict[str, Any]]] = field(factory=dict)
    asked: list[tuple[str, str]] = field(factory=list)

    def ask(self, url: str, path: str, method: str = "GET", timeout_s: float = 30.0) -> dict[str, Any]:
        self.asked.append((method, path))
        answers = self.by_path.get(path.partition("?")[0])
        if not answers:
            raise click.ClickException(f"{url}: 404 not found")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Instead of a node, for every command that asks one."""
    answers = Answers()
    for command in ASKING:
        module = import_module(f"node.cli.{command}")
        assert module.ask is asking.ask
        monkeypatch.setattr(module, "ask", answers.ask)
    monkeypatch.setattr(asking, "ask", answers.ask)
    return answers
