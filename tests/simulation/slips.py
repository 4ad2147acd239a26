"""Programmer's slips, put into functions of the running node and taken out again.

A slip is a few words of one function's source that are replaced: what a reviewer would see as a diff. The function's
code is compiled again and swapped in place, so whoever imported it has it too, and the product needs no hooks. Words
that are not there exactly once are an error: a slip in code that was rewritten since must not pass as caught.
"""

from __future__ import annotations
import __future__

import importlib
import inspect
from contextlib import ExitStack, contextmanager
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen
class Slip:
    """where: `package.module:Class.function`. old: words of its source. new: what stands there instead."""

    where: str
    old: str
    new: str


@frozen
class Defect:
    """name: one word for the command line. breaks: what no longer holds, in one line."""

    name: str
    breaks: str
    slips: tuple[Slip, ...]

    @contextmanager
    def present(self) -> Iterator[None]:
        """The node has this defect as long as the context lasts."""
        with ExitStack() as stack:
            for slip in self.slips:
                stack.enter_context(_present(slip))
            yield


def defect(name: str, breaks: str, *slips: tuple[str, str, str]) -> Defect:
    return Defect(name, breaks, tuple(Slip(*slip) for slip in slips))


@contextmanager
def _present(slip: Slip) -> Iterator[None]:
    function = _function(slip.where)
    before = function.__code__
    function.__code__ = _changed(function, slip)
    try:
        yield
    finally:
        function.__code__ = before


def _function(where: str) -> FunctionType:
    module, _, path = where.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = found.__dict__[name]
    found = getattr(found, "__func__", getattr(found, "fget", found))  # of a class method, of a property
    if not isinstance(found, FunctionType):
        raise LookupError(f"{where} is no function")
    return found


def _changed(function: FunctionType, slip: Slip) -> CodeType:
    """The code of a function with the slip in it. Two slips may be in one function: the second has the first's."""
    source = _sources.get(function.__code__) or inspect.getsource(function)
    if source.count(slip.old) != 1:
        raise LookupError(f"{slip.where} has {slip.old!r} {source.count(slip.old)} times")
    source = source.replace(slip.old, slip.new)
    whole = f"class _:\n{source}" if source[0].isspace() else source  # a method stays as indented as it is
    flags = __future__.annotations.compiler_flag
    compiled = compile(whole, f"<{slip.where}>", "exec", flags=flags, dont_inherit=True)
    code = _find(compiled, function.__code__.co_name)
    _sources[code] = source
    return code


_sources: dict[CodeType, str] = {}


def _find(code: CodeType, name: str) -> CodeType:
    inside = [part for part in code.co_consts if isinstance(part, CodeType)]
    for part in inside:
        if part.co_name == name:
            return part
    return next(_find(part, name) for part in inside if part.co_name == "_")
