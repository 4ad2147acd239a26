"""The page's sentences: both languages have the same, and what the modules ask for is there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from node.wire.close_codes import CODES, FOR_GOOD
from tests.processes import ROOT
from tests.ui.modules import HOLE, literals

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


CLIENTS = {4004, 4005}
"""Codes with which the client itself goes on: it dials again, or sends again."""


@pytest.mark.parametrize("language", ["pt", "en"])
def test_the_page_says_what_the_protocols_codes_say_and_names_no_other(language: str) -> None:
    """`close_codes.CODES` is what there is: whatever refuses a person has a sentence, and none has another code."""
    said = dict(sentences(language))
    refusals = {code.code for code in CODES} - FOR_GOOD - CLIENTS
    assert {f"refused.{code}" for code in refusals} | {"token.refused", "gate.4001", "gate.4002"} <= said.keys()
    named = {int(code) for text in said.values() for code in re.findall(r"\((4\d{3}|1011)\)", text)}
    assert named <= {code.code for code in CODES}
    coded = {key: text for key, text in said.items() if re.search(r"\.(4\d{3}|1011)$", key)}
    assert [key for key, text in coded.items() if f"({key.rpartition('.')[2]})" not in text] == []


# ------------------------------------------------------------------ no module holds a sentence of its own

NO_SENTENCES = {
    *("Comanda", "Português", "English", "Auto"),  # are called so in both languages
    *("Enter", "Escape", "Home", "End", "Authorization", f"Bearer {HOLE}"),  # names of keys, and a header
}
SENTENCE = re.compile(r"^[A-ZÀ-Ý]?[a-zà-ÿ]*[à-ÿ][a-zà-ÿ]*|^[A-ZÀ-Ý][a-zà-ÿ]+(?:[ .,:…]|$)")
"""Begins as a sentence does, or has a letter of Portuguese. Names of classes, routes and fields do neither."""

TAG = re.compile(r"<(?:[^<>\"'`]|\"[^\"]*\"|'[^']*')*>")
HEARD = re.compile(r"(?:aria-label|aria-description|title|placeholder|alt)=(\"[^\"]*\"|'[^']*')")
WORD = re.compile(r"[A-Za-zÀ-ÿ]{2,}")


def own_sentences(source: str) -> list[str]:
    """What a module itself says: text between tags, attributes that are read out, and strings like sentences."""
    found: list[str] = []
    for literal in literals(source):
        if not literal.markup:
            found += [literal.text] if SENTENCE.match(literal.text) else []
            continue
        found += [text for text in HEARD.findall(literal.text) if WORD.search(text.replace(HOLE, ""))]
        text = TAG.sub(HOLE, literal.text.replace(f"<{HOLE}", "<x").replace(f"...{HOLE}", ""))
        found += [word for part in text.split(HOLE) for word in WORD.findall(re.sub(r"&\w+;", "", part))]
    return [text for text in found if text not in NO_SENTENCES]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(UI)))
def test_no_module_holds_a_sentence_of_its_own(module: Path) -> None:
    assert own_sentences(module.read_text()) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("html`<p>Olá ${name}</p>`", ["Olá"]),
        ('html`<p title="Fechar tudo">${t("x")}</p>`', ['"Fechar tudo"']),
        ('html`<p class=${open ? "Nada ainda" : "b c"}></p>`', ["Nada ainda"]),
        ("const a = `Faltam ${n}`;", [f"Faltam {HOLE}"]),
        ("html`<p>${list.map((x) => html`<b>Sim</b>`)}</p>`", ["Sim"]),
        ('// Uma frase\nhtml`<${Part} name="x" /><p class="a b">${t("k")} · ${n}</p>`', []),
        ('const r = /"[^"]/; const s = "botão";', ["botão"]),
    ],
)
def test_the_walk_finds_sentences(source: str, said: list[str]) -> None:
    assert own_sentences(source) == said


def test_every_sentence_is_asked_for() -> None:
    found = [literal for module in MODULES for literal in literals(module.read_text())]
    texts = {literal.text for literal in found if not literal.markup}
    texts |= {text for literal in found if literal.markup for text in re.findall(r'="([\w.]+)"', literal.text)}
    made = [
        re.escape(text).replace(re.escape(HOLE), r"[\w ]*") for text in texts if HOLE in text and WORD.search(text)
    ]
    asked = re.compile("|".join([*map(re.escape, texts), *made]))
    assert [key for key, _ in sentences("pt") if not asked.fullmatch(key)] == []
