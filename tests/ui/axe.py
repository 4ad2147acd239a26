"""axe-core, which says what of a page a screen reader, a keyboard or weak eyes cannot use."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING

from tests.processes import ROOT, missing

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGE = ROOT / "node" / "ui"
FOLDER = ROOT / "tests" / "ui" / "node_modules" / "page"
"""What the page's lock file pins, installed with what only tests need. Git ignores it."""

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")

RUN = """tags => axe.run(document, {runOnly: tags}).then(({violations}) => violations.flatMap(({id, help, nodes}) =>
    nodes.map(({html, any}) => `${id}: ${help}: ${html.slice(0, 200)} ${any[0]?.message ?? ''}`)))"""


@cache
def source() -> str:
    """axe as one script, as the page's lock file pins it. Installed once, as often as that changes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests run in several processes
        pinned, installed = PAGE / "package-lock.json", FOLDER / "installed.json"
        if not installed.is_file() or installed.read_bytes() != pinned.read_bytes():
            _install()
            shutil.copy(pinned, installed)
    return (FOLDER / "node_modules" / "axe-core" / "axe.min.js").read_text()


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        missing("the page's accessibility check needs npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PAGE / name, FOLDER / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        missing(f"npm ci in {FOLDER}: {done.stderr[-300:]}")


def violations(page: Page) -> list[str]:
    """What axe finds in a page as it stands. It is no part of the page, so the page's policy does not hold it."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(f"{source()}; undefined")
    found: list[str] = page.evaluate(RUN, [*RULES])
    return found
