"""The page's sentences: both languages have the same, and what the modules ask for is there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

UI = ROOT / "node" / "ui"
LINE = re.compile(r'^  ("(?:[^"\\]|\\.)*"): ("(?:[^"\\]|\\.)*"),$', re.MULTILINE)
MODULES = sorted(path for path in UI.rglob("*.js") if not {"vendor", "words"} & set(path.relative_to(UI).parts))


def sentences(language: str) -> list[tuple[str, str]]:
    found = LINE.findall((UI / "words" / f"{language}.js").read_text())
    return [(json.loads(key), json.loads(text)) for key, text in found]


def test_both_languages_say_the_same_in_the_same_places() -> None:
    portuguese, english = sentences("pt"), sentences("en")
    assert [key for key, _ in portuguese] == [key for key, _ in english]
    for (key, one), (_, other) in zip(portuguese, english, strict=True):
        assert set(re.findall(r"\{\w+\}", one)) == set(re.findall(r"\{\w+\}", other)), key


@pytest.mark.parametrize("language", ["pt", "en"])
def test_each_line_is_one_sentence_and_none_stands_twice(language: str) -> None:
    text = (UI / "words" / f"{language}.js").read_text()
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    keys = [key for key, _ in sentences(language)]
    assert len(keys) == len(lines) == len(set(keys))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(UI)))
def test_each_sentence_that_is_asked_for_is_there(module: Path) -> None:
    known = dict(sentences("pt"))
    asked = re.findall(r'\b(?:t|sentence)\(\s*"([^"]+)"', module.read_text())
    assert [key for key in asked if key not in known] == []
