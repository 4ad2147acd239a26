"""One HTTP request whose path and right were found good."""

from __future__ import annotations

from attrs import frozen

from node.rights import Visitor
from node.runtime.net.http import Request


@frozen
class Asked:
    """parts: what stands in the places of the path's braces."""

    request: Request
    parts: list[str]
    visitor: Visitor

    def first(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return self.request.first(name)

    @property
    def reader(self) -> str | None:
        """The terminal that sees the answer. To a HEAD nothing is shown."""
        return self.visitor.terminal_id if self.request.method == "GET" else None
