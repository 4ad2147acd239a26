"""Our own node as the suite's subject."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import trio

from node.conformance.subject import Process
from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from node.conformance.runner import Outcome

SETTINGS = "[time]\nstatus_interval_s = 0.3\nmetrics_interval_s = 0.5\n"


def started(folder: Path, *flags: str) -> Process:
    """A node that tells monitors more often than by default, so that no test waits ten seconds."""
    settings = folder / "node.toml"
    settings.write_text(SETTINGS)
    words = [sys.executable, "-m", "node", "serve", "--port", "{port}", "--data", "{data}", "--config", str(settings)]
    process = Process(" ".join([*words, *flags]), folder, ROOT)
    trio.run(process.start)
    return process


def told(outcome: Outcome) -> str:
    """What a failed test says of a rule."""
    lines = "\n".join(f"{line.way} {line.who} {line.text[:300]}" for line in outcome.transcript)
    return f"{outcome.rule.says} Expected {outcome.expected}; came {outcome.came}{outcome.note}\n{lines}"
