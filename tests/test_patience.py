"""No test fails because a machine is slow: whatever waits for what must come waits PATIENCE_S."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent

FIRST = {"wait", "join", "fail_after", "settimeout", "communicate", "result", "recv"}
"""Calls whose first argument is seconds to wait. A plain socket's `recv` has bytes there, more than the patience."""

SECOND = {"wait_for", "create_connection"}
NAMED = re.compile(r"^((connect|open|answer|ping)_)?timeout(_s)?$|^patience$")
LIMITS = {"ListenerLimits", "Scene", "lock"}
"""Their `timeout` is the node's own."""

HASTY = {
    "urlopen",
    *(f"httpx.{name}" for name in ("get", "post", "put", "delete", "request", "stream", "Client", "AsyncClient")),
}
"""Unless told otherwise they give up after seconds, as websockets' `connect` does; tests.patience has others."""

EXCEPTIONS = {
    "e2e/test_archive.py": {"join": "looks again"},
    "e2e/test_kill.py": {"join": "looks again"},
    "e2e/test_faulty_proxy.py": {"wait": "looks again"},
    "e2e/test_strange_hub.py": {"wait": "goes on writing meanwhile"},
    "client/test_store.py": {"answer": "the answer must not come"},
    "hubs/test_engine.py": {"PostgresEngine": "it must be too slow"},
    "launcher.py": {"wait": "looks whether it is over"},
    "runtime/net/test_client.py": {"connect": "nobody answers"},
}
"""Waits that must end by themselves: by file, the call and why."""


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


class Module:
    """The names of seconds in a module, and its waits."""

    def __init__(self, source: str) -> None:
        self._tree = ast.parse(source)
        self._values = {
            target.id: node.value
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def _seconds(self, node: ast.expr | None) -> float | None:
        if isinstance(node, ast.Name):
            node = self._values.get(node.id)
        return node.value if isinstance(node, ast.Constant) and type(node.value) in (int, float) else None

    def _waited(self, call: ast.Call) -> Iterator[ast.expr]:
        place = 0 if called(call) in FIRST else 1 if called(call) in SECOND else None
        if place is not None:
            yield from call.args[place : place + 1]
        if called(call) not in LIMITS:
            yield from (word.value for word in call.keywords if word.arg is not None and NAMED.match(word.arg))

    def short(self) -> Iterator[tuple[str, str]]:
        """(what is called, the words) of each wait that is shorter than the patience."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                found = [self._seconds(argument) for argument in self._waited(node)]
                if any(seconds is not None and seconds < PATIENCE_S for seconds in found):
                    yield called(node), ast.unparse(node)

    def hasty(self) -> Iterator[str]:
        """What gives up by itself, and was not told when."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ImportFrom) and node.module == "websockets.sync.client":
                yield from (alias.name for alias in node.names if alias.name == "connect")
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in HASTY:
                continue
            if all(word.arg != "timeout" for word in node.keywords):
                yield ast.unparse(node)


MODULES = {str(path.relative_to(TESTS)): path for path in TESTS.rglob("*.py") if "node_modules" not in path.parts}


def test_whatever_must_come_is_waited_for_as_long_as_on_a_slow_machine() -> None:
    found, needed = [], set()
    for name, path in MODULES.items():
        module, allowed = Module(path.read_text(encoding="utf-8")), EXCEPTIONS.get(name, {})
        short = list(module.short())
        found += [(name, words) for call, words in short if call not in allowed]
        found += [(name, words) for words in module.hasty()]
        needed |= {(name, call) for call, _ in short if call in allowed}
    assert found == []
    assert needed == {(name, call) for name, calls in EXCEPTIONS.items() for call in calls}


@pytest.mark.parametrize(
    "source",
    [
        "socket.recv(5)",
        "SOON_S = 5.0\nsocket.recv(timeout=SOON_S)",
        "with trio.fail_after(5): pass",
        "changed.wait_for(lambda: True, 10)",
        "play(patience=1.0)",
        "page.wait_for(timeout=30)",
        "httpx.get(url)",
        "from websockets.sync.client import connect",
        "urlopen(url)",
    ],
)
def test_a_short_wait_is_found(source: str) -> None:
    module = Module(source)
    assert [*module.short(), *module.hasty()] != []
