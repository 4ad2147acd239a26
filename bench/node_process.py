"""A node in a process of its own, with a temporary data directory."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

UNLIMITED = "[limits]\nrate_per_second = 1000000\nrate_burst = 1000000\n"
"""The benchmark asks for more than the default rate allows one terminal."""


@contextmanager
def running_node(config: str = UNLIMITED) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a node; yields its ws:// URL (without a path) and the process."""
    with tempfile.TemporaryDirectory(prefix="comanda-bench-") as folder:
        settings = Path(folder, "comanda.toml")
        settings.write_text(config)
        command = [sys.executable, "-m", "node", "serve", "--port", "0", "--host", "127.0.0.1"]
        command += ["--data", str(Path(folder, "data")), "--config", str(settings)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            found = re.search(r"ws://[^/]+", process.stdout.readline())
            if found is None:
                raise RuntimeError("the node did not start")
            yield found.group(), process
        finally:
            process.terminate()
            process.wait(10)
