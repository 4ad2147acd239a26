"""Every rule of the suite holds for our own node, alone and below a hub."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from node.conformance.rule import RULES, Need, Rule
from node.conformance.runner import FAILED, chosen, try_rule
from node.conformance.subject import Process, Subject
from tests.conformance.nodes import ALL, held, started, told
from tests.patience import PATIENCE_S
from tests.processes import ROOT, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENT = ("heartbeat.half_a_minute", "figures.throughput")
"""Tried with COMANDA_CONFORMANCE=all only: one takes half a minute, the other wants the machine for itself."""

WITHOUT_TOKENS = [rule for rule in chosen(additions=True) if Need.TOKEN not in rule.needs]
ALONE = [rule for rule in WITHOUT_TOKENS if ALL or rule.name not in PATIENT]
BETWEEN_NODES = ("data_sync", "strategies", "conflicts", "locks", "fencing")
BELOW = [rule for rule in ALONE if rule.name.partition(".")[0] in BETWEEN_NODES]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    process = started(tmp_path_factory.mktemp("alone"))
    yield Subject(f"ws://127.0.0.1:{process.port}", process=process, patience=PATIENCE_S)
    process.end()


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    folder = tmp_path_factory.mktemp("below")
    hub = NodeProcess(folder / "hub", "--id", "central").start()
    process = started(folder, "--upstream", hub.url)
    yield Subject(f"ws://127.0.0.1:{process.port}", patience=PATIENCE_S)
    process.end()
    hub.end()


@pytest.mark.parametrize("rule", ALONE, ids=lambda rule: rule.name)
async def test_rule_holds(rule: Rule, alone: Subject) -> None:
    outcome = await try_rule(alone, rule, long=True)
    assert held(outcome), told(outcome)


@pytest.mark.walk(1 if ALL else 3)
@pytest.mark.parametrize("rule", BELOW, ids=lambda rule: rule.name)
async def test_rule_holds_below_a_hub(rule: Rule, below: Subject) -> None:
    outcome = await try_rule(below, rule)
    assert held(outcome), told(outcome)


async def test_a_node_that_forgets_is_caught(tmp_path: Path) -> None:
    script = tmp_path / "forgetful"
    script.write_text(f'#!/bin/sh\nrm -rf "$2"\nexec {sys.executable} -m node serve --port "$1" --data "$2"\n')
    process = Process(f"sh {script} {{port}} {{data}}", tmp_path, ROOT)
    await process.start()
    subject = Subject(f"ws://127.0.0.1:{process.port}", process=process)
    outcome = await try_rule(subject, RULES["restart.kept"])
    process.end()
    assert outcome.state == FAILED, told(outcome)
    assert "no such entity" in outcome.came
