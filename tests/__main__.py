"""Everything that must pass, with one command: `python -m tests [pytest arguments]`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.slices import part

ROOT = Path(__file__).resolve().parent.parent

CONTRACTS = [
    *("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"),
    *("pyproject.toml", ".importlinter-run-time.toml"),
]
"""Which module may import which: arguments of `python`."""

DIFFERENCES = "storage/system.py"
"""Alone asks which system it runs on. What macOS lacks of Linux's names Windows lacks, too, so that the check as on
Windows finds every other use of them."""

BESIDE = {
    "mypy": ["-m", "mypy"],
    "mypy, as on win32": ["-m", "mypy", "--platform", "win32", "--cache-dir", ".mypy_cache/win32"],
    "mypy, as on darwin": [*("-m", "mypy", "--platform", "darwin", "--cache-dir", ".mypy_cache/darwin"), DIFFERENCES],
    "imports": CONTRACTS,
}
"""Use one core each, and so run beside the others, which use all; what they say is printed when those are done."""

WITHOUT_NAMES = {"PYTHONPATH": str(ROOT / "tests" / "hidden_names"), "COMANDA_NODE_ENGINE": "pycrdt"}
"""On the path of modules, it hides from a node what CPython does not have on Windows, where nodes run on pycrdt from
Python 3.12 on."""

SOME = [f"tests/e2e/test_{name}.py" for name in ("control", "archive", "identity", "engines", "tls")]
NAMELESS = ["tests/e2e"] if os.environ.get("COMANDA_NAMES") == "all" else part(SOME, 2)
ON_WINDOWS = ["-m", "pytest", "-q", "-m", "not linux", *NAMELESS]

WORKERS = (os.cpu_count() or 1) + 2
"""More than cores: a test often waits for a node's clock, and another one may have the core meanwhile."""

CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "pytest": ["-m", "pytest", "-n", str(WORKERS), "--dist", "worksteal", *sys.argv[1:]],
}


def main() -> int:
    """Run every check; the exit status is 0 only when all passed."""
    failed = []
    with ExitStack() as files:
        beside, wanted = [], dict(BESIDE)
        if not sys.argv[1:]:
            wanted["nodes without the names that Windows lacks"] = ON_WINDOWS
        for name, arguments in wanted.items():
            said = files.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(WITHOUT_NAMES if arguments is ON_WINDOWS else {})},
            )
            beside.append((name, process, said))
        for name, arguments in CHECKS.items():
            print(f"== {name}", flush=True)
            if subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode:
                failed.append(name)
        for name, process, said in beside:
            if process.wait():
                failed.append(name)
            said.seek(0)
            print(f"== {name}", said.read(), sep="\n", flush=True)
    print(f"== failed: {', '.join(failed)}" if failed else "== all passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
