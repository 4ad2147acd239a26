"""What one operating system has and another lacks is named in one file, and nobody else asks which one it runs on."""

from __future__ import annotations

import ast
import os
import runpy
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config.sections import SITE
from node.runtime.whole_files import file_name
from node.wire.codec import TERMINAL_ID
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
        if not isinstance(node, ast.Attribute | ast.Import | ast.ImportFrom):
            continue
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


def test_every_file_names_only_what_every_system_has() -> None:
    assert len(SOURCES) > 400
    found = {str(path.relative_to(ROOT)): [*offences(path.read_text(encoding="utf-8"))] for path in SOURCES}
    assert {path: said for path, said in found.items() if said} == {}


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


@pytest.mark.parametrize("name", ["10:30.db", "con.pem", "NUL", "ends.", "ends ", "a|b"])
def test_a_name_that_windows_does_not_know_is_refused_to_our_modules(tmp_path: Path, name: str) -> None:
    for event, arguments in {
        "open": (tmp_path / name, None, os.O_CREAT | os.O_WRONLY),
        "os.mkdir": (tmp_path / name, 0o777, -1),
        "sqlite3.connect": (tmp_path / name,),
        "os.rename": (tmp_path / "a.db", tmp_path / name, -1, -1),
    }.items():
        with pytest.raises(OSError, match="syntax"):
            as_ours(event, *map(_text, arguments))
        HIDDEN["refuse"](event, tuple(map(_text, arguments)))  # others may


def test_a_file_that_is_open_is_neither_renamed_nor_deleted_by_our_modules(tmp_path: Path) -> None:
    file, other = tmp_path / "a.db", tmp_path / "b.db"
    with file.open("w"):
        for event, arguments in {"os.remove": (file, -1), "os.rename": (other, file, -1, -1)}.items():
            with pytest.raises(PermissionError):
                as_ours(event, *map(_text, arguments))
    as_ours("os.remove", str(file), -1)


@given(st.from_regex(TERMINAL_ID, fullmatch=True) | st.sampled_from(["con", "NUL.x", "com1", "conta", "a:b|c"]))
def test_whoever_has_an_id_of_a_terminal_has_a_file(name: str) -> None:
    as_ours("os.mkdir", f"/{file_name(name)}.pem", 0o777, -1)
    assert unquote(file_name(name)) == name


def test_every_site_names_a_folder() -> None:
    assert not [name for name in HIDDEN["DEVICES"] if SITE.match(name)]
    assert all(SITE.match(name) for name in ("conta", "loja-017", "com", "nulo", "com10"))


def as_ours(event: str, *arguments: object) -> None:
    """The event, as if one of our modules were its cause."""
    ours: dict[str, object] = {"__name__": "node.some", "refuse": HIDDEN["refuse"]}
    exec("def act(event, arguments): refuse(event, arguments)", ours)
    act = ours["act"]
    assert callable(act)
    act(event, arguments)


def _text(argument: object) -> object:
    return os.fspath(argument) if isinstance(argument, os.PathLike) else argument
