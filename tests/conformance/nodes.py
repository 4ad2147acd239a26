"""Our own node as the suite's subject."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

import trio

from node.conformance.rule import Kind
from node.conformance.runner import PASSED
from node.conformance.subject import Process
from tests.launcher import Launched, launch

if TYPE_CHECKING:
    from pathlib import Path

    from node.conformance.runner import Outcome

ALL = os.environ.get("COMANDA_CONFORMANCE") == "all"
SETTINGS = "[time]\nstatus_interval_s = 0.3\nmetrics_interval_s = 0.5\n"


class Forked(Process):
    """A node whose template is the words of `comanda`."""

    def _begin(self, words: list[str], log: IO[bytes]) -> Launched:  # type: ignore[override]
        return launch(words, log, log.fileno())


def started(folder: Path, *flags: str) -> Process:
    """A node that tells monitors more often than by default, so that no test waits ten seconds."""
    settings = folder / "node.toml"
    settings.write_text(SETTINGS)
    words = ["serve", "--port", "{port}", "--data", "{data}", "--config", str(settings)]
    process = Forked(" ".join([*words, *flags]), folder)
    trio.run(process.start)
    return process


def held(outcome: Outcome) -> bool:
    """A figure is the machine's too: on a busy one it is enough that the rule came to measure it."""
    measured = outcome.rule.kind is Kind.FIGURE and outcome.came.startswith("median")
    return outcome.state == PASSED or (measured and not ALL)


def told(outcome: Outcome) -> str:
    """What a failed test says of a rule."""
    lines = "\n".join(f"{line.way} {line.who} {line.text[:300]}" for line in outcome.transcript)
    return f"{outcome.rule.says} Expected {outcome.expected}; came {outcome.came}{outcome.note}\n{lines}"
