"""A bench in a process whose nodes are forked: what they import is half of what a smallest run costs.

As a program: `python -m tests.bench.forked NAME ...`, which is `python -m bench NAME ...`.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from bench.__main__ import main
from tests.launcher import Launched, handed_on, launch_read

PLAIN = subprocess.Popen
SERVE = [sys.executable, "-m", "node", "serve"]


def popen(command: list[str], **options: Any) -> subprocess.Popen[str] | Launched:
    """In place of `subprocess.Popen`: nodes are forked, and all else starts as it is."""
    if command[:4] != SERVE:
        return PLAIN(command, **options)
    return launch_read(command[3:], options.get("stderr") or sys.__stderr__.buffer)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """`python -m bench`; its nodes are of this process's launcher."""
    files, environment = handed_on()
    command = [sys.executable, "-m", "tests.bench.forked", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, pass_fds=files, env=environment)


if __name__ == "__main__":
    subprocess.Popen = popen  # type: ignore[assignment, misc]
    main()
