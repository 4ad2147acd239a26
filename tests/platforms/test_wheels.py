"""Every dependency has a wheel on every system and Python that the README names: nobody's till has a compiler."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT

SYSTEMS = {
    "Linux": "x86_64-manylinux_2_28",
    "Linux on ARM": "aarch64-manylinux_2_28",
    "macOS": "aarch64-apple-darwin",
    "Windows": "x86_64-pc-windows-msvc",
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

ALL = [(system, python) for system in SYSTEMS for python in PYTHONS]
CHOSEN = ALL if os.environ.get("COMANDA_WHEELS") == "all" else list(zip(SYSTEMS, PYTHONS, strict=True))


def resolved(system: str, python: str) -> str:
    """The packages that would be installed there, all of them from wheels; fails where there is no such choice."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--only-binary", ":all:"]
    where = ["--python-platform", SYSTEMS[system], "--python-version", python, "--no-python-downloads"]
    done = subprocess.run([*command, *where], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("system", "python"), CHOSEN)
def test_there_is_a_wheel_of_everything(system: str, python: str) -> None:
    packages = resolved(system, python)
    y_py = python < "3.12" or (python == "3.12" and system != "Windows")
    assert ("y-py==" in packages, "pycrdt==" in packages) == (y_py, not y_py)
