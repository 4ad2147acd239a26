"""The lock file pins what the package needs, and the list of licences names what it pins."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.processes import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
PINS = {
    canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, re.MULTILINE)
}
NEEDED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


@pytest.mark.parametrize("needed", NEEDED)
def test_each_dependency_is_pinned_as_it_may_be(needed: str) -> None:
    requirement = Requirement(needed)
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier, (
        "the head of the lock says how to write it"
    )


def test_each_pin_has_a_hash() -> None:
    parts = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(parts) == len(PINS)
    assert all("--hash=sha256:" in part for part in parts)


def test_each_pinned_package_is_listed_with_its_licence() -> None:
    rows = dict(licences("package"))
    assert set(rows) == set(PINS)
    assert "UNKNOWN" not in "".join(rows.values())


def test_the_pages_packages_are_pinned_by_hash_without_addresses_and_listed() -> None:
    pins = json.loads((ROOT / "node/ui/package-lock.json").read_text())["packages"]
    page = pins.pop("")
    needed = page["dependencies"] | page["devDependencies"]
    assert {path.removeprefix("node_modules/"): pin["version"] for path, pin in pins.items()} == needed
    assert all(pin["integrity"].startswith("sha512-") and "resolved" not in pin for pin in pins.values())
    carried = {path.removeprefix("node_modules/"): pin for path, pin in pins.items() if not pin.get("dev")}
    assert carried.keys() == page["dependencies"].keys()
    assert licences("npm package") == [(name, pin["license"]) for name, pin in carried.items()]


def licences(heading: str) -> list[tuple[str, str]]:
    """The rows of the table with this heading: a package and its licence."""
    table = (ROOT / "THIRD_PARTY.md").read_text().partition(f"| {heading} | licence |\n")[2].partition("\n\n")[0]
    return re.findall(r"^\| ([a-z0-9][\w-]*) \| (.+) \|$", table, re.MULTILINE)
