"""Archives old history by the clock: once a night, at a quiet hour. What goes wrong costs that night, and is said.

`storage/audit/archiving_steps.py` has the steps: an archive is read back and its chain recomputed before it gets its
name, and no row leaves the log that is in no such archive.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import trio
from attrs import field

from crdt.classes import define
from crdt.hlc import Zone, iso, pack
from node.config.upkeep import RetentionSection
from node.core.core import Core
from node.runtime.archiving import Archiver, Busy
from node.runtime.backup_plan import SPARE_BYTES
from storage.audit.archiving import Until
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from datetime import tzinfo

logger = logging.getLogger("comanda.retention")

LOOK_MS = 60_000
"""Between two looks at the clock: the machine may sleep, and its clock be set."""

RETRY_MS = 600_000
"""How long after one that failed the next attempt is made, in the same night."""

WINDOW_H = 2
"""How long after the quiet hour began the node still begins to archive."""

DAY_MS = 86_400_000


def night_of(now_ms: int, hour: int, zone: tzinfo) -> date | None:
    """The day on which the quiet time began in which this moment lies; None at any other time."""
    since = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).replace(tzinfo=None) - timedelta(hours=hour)
    return since.date() if since.hour < WINDOW_H else None


@define(eq=False, kw_only=True)
class Retention:
    """The archives that a node makes by itself.

    where: the zone of [retention] hour. wrong: why the last attempt failed. held_by: the linked node that has not
    confirmed what else would go, and up to where it has. failures: attempts that failed.
    """

    core: Core
    archiver: Archiver
    settings: RetentionSection
    where: Zone
    failures: int = field(default=0, init=False)
    wrong: str | None = field(default=None, init=False)
    held_by: object = field(default=None, init=False)
    _done: date | None = field(default=None, init=False)

    def facts(self) -> dict[str, object]:
        """For `node/findings.py`."""
        return {
            "keep_days": self.settings.keep_days,
            "last_ms": self.archiver.last_ms,
            "wrong": self.wrong,
            "held_by": self.held_by,
        }

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            wait_ms = await self.step()
            await trio.sleep(wait_ms / 1000)

    async def step(self) -> float:
        """Archive what is too old, if it is time and this night has not had it. Returns after how many milliseconds
        to look again."""
        now_ms = self.core.clock().wall_ms
        night = night_of(now_ms, self.settings.hour, self.where.zone)
        if night is None or night == self._done:
            return LOOK_MS
        until_ms = max(now_ms - self.settings.keep_days * DAY_MS, 0)
        try:
            answer = await self.archiver.archive(Until(None, pack(until_ms)), force=False, spare_bytes=SPARE_BYTES)
        except Busy:
            return LOOK_MS
        except (StorageError, OSError) as error:
            self._failed(str(error))
            return RETRY_MS
        except Exception as error:  # a fault of ours costs the node nothing else
            logger.exception("archiving failed")
            self._failed(repr(error))
            return RETRY_MS
        self._done, self.held_by = night, answer["held_by"]
        if self.wrong is not None:
            logger.warning("old history can be archived again")
            self.wrong = None
        if answer["archived"]:
            self.core.note_act("", "[retention]", "archive", {**answer, "until": iso(until_ms), "force": False})
            logger.info(
                "%(rows)s rows of before %(until)s are archived: %(file)s",
                {"rows": answer["archived"], "until": iso(until_ms), "file": answer["file"]},
            )
        if self.held_by is not None:
            logger.warning(
                "a linked node has not confirmed older history, so it stays: %(held_by)s", {"held_by": self.held_by}
            )
        return LOOK_MS

    def _failed(self, why: str) -> None:
        self.failures += 1
        if self.wrong != why:
            logger.error("old history is not archived, and stays: %(reason)s; trying again", {"reason": why})
        self.wrong = why
