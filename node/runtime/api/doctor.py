"""`GET /api/v1/doctor`: the facts of a running node, and what `node/findings.py` finds in them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict

from crdt.classes import frozen
from crdt.hlc import millis
from node.config.sections import Config
from node.core.core import Core
from node.findings import diagnose
from node.runtime import machine
from node.runtime.api.links import links_report
from node.runtime.api.tokens import Tokens
from node.runtime.backups import Backups
from node.runtime.dialler import Dialler
from node.runtime.disk_space import DiskSpace
from node.runtime.reads import PeopleReads
from node.runtime.retention import Retention
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from storage.records import LogRow

LOOKED_AT = 100
"""Rows among which the oldest that waits for a node is looked for. Some concern this node only."""


@frozen(kw_only=True)
class Doctor:
    """Looks at a running node from all sides."""

    core: Core
    diallers: Sequence[Dialler]
    people: PeopleReads
    directory: Path
    tokens: Tokens
    config: Config
    backups: Backups
    retention: Retention
    space: DiskSpace

    async def examine(self) -> dict[str, Any]:
        """The answer."""
        core = self.core
        report: dict[str, Any] = links_report(core, self.diallers)
        for entry in (*report["links"], *report["away"]):
            entry["oldest_ms"] = await _oldest_ms(core, self.people, entry)
        facts = {
            "at_ms": core.clock().wall_ms,
            "links": report,
            "trouble": " ".join(core.trouble) if core.trouble is not None else None,
            "refused": self.tokens.refusals.latest,
            "clock": {"ahead_ms": core.replica.clock.ahead_ms, "max_skew_ms": core.replica.clock.max_skew_ms},
            "wal_bytes": core.disk.wal_bytes,
            "disk": self.space.facts(),
            "exposed": machine.exposed(self.directory, self.config),
            "unwritable": machine.unwritable(self.directory),
            "absent": machine.absent(self.config),
            "certificates": {**machine.certificates(self.config), **self._shown()},
            "backup": self.backups.facts(),
            "retention": {**self.retention.facts(), "oldest_ms": await self._log_begins_ms()},
        }
        return {"node_id": core.node_id, "findings": [asdict(one) for one in diagnose(facts)], "facts": facts}

    def _shown(self) -> dict[str, dict[str, object]]:
        """By URL: what the nodes have shown that this one dials."""
        found: dict[str, dict[str, object]] = {}
        for dialler in self.diallers:
            with suppress(ValueError):  # what was accepted by its fingerprint may say anything
                if dialler.certificate:
                    from node.runtime import x509

                    found[dialler.url] = machine.holds(x509.said(x509.read_der(dialler.certificate)))
        return found

    async def _log_begins_ms(self) -> int | None:
        """When the first row of the log was accepted, Unix milliseconds; None of an empty log."""
        try:
            rows = await self.people.read(self.people.reader.history, 0, self.core.replica.log.committed, 1)
        except StorageError:
            return None  # why it cannot be read is a finding of its own
        return millis(rows[0].accepted) if rows else None


async def _oldest_ms(core: Core, people: PeopleReads, entry: dict[str, Any]) -> int | None:
    """When the oldest row was accepted that waits for a node, in Unix milliseconds."""
    if not entry["lag"] or not entry.get("confirmed"):
        return None
    after, upto = min(entry["confirmed"]), core.replica.log.committed
    try:
        rows = await people.read(people.reader.history, after, upto, LOOKED_AT)
    except StorageError:
        return None  # why it cannot be read is a finding of its own
    return waits_since_ms(rows, entry["peer"])


def waits_since_ms(rows: Sequence[LogRow], peer: str) -> int | None:
    """When the first of some rows that a node is sent was accepted, Unix milliseconds; None where it is sent none."""
    sent = (row.accepted for row in rows if row.link_key is not None and row.via.partition(":")[0] != peer)
    stamp = next(sent, None)
    return millis(stamp) if stamp is not None else None
