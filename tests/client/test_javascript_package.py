"""The JavaScript client as npm packs it: its types, and that its README's programs keep to them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.client.examples import PACKAGE, examples_of
from tests.processes import ROOT, missing, node_modules

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it is packed, ws and the README's examples."""
    folder = tmp_path_factory.mktemp("program")
    modules = folder / "node_modules"
    modules.mkdir()
    npm = shutil.which("npm")
    if npm is None:
        missing("npm packs the JavaScript client")
    pack = [npm, "pack", "--json", "--pack-destination", str(folder)]
    packed = subprocess.run(pack, cwd=PACKAGE, capture_output=True, text=True, check=True)
    with tarfile.open(folder / json.loads(packed.stdout)[0]["filename"]) as archive:
        archive.extractall(folder, filter="data")
    (folder / "package").rename(modules / "comanda-client")
    for name in ("ws", "typescript", "@types"):
        (modules / name).symlink_to(node_modules() / name)
    for name, source in examples_of(PACKAGE / "README.md").items():
        (folder / name).write_text(source)
    return folder


def test_the_package_holds_the_modules_their_types_and_the_licence(program: Path) -> None:
    package = program / "node_modules" / "comanda-client"
    there = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    wanted = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert there == {name for name in wanted if "node_modules" not in name}
    assert (package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert json.loads((package / "package.json").read_text()).get("dependencies") is None


def test_it_is_installed_as_its_readme_says(tmp_path: Path) -> None:
    """From a clone beside the program's folder. What it names beside the clone is what the tests have of npm."""
    (line,) = re.findall(r"^npm install (.*?) *#", (PACKAGE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    clone, *others = line.split()
    assert [name for name in others if not (node_modules() / name / "package.json").is_file()] == []
    (tmp_path / "comanda").symlink_to(ROOT)
    (tmp_path / "program").mkdir()
    npm = shutil.which("npm") or missing("npm installs the JavaScript client")
    subprocess.run([npm, "install", "--offline", clone], cwd=tmp_path / "program", capture_output=True, check=True)
    code = "import { connect } from 'comanda-client'; import { FileStore } from 'comanda-client/file';"
    subprocess.run(["node", "--input-type=module", "-e", code], cwd=tmp_path / "program", check=True)


def test_the_types_say_what_the_modules_are(program: Path) -> None:
    """The examples, and calls of everything that is exported, are checked against the types; so are the types."""
    (program / "types.mts").write_text((ROOT / "tests" / "client" / "javascript" / "types.mts").read_text())
    options = {"strict": True, "noEmit": True, "module": "nodenext", "target": "es2023", "lib": ["es2023", "dom"]}
    options |= {"allowJs": True, "checkJs": True, "noImplicitAny": False, "types": ["node"]}
    options |= {"skipDefaultLibCheck": True}  # the libraries are the compiler's own
    settings = {"compilerOptions": options, "include": ["*.mts", "*.mjs"]}
    (program / "tsconfig.json").write_text(json.dumps(settings))
    compiler = program / "node_modules" / "typescript" / "bin" / "tsc"
    run = subprocess.run(["node", str(compiler)], cwd=program, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
