"""The page's files over HTTP: which are served, as what, and what is said where the page was not built."""

from __future__ import annotations

import re

import pytest

from node.runtime.api import page as module
from node.runtime.api.page import BUILT, TYPES, page, page_file
from node.runtime.net.http import GUARDED
from tests.processes import ROOT

UI = ROOT / "node" / "ui"


def test_every_file_that_a_file_names_is_served() -> None:
    for file in (*UI.glob("*.js"), *UI.glob("views/*.js")):
        for named in re.findall(r'from "(\.[^"]+)"', file.read_text()):
            place = (file.parent / named).resolve().relative_to(UI)
            assert place.parts[0] == "vendor" or page_file("ui", list(place.parts)).status == 200, (file, named)


@pytest.mark.parametrize(
    "address", ["build_hook.py", "package.json", "../errors.py", "views", "", "vendor/../app.js"]
)
def test_nothing_else_is(address: str) -> None:
    for parts in ([address], address.split("/")):
        assert page_file("ui", parts).status == 404


def test_each_file_says_what_it_is() -> None:
    assert page_file("ui", ["app.js"]).content_type == "text/javascript; charset=utf-8"
    assert page_file("ui", ["icon.svg"]).content_type == "image/svg+xml; charset=utf-8"
    assert {path.suffix for path in UI.iterdir() if path.is_file()} - set(TYPES) == {"", ".json", ".md", ".py"}


@pytest.mark.parametrize(("built", "shows"), [(True, b"/ui/app.js"), (False, b"npm")])
def test_a_page_without_its_packages_says_so_in_a_sentence(
    built: bool, shows: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**module._served(), BUILT: b""}
    if not built:
        del files[BUILT]
    monkeypatch.setattr(module, "_served", lambda: files)
    body = page().body
    assert isinstance(body, bytes)
    assert page().status == 200
    assert shows in body


def test_nothing_of_the_page_is_inline_or_from_elsewhere() -> None:
    policy = dict(GUARDED)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    for document in UI.glob("*.html"):
        text = document.read_text()
        assert not re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|https?://", text), document


def test_what_a_module_takes_of_another_is_given_there() -> None:
    for file in (*UI.glob("*.js"), *UI.glob("views/*.js")):
        for names, place in re.findall(r'^import \{([^}]+)\} from "(\.[^"]+)"', file.read_text(), re.MULTILINE):
            given = (file.parent / place).resolve()
            if "vendor" in given.parts:
                continue
            text = given.read_text()
            listed = ",".join(re.findall(r"^export \{([^}]+)\}", text, re.MULTILINE))
            exported = {*re.findall(r"^export (?:async )?(?:function|const|class) (\w+)", text, re.MULTILINE)}
            exported |= {name.split(" as ")[-1].strip() for name in listed.split(",")}
            assert {name.split(" as ")[0].strip() for name in names.split(",")} <= exported, (file, place)
