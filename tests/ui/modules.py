"""What stands in a JavaScript module: its strings, and the text of its templates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLE = "\0"
"""Stands in a template where a value is put in."""


@frozen
class Literal:
    """A string, or a template with holes. markup: whether it is htm's."""

    text: str
    markup: bool


def literals(source: str) -> Iterator[Literal]:
    """Every string and template of a module, those in the holes of templates as well. Comments are left out."""
    yield from _code(source, 0, [])


def _code(source: str, at: int, ends: list[int], *, inside: bool = False) -> Iterator[Literal]:
    """The literals of code from a place on, `inside` up to the brace that closes a hole. ends: gets that place."""
    depth = 0
    while at < len(source):
        two, one = source[at : at + 2], source[at]
        if two == "//":
            at = _after(source, "\n", at)
        elif two == "/*":
            at = _after(source, "*/", at)
        elif one in "\"'":
            found = re.compile(rf"{one}((?:[^{one}\\\n]|\\.)*){one}").match(source, at)
            assert found is not None, source[at : at + 60]
            yield Literal(found[1], markup=False)
            at = found.end()
        elif one == "`":
            over: list[int] = []
            yield from _template(source, at + 1, over, markup=source[:at].endswith("html"))
            at = over[0]
        elif one == "/" and re.search(r"[(,=:?&|!\[{;]\s*$|return\s*$", source[max(0, at - 20) : at]):
            found = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*").match(source, at)
            at = found.end() if found else at + 1
        else:
            depth += (one == "{") - (one == "}")
            at += 1
            if inside and depth < 0:
                break
    ends.append(at)


def _template(source: str, at: int, ends: list[int], *, markup: bool) -> Iterator[Literal]:
    text = ""
    while source[at] != "`":
        if source.startswith("${", at):
            over: list[int] = []
            yield from _code(source, at + 2, over, inside=True)
            at, text = over[0], text + HOLE
        elif source[at] == "\\":
            at, text = at + 2, text + source[at : at + 2]
        else:
            at, text = at + 1, text + source[at]
    ends.append(at + 1)
    yield Literal(text, markup)


def _after(source: str, end: str, at: int) -> int:
    found = source.find(end, at)
    return len(source) if found < 0 else found + len(end)
