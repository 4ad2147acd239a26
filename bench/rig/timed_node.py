"""A node that notes when an operation passes each station on its way.

    python bench/rig/timed_node.py FILE serve --port 8000 ...     the rest as for `comanda`

At its end it writes FILE: a list of the operations that were committed alone, each a time in seconds by station. The
working directory is the checkout whose node it is.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [""]

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE = 200
"""A read of more bytes than this is an operation: confirmations and pongs are smaller."""

passed: dict[str, float] = {}
alone: list[dict[str, float]] = []


def note(owner: type, name: str, before: str, after: str = "") -> None:
    """Have a method note that a station is passed when it is called, and when it is done."""
    plain: Callable[..., Any] = getattr(owner, name)

    def noting(*arguments: Any, **named: Any) -> Any:
        if before != "read" or len(arguments[1]) > LARGE:
            passed[before] = time.perf_counter()
        done = plain(*arguments, **named)
        if after:
            passed[after] = time.perf_counter()
        return done

    setattr(owner, name, noting)


def main() -> None:
    kept = Path(sys.argv.pop(1))
    from node.__main__ import main as node
    from node.core.core import Core
    from node.runtime.disk import TrioDisk
    from node.runtime.net.websocket import Connection
    from storage.sqlite.store import Store

    note(Connection, "received", "read")
    note(TrioDisk, "wake_writer", "decided")
    note(Store, "commit", "sealed", "stored")
    note(Core, "_answer", "back", "answered")
    send = Core._send

    def sending(core: Core, group: Any) -> None:
        send(core, group)
        passed["sent"] = time.perf_counter()
        if len(group.rows) == 1:
            alone.append(dict(passed))

    Core._send = sending  # type: ignore[method-assign, assignment]
    end = os._exit

    def ending(status: int) -> None:
        kept.write_text(json.dumps(alone))
        end(status)

    os._exit = ending  # type: ignore[assignment]
    node()


if __name__ == "__main__":
    main()
