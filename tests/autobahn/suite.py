"""The Autobahn|Testsuite's cases, run by `kosoku` in a process of its own: one JSON line for each case.

    python -m tests.autobahn.suite client ws://127.0.0.1:9001 '1.*' '7.1.1'    against a server
    python -m tests.autobahn.suite server '1.*' '7.1.1'    against a client; prints its port first

A process of its own because kosoku patches `binascii` and `sys.path` for the cases, which were written for Python 2,
and because its threads may abort an interpreter that ends in the usual way.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import frozen

from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PATIENCE_S = 3_000
"""How long a run may take, all its cases together."""

CASE_S = 1_200
"""How long one case may wait for what must come. One of a thousand compressed messages took more than two minutes on
a machine with a load of eight on each core."""

AT_ONCE = 16
"""How many cases run side by side: some only wait for a second."""


@frozen
class Verdict:
    """What the suite says of one case. code: of the close frame it received."""

    case: str
    behavior: str
    close: str
    why: str
    code: int | None

    @property
    def good(self) -> bool:
        return self.behavior in ("OK", "INFORMATIONAL") and self.close in ("OK", "INFORMATIONAL")


class Cases:
    """A run of the suite. port: where its server listens, in that role."""

    def __init__(self, role: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.autobahn.suite", role, *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout is not None
        self._lines = self._process.stdout
        self.port = 0
        if role == "server":
            self.port = int(self._lines.readline())

    def verdicts(self) -> list[Verdict]:
        """Of all cases, once all are done."""
        said, _ = self._process.communicate(timeout=PATIENCE_S)
        return [Verdict(**json.loads(line)) for line in said.splitlines()]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def summary(found: Iterable[Verdict]) -> str:
    """Counts by group, and whatever was not as it should be."""
    found = list(found)
    lines = []
    for group in sorted({int(verdict.case.split(".")[0]) for verdict in found}):
        of_it = [verdict for verdict in found if verdict.case.startswith(f"{group}.")]
        counts = Counter(verdict.behavior for verdict in of_it).most_common()
        lines.append(
            f"{group:>3}.*  {len(of_it):>4} cases: " + ", ".join(f"{count} {what}" for what, count in counts)
        )
    lines += [f"{v.case}: {v.behavior}, close {v.close} ({v.code}): {v.why}" for v in found if not v.good]
    return "\n".join(lines)


# ---------------------------------------------------------------------- in the process of its own


class _Patient:
    """What a case sees of its connection, but it waits longer for what must come. No case that passes ends by one of
    these timers; with their own second, a slow machine would fail."""

    def __init__(self, protocol: Any) -> None:
        object.__setattr__(self, "_protocol", protocol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._protocol, name, value)

    def killAfter(self, _: float) -> None:
        self._protocol.killAfter(CASE_S)

    def closeAfter(self, _: float) -> None:
        self._protocol.closeAfter(CASE_S)

    def continueLater(self, delay: float, then: Callable[[], None], tag: str | None = None) -> None:
        """B: how long 6.4.* wait for the connection to be closed; the others wait for nothing to happen."""
        self._protocol.continueLater(CASE_S if tag == "B" else delay, then, tag)


def _repair() -> None:
    """Make the cases patient, and give 12.* and 13.* bytes, as they take. kosoku hands them text where a message came
    uncompressed, as a node sends its small ones (RFC 7692, section 6, leaves that to the sender)."""
    from kosoku import _caseindex

    _caseindex.initialize_shims()
    import case  # type: ignore[import-not-found, unused-ignore]
    import case12_x_x  # type: ignore[import-not-found, unused-ignore]

    begin = case.Case.__init__
    case.Case.__init__ = lambda one, protocol: begin(one, _Patient(protocol))

    def as_bytes(inner: Callable[[Any, bytes, bool], None]) -> Callable[[Any, bytes | str, bool], None]:
        def on_message(one: Any, message: bytes | str, binary: bool) -> None:
            if isinstance(message, str):
                message = message.encode("latin-1" if binary else "utf-8")
            inner(one, message, binary)

        return on_message

    for compressed in case12_x_x.Case12_X_X + case12_x_x.Case13_X_X:
        compressed.onMessage = as_bytes(compressed.onMessage)


async def _run(role: str, arguments: list[str]) -> None:
    import kosoku

    try:
        if role == "client":
            found = await kosoku.run_fuzzingclient(arguments[0], arguments[1:], concurrency=AT_ONCE)
        else:
            async with kosoku.run_fuzzingserver(arguments, port=0) as server:
                print(server.port, flush=True)
                found = await server.get_result()
    except kosoku.FailureError as failure:
        found = failure.results
    for result in found:
        verdict = {"case": result.case_id, "behavior": result.behavior.value, "close": result.behavior_close.value}
        why = f"{result.result} {result.result_close}"
        print(json.dumps({**verdict, "why": why, "code": result.remote_close_code}))


if __name__ == "__main__":
    _repair()
    asyncio.run(_run(sys.argv[1], sys.argv[2:]))
    sys.stdout.flush()
    os._exit(0)
