"""The few inputs of a long run that a corpus needs: `python -m tests.fuzz.minimise TARGET [--most 60]`.

Smallest first, an input is kept where it takes the product's code along a step (from one line to another) that none
before it took. Says how much of the code that the target is about was reached.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import sys
import tempfile
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from types import FrameType

ROOT = Path(__file__).resolve().parent.parent.parent
CORPUS = Path(__file__).parent / "corpus"
PRODUCT = tuple(str(ROOT / folder) for folder in ("crdt", "node", "storage", "strategies"))

Step = tuple[str, int, int]


def steps_of(target: Any, data: bytes) -> set[Step]:
    steps: set[Step] = set()

    def within(frame: FrameType, event: str, _: Any) -> Any:
        name, last = frame.f_code.co_filename, frame.f_lineno

        def line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "line":
                steps.add((name, last, frame.f_lineno))
                last = frame.f_lineno
            return line

        return line if name.startswith(PRODUCT) else None

    sys.settrace(within)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return steps


def _functions(code: CodeType) -> list[CodeType]:
    """All code objects in it but modules' and classes' bodies, which run once, at the import."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    found = [function for one in inner for function in _functions(one)]
    return [*found, code] if code.co_flags & inspect.CO_NEWLOCALS and code.co_flags & inspect.CO_OPTIMIZED else found


def _lines(code: CodeType) -> set[int]:
    """Without the line of its `def`, which is no step of its own."""
    return {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.minimise", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--most", type=int, default=60)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "comanda-fuzz")
    chosen = parser.parse_args()
    kind = TARGETS[chosen.target]
    target, committed = kind.target(), CORPUS / chosen.target
    found = [path.read_bytes() for path in (chosen.work / chosen.target).glob("*")]
    kept = {path.read_bytes() for path in committed.glob("*")}
    steps: set[Step] = set()
    for data in [*kind.target.seeds(), *kept]:
        steps |= steps_of(target, data)
    gains: list[tuple[int, bytes]] = []
    for data in sorted(set(found) - kept, key=lambda data: (len(data), data)):
        new = steps_of(target, data) - steps
        if new:
            steps |= new
            gains.append((len(new), data))
    committed.mkdir(parents=True, exist_ok=True)
    for _, data in sorted(gains, key=lambda gain: -gain[0])[: chosen.most]:
        (committed / hashlib.blake2b(data, digest_size=6).hexdigest()).write_bytes(data)
    target.close()
    lines: dict[str, set[int]] = {}
    for name, _, line in steps:
        lines.setdefault(name, set()).add(line)
    for name in sorted(lines):
        code = compile(Path(name).read_text(), name, "exec")
        in_functions = {line for function in _functions(code) for line in _lines(function)}
        print(f"{len(lines[name]):5} of {len(in_functions):5} lines in functions of {Path(name).relative_to(ROOT)}")
    print(f"{chosen.target}: {len(found)} found, {len(gains)} take a new step, {len(steps)} steps in all")


if __name__ == "__main__":
    main()
