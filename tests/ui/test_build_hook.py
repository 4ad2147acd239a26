"""What the page is made with: where it comes from, and what is said where it cannot be had."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import ROOT, missing

if TYPE_CHECKING:
    from pathlib import Path

UI = ROOT / "node" / "ui"


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The hook in a checkout of its own that has no `vendor/`; hatchling is there while building only."""
    for name in ("hatchling", "hatchling.builders", "hatchling.builders.hooks", "hatchling.builders.hooks.plugin"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    interface = ModuleType("interface")
    interface.BuildHookInterface = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    for name in ("build_hook.py", "package.json", "package-lock.json"):
        shutil.copy(UI / name, tmp_path)
    spec = importlib.util.spec_from_file_location("build_hook", tmp_path / "build_hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Said:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, text: str) -> None:
        self.warnings.append(text)


def run(hook: ModuleType) -> tuple[list[str], dict[str, Any]]:
    """The warnings of one build, and what it takes into the package beside what git has."""
    build = hook.PageModules()
    build.app = Said()
    data: dict[str, Any] = {"artifacts": []}
    build.initialize("standard", data)
    return build.app.warnings, data


def test_without_npm_a_sentence_says_what_is_missing(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (warning,), data = run(hook)
    assert "npm" in warning
    assert "\n" not in warning
    assert data["artifacts"] == ["/node/ui/vendor"]


def test_a_registry_that_is_out_of_reach_is_a_sentence_too(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise subprocess.CalledProcessError(1, "npm", stderr="npm error code ENOTFOUND")

    monkeypatch.setattr(shutil, "which", lambda name: "npm")
    monkeypatch.setattr(subprocess, "run", fails)
    (warning,), _ = run(hook)
    assert "ENOTFOUND" in warning


def test_what_is_there_is_not_fetched_again_unless_the_lock_is_another(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    for name in hook.MODULES:
        (vendor / name).touch()
    shutil.copy(UI / "package-lock.json", vendor)
    assert run(hook)[0] == []
    (tmp_path / "package-lock.json").write_text("{}")
    assert len(run(hook)[0]) == 1


def test_each_module_comes_with_its_licence_and_needs_no_import_map(hook: ModuleType) -> None:
    if not (UI / "vendor").is_dir():
        missing("Comanda was installed without npm: the page's modules are not there")
    assert {path.name for path in (UI / "vendor").iterdir()} == {*hook.MODULES, "package-lock.json"}
    licensed = {name.partition(".")[0] for name in hook.MODULES if name.endswith(".LICENSE")}
    assert licensed == {published.partition("/")[0] for published in hook.MODULES.values()}
    for module in (UI / "vendor").glob("*.js"):
        assert not re.findall(r"""\bimport\b[^;"']*\bfrom\s*["'](?!\./)""", module.read_text()), module
