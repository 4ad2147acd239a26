"""What one operating system has and another lacks is named in one file, and nobody else asks which one it runs on."""

from __future__ import annotations

import ast
import os
import runpy
from typing import TYPE_CHECKING

import pytest

from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HIDDEN = runpy.run_path(str(ROOT / "tests" / "hidden_names" / "sitecustomize.py"), run_name="read")
LACKING = {(module, name) for module, names in HIDDEN["NAMES"].items() for name in names.split()}
WHICH = {("sys", "platform"), ("os", "name"), ("platform", "system")}
DIFFERENCES = ROOT / "storage" / "system.py"
SOURCES = [path for folder in HIDDEN["OURS"] for path in sorted((ROOT / folder).rglob("*.py")) if path != DIFFERENCES]


def offences(source: str) -> Iterator[str]:
    """Each use of a name that some system lacks, or that says which system it is."""
    for node in ast.walk(ast.parse(source)):
        named: list[tuple[str, str]] = []
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            named = [(node.value.id, node.attr)]
        elif isinstance(node, ast.ImportFrom):
            named = [(str(node.module), alias.name) for alias in node.names]
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [m for m, _ in named]
        # Windows renames onto no file that is there; `replace` does the same everywhere.
        renames = isinstance(node, ast.Attribute) and node.attr == "rename"
        if renames or set(modules) & HIDDEN["MODULES"] or set(named) & (LACKING | WHICH):
            yield f"line {getattr(node, 'lineno', 0)}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_names_only_what_every_system_has(path: Path) -> None:
    assert not list(offences(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        *("import fcntl", "from pwd import getpwuid", "import os\nos.pwrite(1, b'', 0)", "from signal import SIGHUP"),
        *("import sys\nsys.platform", "import select\nselect.epoll()", "import socket\nsocket.AF_UNIX"),
        *("from pathlib import Path\nPath('a').rename('b')", "import os\nos.rename('a', 'b')"),
    ],
)
def test_an_offence_is_seen(source: str) -> None:
    assert list(offences(source))


def test_what_windows_refuses_of_files_is_refused(tmp_path: Path) -> None:
    ours: dict[str, object] = {"__name__": "node.some", "unlink": HIDDEN["_refusing"](os.unlink)}
    exec("def act(path): unlink(path)", ours)
    act, file = ours["act"], tmp_path / "a.db"
    assert callable(act)
    with file.open("w"), pytest.raises(PermissionError):
        act(file)
    act(file)
    with pytest.raises(OSError, match="syntax"):
        act(tmp_path / "10:30.db")
