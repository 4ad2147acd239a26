"""What is published has all that a node needs: wheel and sdist as a clean clone builds them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from attrs import frozen

from tests.processes import ROOT

PACKAGES = ("node", "crdt", "strategies", "storage")
VENDOR = PurePosixPath("node/ui/vendor")


@frozen
class Built:
    """Paths in what was built. tracked: the files that git has. home: a folder with the wheel's files alone."""

    tracked: frozenset[str]
    wheel: frozenset[str]
    sdist: frozenset[str]
    home: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel is made from the sdist, so that one without the other would not do."""
    folder = tmp_path_factory.mktemp("built")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tracked = frozenset(name for name in listed.split("\0") if name and (ROOT / name).is_file())
    for name in tracked:
        (folder / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "clone" / name)
    command = [sys.executable, "-m", "uv", "build", "--out-dir", str(folder / "dist"), str(folder / "clone")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,), (sdist,) = (list((folder / "dist").glob(f"*{ending}")) for ending in (".whl", ".tar.gz"))
    with zipfile.ZipFile(wheel) as opened:
        in_wheel = frozenset(opened.namelist())
        opened.extractall(folder / "home")
    with tarfile.open(sdist) as opened:
        files = (PurePosixPath(member.name) for member in opened.getmembers() if member.isfile())
        in_sdist = frozenset(str(PurePosixPath(*path.parts[1:])) for path in files)
    return Built(tracked, in_wheel, in_sdist, folder / "home")


def page_modules() -> set[str]:
    """The files beside git's: those of the page, as the checkout that runs these tests has them."""
    there = {path.name for path in (ROOT / VENDOR).iterdir()}
    return {str(VENDOR / name) for name in there}


def test_the_wheel_has_every_file_of_the_packages_and_the_pages_modules(built: Built) -> None:
    wanted = {name for name in built.tracked if PurePosixPath(name).parts[0] in PACKAGES} | page_modules()
    shipped = {name for name in built.wheel if ".dist-info" not in PurePosixPath(name).parts[0]}
    assert shipped == wanted
    assert sum(name.endswith("licenses/LICENSE") for name in built.wheel) == 1


def test_the_sdist_has_what_git_has_and_the_pages_modules(built: Built) -> None:
    assert built.sdist == built.tracked | page_modules() | {"PKG-INFO"}


def test_the_program_runs_from_the_wheels_files_alone(built: Built, tmp_path: Path) -> None:
    where = "import node, sys; print(node.__path__[0]); sys.argv = ['comanda', '--version']; node.__main__.main()"
    command = [sys.executable, "-c", where.replace("import node,", "import node.__main__,")]
    environment = {**os.environ, "PYTHONPATH": str(built.home)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    place, version = done.stdout.splitlines()
    assert place == str(built.home / "node")
    assert version.startswith("comanda ")
