"""The alert rules and the dashboard name what a real node's /metrics has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.runtime.api import metrics
from tests.faults.rig import get, until
from tests.processes import ROOT, NodeProcess
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


FAMILIES: dict[str, tuple[str, str]] = {}
"""Type and text of each metric that was scraped."""

LISTED = re.compile(r"^\| `(\w+)`(?: \(([\w, ]+)\))? \| (\w+) \| (.+) \|$", re.MULTILINE)


def labels_by_metric(text: str) -> dict[str, set[str]]:
    """Of every metric of an exposition, by the name that a query uses, its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        FAMILIES[family.name] = (family.type, family.documentation)
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


# ------------------------------------------------------------------ the dashboard

DASHBOARD = json.loads(FILE.with_name("dashboard.json").read_text(encoding="utf-8"))
TARGETS = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel["targets"]]
OF_SCRAPING = {"instance", "job"}
"""Labels that Prometheus adds."""


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=[f"{title} {one['refId']}" for title, one in TARGETS])
def test_every_metric_and_label_of_a_panel_exists(
    title: str, target: dict[str, str], measured: dict[str, set[str]]
) -> None:
    expression, legend = target["expr"], target["legendFormat"]
    named = re.findall(r"\bcomanda_\w+", expression)
    assert named
    assert [name for name in named if name not in measured] == []
    labels = {*re.findall(r"[{,]\s*(\w+)\s*=", expression), *re.findall(r"{{(\w+)}}", legend)} - OF_SCRAPING
    assert all(labels <= measured[name] for name in named)
    assert expression.count("(") == expression.count(")")
    assert 'instance=~"$node"' in expression


def test_the_dashboard_is_in_two_languages_and_its_panels_do_not_overlap() -> None:
    places = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        assert " / " in panel["title"] or panel["title"].isupper(), panel["title"]
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & places
        assert at["x"] + at["w"] <= 24
        places |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) == variables.keys()


def test_the_dashboards_variable_is_of_a_metric_that_exists(measured: dict[str, set[str]]) -> None:
    (query,) = [one["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
    assert found is not None
    assert found[1] in measured
    assert found[2] in OF_SCRAPING


def test_every_metric_is_listed_with_its_type_its_labels_and_what_it_says(measured: dict[str, set[str]]) -> None:
    page = (ROOT / "node/runtime/api/metrics.md").read_text()
    said = {name: (kind, text, labels) for name, labels, kind, text in LISTED.findall(page)}
    found = {}
    for name, (kind, text) in FAMILIES.items():
        whole = {"counter": f"{name}_total", "info": f"{name}_info"}.get(kind, name)
        labels = ", ".join(sorted(measured[whole])) if whole in measured else said.get(whole, ("", "", ""))[2]
        found[whole] = (kind, text, labels)
    said.pop("comanda_archive_timestamp_seconds")  # of a node that has archived something
    assert said == found


def test_names_are_those_that_prometheus_asks_for(measured: dict[str, set[str]]) -> None:
    """One prefix, base units, `_total` for what only grows (prometheus.io, metric and label naming)."""
    for name in measured:
        assert re.fullmatch(r"comanda(_[a-z]+)+", name)
        assert not re.search(r"_(milli|micro|kilo|mega|ms|us|kb|mb|minutes|hours|days)(_|\Z|seconds|bytes)", name), (
            name
        )
    counters = {name for name, (kind, _) in FAMILIES.items() if kind == "counter"}
    assert {name for name in measured if name.endswith("_total")} == {f"{name}_total" for name in counters}
