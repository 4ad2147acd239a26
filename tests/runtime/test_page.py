"""The page's files over HTTP: which are served, as what, and what is said where the page was not built."""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess

import pytest

from node.runtime.api import page as module
from node.runtime.api.page import BUILT, TYPES, page, page_file
from node.runtime.net.http import GUARDED
from tests.processes import ROOT, missing

UI = ROOT / "node" / "ui"


def imports() -> list[tuple[str, str, str]]:
    """Of every module of the page: its address, the names that it takes, and the address that it takes them from."""
    found = []
    for file in (*UI.glob("*.js"), *UI.glob("views/*.js")):
        here = f"ui/{file.relative_to(UI).as_posix()}"
        for names, place in re.findall(r'^import ([^"]+?) from "(\.[^"]+)"', file.read_text(), re.MULTILINE):
            there = posixpath.normpath(posixpath.join(posixpath.dirname(here), place))
            if not there.startswith("ui/vendor/"):
                found.append((here, names, there))
    return found


def test_every_module_that_a_module_names_is_served_and_gives_what_is_taken() -> None:
    for here, names, there in imports():
        folder, *parts = there.split("/")
        assert page_file(folder, parts).status == 200, (here, there)
        if not names.startswith("{"):
            continue
        text = module._served()[there].decode()
        listed = ",".join(re.findall(r"^export \{([^}]+)\}", text, re.MULTILINE))
        exported = {*re.findall(r"^export (?:async )?(?:function|const|class) (\w+)", text, re.MULTILINE)}
        exported |= {name.split(" as ")[-1].strip() for name in listed.split(",")}
        assert {name.split(" as ")[0].strip() for name in names.strip("{} \n").split(",")} <= exported, (here, there)


READS = """
const fs = await import("node:fs"), vm = await import("node:vm");
for (const file of process.argv.slice(1)) {
  try { new vm.SourceTextModule(fs.readFileSync(file, "utf8")); } catch (error) { console.log(file, error.message); }
}
"""


def test_every_module_can_be_read() -> None:
    node = shutil.which("node")
    if node is None:
        missing("Node is needed to read the page's modules")
    files = [*UI.glob("*.js"), *UI.glob("*/*.js")]
    command = [node, "--no-warnings", "--experimental-vm-modules", "--input-type=module", "-e", READS, *files]
    read = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (read.returncode, read.stdout, read.stderr) == (0, "", "")


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
