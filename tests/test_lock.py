"""The lock file pins what the package needs, and the list of licences names what it pins."""

from __future__ import annotations

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
    rows = re.findall(r"^\| ([a-z0-9][\w-]*) \| (.+) \|$", (ROOT / "THIRD_PARTY.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows[1:]} == set(PINS)
    assert not [name for name, licence in rows if "UNKNOWN" in licence]
