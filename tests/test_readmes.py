"""The READMEs are held to the tree: what they name exists, and what stands in their folders is named.

Only text in code spans and code blocks is read as names, and the targets of links.
"""

from __future__ import annotations

import re
from fnmatch import fnmatch
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import pytest

from node.cli import COMMANDS, main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
TOPS = ("crdt", "strategies", "storage", "node", "tests", "bench")

REQUIRED = {
    *("crdt", "strategies", "strategies/kinds", "storage", "storage/sqlite", "tests", "bench"),
    *("node/core", "node/core/operations", "node/core/entities", "node/core/log", "node/core/locks"),
    *("node/core/delivery", "node/core/sessions", "node/core/links", "node/core/history"),
    *("node/wire", "node/wire/links", "node/runtime", "node/runtime/net", "node/runtime/api"),
    *("node/simulation", "node/conformance"),
}
"""Folders whose README must be there. Every other README is held to the tree as well."""

EXTENSIONS = (".py", ".md", ".html", ".mjs", ".toml", ".json", ".txt")
OUTSIDE = {"comanda.toml"}
"""Files that are named and are not of the repository."""

SPAN = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^```\w*\n(.*?)^```$|((?:^ {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\bcomanda ((?:(?!comanda ).)*)")
PYTHON_M = re.compile(r"\bpython3? -m ([\w.]+)")
PATH = re.compile(r"[\w.*-]+(?:/[\w.*-]+)*/?")


class Readme(NamedTuple):
    """One README: its file, and what of its text is code, line by line or span by span."""

    path: Path
    code: list[str]

    @property
    def folder(self) -> Path:
        return self.path.parent


def read(path: Path) -> Readme:
    text = path.read_text(encoding="utf-8")
    blocks = [line for match in BLOCK.finditer(text) for line in match.group().splitlines()]
    return Readme(path, [*blocks, *SPAN.findall(BLOCK.sub("", text).replace("\\|", "|"))])


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


PATHS = sorted(chain([ROOT / "README.md"], *((ROOT / top).rglob("README.md") for top in TOPS)))
READMES = [pytest.param(read(path), id=name_of(path)) for path in PATHS if "node_modules" not in path.parts]
FILES = [name_of(path) for top in TOPS for path in (ROOT / top).rglob("*") if "__pycache__" not in path.parts]


# ------------------------------------------------------------------ what the folders must have


@pytest.mark.parametrize("folder", sorted(REQUIRED))
def test_a_folder_that_needs_a_readme_has_one(folder: str) -> None:
    assert (ROOT / folder / "README.md").is_file()


@pytest.mark.parametrize("readme", [readme for readme in READMES if readme.values[0].folder != ROOT])
def test_every_module_of_a_folder_stands_in_its_readme(readme: Readme) -> None:
    named = {step.removesuffix(".py") for text in readme.code for step in re.findall(r"[\w.]+", text)}
    modules = {path.stem for path in readme.folder.glob("*.py")} - {"__init__", "__main__", "conftest"}
    folders = {path.parent.name for path in readme.folder.glob("*/*.py")}
    assert sorted((modules | folders) - named) == []


def test_every_top_folder_stands_in_the_first_readme() -> None:
    code = "\n".join(read(ROOT / "README.md").code)
    assert [top for top in TOPS if f"{top}/" not in code] == []


# ------------------------------------------------------------------ what they name


def paths(text: str) -> Iterator[str]:
    """What in a line or a span of code can only be a path of the repository."""
    for word in re.findall(r"[^\s,;()\[\]\"'=]+", text):
        word = re.sub(r":\w+$", "", word)  # module:function
        if not PATH.fullmatch(word) or word in OUTSIDE:
            continue
        top, slash, _ = word.partition("/")
        if word.endswith(EXTENSIONS) or (slash and top in TOPS):
            yield word


def exists(folder: Path, name: str) -> bool:
    """From the README's folder or one above it; a bare file name: anywhere."""
    above = folder.relative_to(ROOT)
    places = [str(place / name) for place in (above, *above.parents)]
    if "/" not in name:
        places.append(f"*/{name}")
    return any((ROOT / place).exists() or any(fnmatch(file, place) for file in FILES) for place in places)


@pytest.mark.parametrize("readme", READMES)
def test_every_path_that_is_named_exists(readme: Readme) -> None:
    named = {name for text in readme.code for name in paths(text)}
    assert sorted(name for name in named if not exists(readme.folder, name)) == []


def anchors(path: Path) -> set[str]:
    """Of the headings of a Markdown file, as links name them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("readme", READMES)
def test_every_link_has_a_target(readme: Readme) -> None:
    dead = []
    for target in LINK.findall(readme.path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        if file.startswith(("http://", "https://")):
            continue
        path = readme.folder / file if file else readme.path
        if not path.exists() or (anchor and anchor not in anchors(path)):
            dead.append(target)
    assert dead == []


# ------------------------------------------------------------------ commands


def misnamed(text: str) -> Iterator[str]:
    """What does not exist of the `comanda` commands in a line or a span, and of their options."""
    for match in COMMAND.finditer(text):
        words = match.group(1).split("#")[0].split()
        command: click.Command = main
        while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z]+", words[0]):
            found = command.get_command(click.Context(command), words[0])
            if found is None:
                yield f"comanda {match.group(1)}"
                return
            command = found
            del words[0]
        flags = {flag for parameter in command.params for flag in parameter.opts} | {"--help", "--version"}
        yield from (
            f"{command.name} {flag}"
            for flag in re.findall(r"(?<!\S)\[?(--[a-z-]+)", " ".join(words))
            if flag not in flags
        )


@pytest.mark.parametrize("readme", READMES)
def test_every_command_that_is_named_exists_with_its_options(readme: Readme) -> None:
    assert [wrong for text in readme.code for wrong in misnamed(text)] == []


def test_every_command_stands_in_the_first_readme() -> None:
    code = "\n".join(read(ROOT / "README.md").code)
    assert [name for name in COMMANDS if f"comanda {name}" not in code] == []


def runs(module: str) -> bool:
    """Whether `python -m module` finds something to run."""
    spec = find_spec(module)
    return spec is not None and (
        spec.submodule_search_locations is None or find_spec(f"{module}.__main__") is not None
    )


@pytest.mark.parametrize("readme", READMES)
def test_every_module_that_is_run_is_there(readme: Readme) -> None:
    named = {name for text in readme.code for name in PYTHON_M.findall(text)}
    assert sorted(name for name in named if not runs(name)) == []
