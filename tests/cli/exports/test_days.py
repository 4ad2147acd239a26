"""The business day goes on after midnight, in the store's zone, also when its clock is put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli.exports.days import Days, read_day

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


@given(MOMENTS, st.sampled_from([time(0), time(4), time(5), time(12)]))
def test_every_moment_is_within_its_day_and_no_other(moment: datetime, begins: time) -> None:
    days, said = Days(SAO_PAULO, begins), text(moment)
    day = days.day_of(said)
    assert days.first_moment(day) <= said <= days.last_moment(day)
    assert said > days.last_moment(day - timedelta(days=1))


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-01-16T02:00:00.000Z", "2026-01-15"),  # 23:00
        ("2026-01-16T07:59:59.999Z", "2026-01-15"),  # 04:59
        ("2026-01-16T08:00:00.000Z", "2026-01-16"),  # 05:00
        ("2018-11-05T06:59:59.999Z", "2018-11-04"),  # in daylight saving time
        ("2018-11-05T07:00:00.000Z", "2018-11-05"),
    ],
)
def test_what_is_sold_after_midnight_belongs_to_the_evening_before(moment: str, day: str) -> None:
    assert Days(SAO_PAULO, time(5)).day_of(moment).isoformat() == day


def test_a_day_and_a_time_are_read_as_people_write_them() -> None:
    assert read_day("15/01/2026") == read_day("2026-01-15")
    days = Days(SAO_PAULO, time(5))
    assert days.moment("2026-01-15T16:30") == days.moment("2026-01-15T19:30:00Z") == "2026-01-15T19:30:00.000Z"
    assert days.local("2026-01-15T19:30:00.000Z") == "2026-01-15T16:30:00-03:00"
    with pytest.raises(ValueError, match="32/01/2026"):
        read_day("32/01/2026")
