"""Everything that must pass, with one command: `python -m tests [pytest arguments]`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CONTRACTS = [
    *("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"),
    *("pyproject.toml", ".importlinter-run-time.toml"),
]
"""Which module may import which: arguments of `python`."""

BESIDE = {
    "mypy": ["-m", "mypy"],
    **{
        f"mypy, as on {system}": ["-m", "mypy", "--platform", system, "--cache-dir", f".mypy_cache/{system}"]
        for system in ("darwin", "win32")
    },
    "imports": CONTRACTS,
}
"""Use one core each, and so run beside the others, which use all; what they say is printed when those are done."""

WINDOWS = str(ROOT / "tests" / "hidden_names")
"""On the path of modules, it hides from a node what CPython does not have on Windows."""

ON_WINDOWS = [f"tests/e2e/test_{name}.py" for name in ("control", "archive", "identity")]

CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "pytest": ["-m", "pytest", "-n", str(os.cpu_count() or 1), "--dist", "worksteal", *sys.argv[1:]],
}


def main() -> int:
    """Run every check; the exit status is 0 only when all passed."""
    failed = []
    with ExitStack() as files:
        beside = []
        for name, arguments in BESIDE.items():
            said = files.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
            beside.append((name, process, said))
        for name, arguments in CHECKS.items():
            print(f"== {name}", flush=True)
            if subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode:
                failed.append(name)
        if not sys.argv[1:]:
            print("== nodes without the names that Windows lacks", flush=True)
            hidden = {**os.environ, "PYTHONPATH": WINDOWS}
            arguments = ["-m", "pytest", "-q", "-n", str(os.cpu_count() or 1), *ON_WINDOWS]
            if subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False, env=hidden).returncode:
                failed.append("hidden names")
        for name, process, said in beside:
            if process.wait():
                failed.append(name)
            said.seek(0)
            print(f"== {name}", said.read(), sep="\n", flush=True)
    print(f"== failed: {', '.join(failed)}" if failed else "== all passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
