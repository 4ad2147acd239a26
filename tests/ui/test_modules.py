"""The page's modules fit together: a browser loads none of them where one name stands twice, or is not exported."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from node.runtime.api.openapi import DESCRIBED
from tests.ui.test_words import MODULES, UI

if TYPE_CHECKING:
    from pathlib import Path

DECLARED = re.compile(r"^(?:export )?(?:async )?(?:const|let|var|function\*?|class) (\w+)", re.MULTILINE)
EXPORTED = re.compile(r"^export (?:async )?(?:const|let|var|function\*?|class) (\w+)", re.MULTILINE)
LISTED = re.compile(r"^export \{([^}]*)\}", re.MULTILINE)
IMPORTED = re.compile(r'^import (?:(\w+)(?:, )?)?(?:\{([^}]*)\} )?(?:from )?"([^"]+)";', re.MULTILINE)


def names(listed: str) -> list[tuple[str, str]]:
    """What stands between the braces of an import or export: a name there, and here."""
    found = [part.split(" as ") for part in listed.replace("\n", " ").split(",") if part.strip()]
    return [(parts[0].strip(), parts[-1].strip()) for parts in found]


def exported(module: Path) -> set[str]:
    source = module.read_text()
    return {*EXPORTED.findall(source), *(here for listed in LISTED.findall(source) for _, here in names(listed))}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(UI)))
def test_no_name_stands_twice_and_what_is_imported_is_exported(module: Path) -> None:
    source, said = module.read_text(), Counter(DECLARED.findall(module.read_text()))
    for whole, listed, address in IMPORTED.findall(source):
        said.update(filter(None, [whole, *(here for _, here in names(listed))]))
        target = (module.parent / address).resolve()
        if UI in target.parents and "vendor" not in target.parts:
            assert {there for there, _ in names(listed)} <= exported(target), address
    assert [name for name, times in said.items() if times > 1] == []


PAGES = {path.split("/")[3] for (_, path), said in DESCRIBED.items() if "next" in str(said.answer)} - {"entities"}
"""Lists that come in pages. Of entities all are given where no `limit` is said."""


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(UI)))
def test_no_list_ends_with_its_first_page(module: Path) -> None:
    source = module.read_text()
    asked = re.compile(rf"""["`(]/?(?:api/v1/)?({"|".join(sorted(PAGES))})["`],""")
    for line in source.splitlines():
        if asked.search(line) and re.search(r"\b(?:get|useGet|getAll)\(", line):
            assert "whole:" in line or re.search(r"\bnext\b", source), line


def test_the_walk_knows_every_such_list() -> None:
    assert {"conflicts", "history", "audit", "refused", "terminals"} == PAGES
