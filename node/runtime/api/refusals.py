"""Who was refused for the token that he showed, and why: the latest, for whoever looks for a reason."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define
from crdt.hlc import iso
from node.core.latest import is_due, keep_latest

if TYPE_CHECKING:
    from storage.records import TokenRow

logger = logging.getLogger("comanda")

MOST = 100
"""Names remembered."""

SAID = 10_000
"""Log lines remembered; only of names that have a token."""

AGAIN_MS = 60_000
"""How long the same refusal of a name is not logged again, whatever came between: a stranger makes any number."""


def why_refused(row: TokenRow | None, name: str, kind: str, at: str, *, shown: bool) -> str | None:
    """Why a token does not open a connection; None where it does.

    row: of the token that was shown, whatever it is worth. shown: whether there was one. at: in UTC, as
    `crdt.hlc.iso` writes it.
    """
    if not shown:
        return "no token"
    if row is None:
        return "wrong token"
    if row.revoked_at is not None:
        return "revoked token"
    if row.expires_at is not None and at >= row.expires_at:
        return "expired token"
    if row.terminal_id != name:
        return "another's token"
    return "token of another type" if row.terminal_type != kind else None


@define(eq=False)
class Refusals:
    """By name, the latest refusal: why, from where, when, how many in a row of this kind."""

    latest: dict[str, dict[str, object]] = field(factory=dict)
    _said: dict[tuple[str, str], int] = field(factory=dict)
    """Name and reason, and when they were logged."""

    def note(self, name: str, why: str, address: str, now_ms: int, *, said: bool) -> None:
        """Somebody was refused. said: in the log too, where the reason is another one than before."""
        old = self.latest.pop(name, None)
        again = old is not None and old["why"] == why
        count = old["count"] + 1 if old is not None and again and isinstance(old["count"], int) else 1
        self.latest[name] = {"why": why, "address": address, "at": iso(now_ms), "at_ms": now_ms, "count": count}
        keep_latest(self.latest, MOST)
        if said and not again and is_due(self._said, (name, why), now_ms, AGAIN_MS, SAID):
            logger.warning(
                "%(terminal_id)s from %(address)s is refused: %(reason)s",
                {"terminal_id": name, "address": address, "reason": why},
            )

    def came(self, name: str) -> None:
        """Somebody was let in under this name."""
        self.latest.pop(name, None)
