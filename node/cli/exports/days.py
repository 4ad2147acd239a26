"""The business day of a restaurant: it goes on after midnight, and begins at an hour of the store's zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from crdt.classes import frozen
from crdt.hlc import iso


@frozen
class Days:
    """begins: the hour at which a day begins; what was before belongs to the day before."""

    zone: ZoneInfo
    begins: time

    def day_of(self, moment: str) -> date:
        """The business day of a time of the protocol."""
        local = datetime.fromisoformat(moment).astimezone(self.zone)
        return local.date() - timedelta(days=local.time() < self.begins)

    def first_moment(self, day: date) -> str:
        """When a business day begins, in UTC."""
        return _iso(datetime.combine(day, self.begins, self.zone))

    def last_moment(self, day: date) -> str:
        """The last millisecond of a business day, in UTC."""
        return _iso(datetime.combine(day + timedelta(days=1), self.begins, self.zone) - timedelta(milliseconds=1))

    def moment(self, text: str) -> str:
        """An ISO 8601 time in UTC; without an offset it is of the store's zone. Raises ValueError."""
        said = datetime.fromisoformat(text)
        return _iso(said if said.tzinfo is not None else said.replace(tzinfo=self.zone))

    def local(self, moment: str) -> str:
        """A time of the protocol as the store's clock showed it, with its offset."""
        return datetime.fromisoformat(moment).astimezone(self.zone).isoformat(timespec="seconds")


def _iso(moment: datetime) -> str:
    return iso(round(moment.astimezone(UTC).timestamp() * 1000))


def read_day(text: str) -> date:
    """`31/12/2026` or `2026-12-31`. Raises ValueError."""
    for written in ("%d/%m/%Y", "%Y-%m-%d"):
        try:
            return datetime.strptime(text.strip(), written).date()
        except ValueError:
            continue
    raise ValueError(f"não é dia como / is no day like 31/12/2026, 2026-12-31: {text!r}")
