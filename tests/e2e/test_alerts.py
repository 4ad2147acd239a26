"""The alert rules name what a real node's /metrics has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.runtime.api import metrics
from tests.faults.rig import get, until
from tests.processes import NodeProcess
from tests.test_readmes import misnamed

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(metrics.__file__).with_name("alerts.yml")
TEXT = FILE.read_text(encoding="utf-8")
RULE = re.compile(
    r"""      - alert: (?P<name>[A-Z]\w+)
        expr: '(?P<expression>[^'\n]+)'
        for: \d+[mh]
        labels:
          severity: (?:warning|critical)
        annotations:
          summary: '(?P<summary>(?:[^'\n]|'')+)'
          remedy: '(?P<remedy>(?:[^'\n]|'')+)'
"""
)
RULES = [match.groupdict() for match in RULE.finditer(TEXT)]


def labels_by_metric(text: str) -> dict[str, set[str]]:
    """Of every metric of an exposition, by the name that a query uses, its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """The metrics of a node with a link, which has made a copy."""
    folder = tmp_path_factory.mktemp("alerts")
    hub = NodeProcess(folder / "hub")

    def scraped() -> dict[str, set[str]]:
        return labels_by_metric(get(node, "/metrics").text)

    try:
        hub.start()
        node = NodeProcess(folder / "node", "--upstream", hub.url, config="[backup]\nevery_h = 0.0001\n")
        node.start()
        try:
            until(lambda: {"comanda_backup_timestamp_seconds", "comanda_link_lag_rows"} <= scraped().keys())
            yield scraped()
        finally:
            node.end()
    finally:
        hub.end()


def test_the_file_holds_rules_and_nothing_else() -> None:
    head = "groups:\n  - name: comanda\n    rules:\n"
    assert re.sub(r"^#.*\n", "", RULE.sub("", TEXT)) == head
    names = [rule["name"] for rule in RULES]
    assert len(names) == len(set(names)) == TEXT.count("- alert:")


@pytest.mark.parametrize("rule", RULES, ids=[rule["name"] for rule in RULES])
def test_every_metric_and_label_of_a_rule_exists(rule: dict[str, str], measured: dict[str, set[str]]) -> None:
    named = re.findall(r"\bcomanda_\w+", rule["expression"])
    assert named or rule["expression"].startswith("up{")
    assert [name for name in named if name not in measured] == []
    labels = set(re.findall(r"\$labels\.(\w+)", rule["summary"]))
    assert all(labels <= measured[name] for name in named)


@pytest.mark.parametrize("rule", RULES, ids=[rule["name"] for rule in RULES])
def test_every_rule_is_in_two_languages_and_its_command_exists(rule: dict[str, str]) -> None:
    assert " / " in rule["summary"]
    assert list(misnamed(rule["remedy"])) == []
