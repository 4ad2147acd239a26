"""One `__repr__` for all classes: what is compiled for each is compiled at each start."""

from __future__ import annotations

import subprocess
import sys

import attrs

from crdt.classes import define

REPORT = """
import sys
import attrs
import node.cli.serve, node.runtime.app
from crdt.classes import define

@define
class Any:
    pass

for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] in ("crdt", "strategies", "storage", "node"):
        for said, kind in vars(module).items():
            if isinstance(kind, type) and attrs.has(kind) and kind.__module__ == name:
                if kind.__repr__ is not Any.__repr__ and "__repr__" not in open(module.__file__).read():
                    print(f"{name}.{said}")
"""


def test_no_class_of_a_start_has_a_repr_compiled_for_it() -> None:
    found = subprocess.run([sys.executable, "-c", REPORT], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_a_shared_repr_says_what_attrs_would() -> None:
    def of(make: object) -> str:
        @make  # type: ignore[operator,untyped-decorator]
        class Order:
            table: int
            token: str = attrs.field(default="secret", repr=False)
            total: float = attrs.field(default=1.0, repr=lambda value: f"{value:.2f}")

        return repr(Order(7))

    assert of(define) == of(attrs.define)
    assert "secret" not in of(define)


def test_a_class_keeps_a_repr_of_its_own() -> None:
    @define
    class Order:
        table: int = 1

        def __repr__(self) -> str:
            return "an order"

    assert repr(Order()) == "an order"
