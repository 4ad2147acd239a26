"""One HTTP request whose path and right were found good."""

from __future__ import annotations

from crdt.classes import frozen
from node.errors import PermissionDenied
from node.rights import KNOWN, OF_TYPE, PUBLIC, Need, Rights, Visitor
from node.runtime.net.http import Request, Response, error_response

AT_ONCE = 250
"""Rows of a long answer that are read and encoded in one turn, at most; fewer where they are large (PAGE_BYTES)."""

PAGE = 1_000
"""Rows of a page where `limit` is not given, and the most it may be. They are read and sent PAGE_BYTES at a time."""


@frozen
class Asked:
    """parts: what stands in the places of the path's braces."""

    request: Request
    parts: list[str]
    visitor: Visitor

    def first(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return self.request.first(name)

    def number(self, name: str, default: int, *, least: int = 0, most: int = 2**62) -> int | Response:
        """A query parameter, or the answer that it is none."""
        text = self.first(name)
        if text is None:
            return default
        try:
            number = int(text)
        except ValueError:
            return error_response(400, f"{name} is not a number")
        if not least <= number <= most:
            return error_response(400, f"{name} is not between {least} and {most}")
        return number

    @property
    def reader(self) -> str | None:
        """The terminal that sees the answer. To a HEAD nothing is shown."""
        return self.visitor.terminal_id if self.request.method == "GET" else None


def refused(need: Need, parts: list[str], rights: Rights) -> Response | None:
    """The answer to a visitor who lacks the right; None to one who has it. parts: of the path, entity type first."""
    if need in (PUBLIC, KNOWN):
        return None
    what = parts[0] if need.what == OF_TYPE else need.what
    if rights.may(need.verb, what):
        return None
    return error_response(403, f"this needs the right: {need.verb} {what[:128]}", code=PermissionDenied.code)
